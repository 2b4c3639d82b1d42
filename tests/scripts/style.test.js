import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const LONGEST = 130;

test(`no line is longer than ${LONGEST} characters`, () => {
  const long = ["../../assets/studio/", "./"].flatMap((folder) => {
    const root = fileURLToPath(new URL(folder, import.meta.url));
    const files = readdirSync(root, { recursive: true }).filter((name) => /\.(js|css|ts|svg)$/.test(name));
    return files
      .filter((name) => !name.includes("node_modules"))
      .flatMap((name) =>
        readFileSync(`${root}/${name}`, "utf8")
          .split("\n")
          .flatMap((line, at) => ([...line].length > LONGEST ? [`${name}:${at + 1}`] : [])),
      );
  });
  assert.deepEqual(long, []);
});
