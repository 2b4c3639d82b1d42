import assert from "node:assert/strict";
import { test } from "node:test";
import { changedQuery, page, safeAttribute } from "../../assets/studio/studio.js";

test("a change keeps the other URL parameters", () => {
  assert.equal(changedQuery("?run=3&sort=best", { sort: "name" }), "run=3&sort=name");
});

test("an empty value removes a URL parameter, 0 does not", () => {
  for (const none of [null, undefined, "", false]) assert.equal(changedQuery("?run=3&q=x", { q: none }), "run=3");
  assert.equal(changedQuery("", { smooth: 0 }), "smooth=0");
});

test("links contain the given values and nothing else", () => {
  assert.equal(page("clips", { run: 3, min_step: 0, label: "", clip: null }), "./clips?run=3&min_step=0");
  assert.equal(page(""), "./");
  assert.equal(page("clips", { event: "a&b" }), "./clips?event=a%26b");
});

test("a URL that runs a script is replaced", () => {
  for (const address of ["javascript:alert(1)", " JavaScript:alert(1)", "data:text/html,x", "vbscript:x"])
    assert.equal(safeAttribute("href", address), "#");
  assert.equal(safeAttribute("href", "./run?name=javascript:"), "./run?name=javascript:");
  assert.equal(safeAttribute("title", "javascript: a language"), "javascript: a language");
});
