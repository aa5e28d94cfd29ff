/** The golden vectors through the module, each file whole, with its count. */

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { after, test } from "node:test";

import { ANSWERS, answer } from "../answers.mjs";
import { load } from "../index.js";
import { SUITES } from "./suites.mjs";

const FOLDER = new URL("../../../golden_vectors/", import.meta.url);
const HEADER = "schema schemaVersion algorithm specification numberOfTests notes tests";
const CASE = "tcId comment flags input result expected";
/** Asks a server, and is known here by its name. */
const OF_SERVERS = "http_exchanges";

const core = await load();
const sorted = (names) => [...names].sort();
const words = (text) => sorted(text.split(" "));
const names = (object) => sorted(Object.keys(object));

function checkHeader(name, suite, document) {
  assert.deepEqual(names(document), words(HEADER));
  assert.equal(document.schemaVersion, 1);
  assert.equal(document.schema, `schemas/${name}.schema.json`);
  assert.equal(document.tests.length, document.numberOfTests);
  const known = words(suite.flags);
  const unknown = names(document.notes).filter((flag) => !known.includes(flag));
  assert.deepEqual(unknown, [], "flags that are not known here");
  const used = new Set(document.tests.flatMap((each) => each.flags));
  assert.deepEqual(sorted(used), names(document.notes), "flags used and explained");
}

function checkCase(name, suite, place, given) {
  assert.deepEqual(names(given), words(CASE));
  assert.deepEqual(names(given.input), words(suite.fields));
  assert.equal(given.tcId, place + 1);
  const { result, expected } = answer(core, name, given.input);
  assert.equal(result, given.result, given.comment);
  // Also r and budget, for which 0.02 are allowed: the core counts what the vectors' zlib writes.
  assert.deepEqual(expected, given.expected, given.comment);
}

const found = sorted(await readdir(FOLDER)).filter((name) => name.endsWith(".json"));
let files = 0;
let cases = 0;
for (const file of found) {
  const name = file.replace(/\.json$/, "");
  test(`every case of ${file} is answered as it states`, async () => {
    if (name === OF_SERVERS) return console.log(`${file}: for servers, not run`);
    assert.ok(Object.hasOwn(SUITES, name) && Object.hasOwn(ANSWERS, name), "a file that is not known");
    const document = JSON.parse(await readFile(new URL(file, FOLDER), "utf8"));
    checkHeader(name, SUITES[name], document);
    document.tests.forEach((each, place) => checkCase(name, SUITES[name], place, each));
    files += 1;
    cases += document.tests.length;
    console.log(`${file}: ${document.tests.length} cases, 0 failed`);
  });
}

after(() => {
  const failed = found.length - 1 - files;
  console.log(`wasm: ${files} files, ${cases} cases, ${failed} files failed`);
});
