/** The golden vectors, on both platforms, and what their runner must not pass over. */

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { answers } from "../driver/answers.js";
import { GOLDEN, PACKAGE, skippedUnless } from "./places.js";
import { failuresOf, OF_A_SERVER, runFolder, type VectorFile } from "./vector-runner.js";

const RUN = fileURLToPath(new URL("run-vectors.js", import.meta.url));
const DENO = fileURLToPath(new URL("node_modules/@deno/linux-x64-glibc/deno", PACKAGE));

function load(name: string): any {
  return JSON.parse(readFileSync(new URL(name, GOLDEN), "utf8"));
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}

test("every golden vector holds", async () => {
  const { failures, files } = await runFolder(GOLDEN, console.log);
  assert.deepEqual(failures, []);
  assert.equal(files, Object.keys(answers).length);
});

test("every golden vector holds where only what browsers have is used", () => {
  const out = execFileSync(process.execPath, ["--conditions=browser", RUN], { encoding: "utf8" });
  console.log(`as in a browser: ${lastLine(out)}`);
  assert.match(lastLine(out), /, 0 failed$/);
});

test("the official vectors hold where only what browsers have is used", () => {
  const path = fileURLToPath(new URL("official.test.js", import.meta.url));
  const { NODE_TEST_CONTEXT: _, ...env } = process.env; // it is a run of its own
  const ran = spawnSync(process.execPath, ["--conditions=browser", path], { encoding: "utf8", env });
  assert.equal(ran.status, 0, ran.stdout + ran.stderr);
});

const hasDeno = spawnSync(DENO, ["--version"]).status === 0;
const skip = skippedUnless(hasDeno, "Deno is not here: `make sdks` installs it on Linux x86-64");
test("every golden vector holds in Deno", { skip }, () => {
  const out = execFileSync(DENO, ["run", "--no-lock", "--allow-read", RUN], { encoding: "utf8" });
  console.log(`in Deno: ${lastLine(out)}`);
  assert.match(lastLine(out), /, 0 failed$/);
});

test("r is to the digit what the original zlib gives", async () => {
  for (const name of ["signals_points.json", "signals_bytes.json"]) {
    for (const { input, result, expected } of load(name).tests) {
      if (result !== "valid") continue;
      const given = (await answers[name]?.(input)) as { r: object };
      assert.deepEqual(given.r, expected.r);
    }
  }
});

const BENT: { readonly [claim: string]: (document: any) => void } = {
  "a member of the file it does not know": (document) => (document.more = 1),
  "another version of the schema": (document) => (document.schemaVersion = 2),
  "a number of cases that is not theirs": (document) => (document.numberOfTests += 1),
  "a flag it does not know": (document) => {
    document.notes.Other = {};
    document.tests[0].flags.push("Other");
  },
  "a flag that no case bears": (document) => (document.notes.Shape = {}),
  "a member of a case it does not know": (document) => (document.tests[0].more = 1),
  "a member of an input it does not know": (document) => (document.tests[0].input.more = 1),
  "cases out of order": (document) => document.tests.reverse(),
  "another value": (document) => (document.tests[0].expected.pcs_id = "0".repeat(64)),
  "a value it was not asked for": (document) => (document.tests[0].expected.more = null),
  "another result": (document) => (document.tests[0].result = "invalid"),
};

for (const [claim, bend] of Object.entries(BENT)) {
  test(`the runner fails on ${claim}`, async () => {
    const document = load("ids.json");
    assert.deepEqual(await failuresOf("ids.json", document as VectorFile), []);
    bend(document);
    assert.notDeepEqual(await failuresOf("ids.json", document as VectorFile), []);
  });
}

test("the runner fails on a file it does not know, and names the one that is a server's", async () => {
  const document = load("ids.json") as VectorFile;
  assert.notDeepEqual(await failuresOf("other.json", document), []);
  assert.ok(OF_A_SERVER.every((name) => existsSync(new URL(name, GOLDEN))));
});

test("the runner fails on a refusal for another reason, and on an r that is too far", async () => {
  const refusals = load("records_1_0.json");
  const invalid = refusals.tests.find((each: any) => each.result === "invalid");
  invalid.expected.reason = "other";
  assert.equal((await failuresOf("records_1_0.json", refusals)).length, 1);

  const signals = load("signals_bytes.json");
  const [first] = signals.tests.filter((each: any) => each.result === "valid");
  first.expected.r.text = String(Number(first.expected.r.text) + 0.019);
  assert.deepEqual(await failuresOf("signals_bytes.json", signals), []);
  first.expected.r.text = String(Number(first.expected.r.text) + 0.002);
  assert.equal((await failuresOf("signals_bytes.json", signals)).length, 1);
});
