import assert from "node:assert/strict";
import { test } from "node:test";
import { changedQuery, page, safeAttribute } from "../../assets/studio/studio.js";

test("a change keeps the other values of the address", () => {
  assert.equal(changedQuery("?run=3&sort=best", { sort: "name" }), "run=3&sort=name");
});

test("an empty value leaves the address, 0 stays in it", () => {
  for (const none of [null, undefined, "", false]) assert.equal(changedQuery("?run=3&q=x", { q: none }), "run=3");
  assert.equal(changedQuery("", { smooth: 0 }), "smooth=0");
});

test("links hold what is given and nothing else", () => {
  assert.equal(page("clips", { run: 3, min_step: 0, label: "", clip: null }), "./clips?run=3&min_step=0");
  assert.equal(page(""), "./");
  assert.equal(page("clips", { event: "a&b" }), "./clips?event=a%26b");
});

test("an address that runs a script becomes none", () => {
  for (const address of ["javascript:alert(1)", " JavaScript:alert(1)", "data:text/html,x", "vbscript:x"])
    assert.equal(safeAttribute("href", address), "#");
  assert.equal(safeAttribute("href", "./run?name=javascript:"), "./run?name=javascript:");
  assert.equal(safeAttribute("title", "javascript: a language"), "javascript: a language");
});
