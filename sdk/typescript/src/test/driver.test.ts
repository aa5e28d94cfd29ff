/** The driver's manners: `sdk/driver.md`. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { decodeBase64, parseRecord } from "../index.js";
import { members } from "./record-members.js";

const DRIVER = fileURLToPath(new URL("../driver/main.js", import.meta.url));

function answersTo(...lines: string[]): any[] {
  const ran = spawnSync(process.execPath, [DRIVER], { input: lines.join("\n"), encoding: "utf8" });
  assert.equal(ran.status, 0, ran.stderr);
  return ran.stdout.trim().split("\n").map((line) => JSON.parse(line));
}

test("the driver says what it has, and answers each line in order", () => {
  const [hello, unknown, broken, valid, invalid] = answersTo(
    '{"op":"hello"}',
    '{"op":"nothing"}',
    "{",
    '{"op":"answer","file":"merkle_roots.json","input":{"leaves":[]}}',
    '{"op":"answer","file":"json_refusals.json","input":{"layer":"jcs","document":"7b"}}',
  );
  assert.equal(hello.sdk, "typescript");
  assert.ok(hello.files.includes("canonical.json") && hello.ops.includes("sign"));
  assert.deepEqual(unknown, { unknown: "nothing" });
  assert.ok("crash" in broken);
  assert.equal(valid.result, "valid");
  assert.deepEqual(invalid.expected, { code: "malformed_json", reason: "syntax", member: null });
});

test("the driver signs a record, and says why it does not", () => {
  const { kid: _kid, pcs_id: _id, ...record } = members();
  const ask = { op: "sign", alg: "ed25519", kid: "k", secret: "A".repeat(43) + "=" };
  const [signed, refused] = answersTo(
    JSON.stringify({ ...ask, record }),
    JSON.stringify({ ...ask, record: { ...record, n: 2 } }),
  );
  assert.equal(parseRecord(decodeBase64(signed.body)).signature.length, 64);
  const refusal = { code: "invalid_record", reason: "out_of_range", member: "n" };
  assert.deepEqual(refused, { refused: refusal });
});
