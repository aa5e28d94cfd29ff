/** The official vectors through the module: JCS, Wycheproof, CCTV, and proofs of RFC 6962 trees. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";

import { decodeBase64, JCS_DEPTH_MAX, load, Refused } from "../index.js";

const OFFICIAL = new URL("../../../../shared/vectors/", import.meta.url);
const isThere = existsSync(OFFICIAL) || process.env.FLBA_REQUIRE === "all";
const skip = isThere ? false : "the official vectors are not beside the project";

const core = await load();
const read = (path) => readFile(new URL(path, OFFICIAL));
const readJson = async (path) => JSON.parse(await read(path));
const fromHex = (text) => new Uint8Array(Buffer.from(text, "hex"));
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const utf8 = (text) => new TextEncoder().encode(text);
const verified = (signed) => core.verifyEd25519(signed);
const text = (bytes) => new TextDecoder().decode(bytes);

test("every JCS input has the bytes of its output", { skip }, async () => {
  const names = await readdir(new URL("jcs/input/", OFFICIAL));
  for (const name of names) {
    const expected = hex(await read(`jcs/output/${name}`));
    assert.equal(hex(core.canonical(await read(`jcs/input/${name}`), JCS_DEPTH_MAX)), expected, name);
    assert.equal(hex(core.canonical(fromHex(expected), JCS_DEPTH_MAX)), expected, name);
  }
  assert.equal(names.length, 6);
  console.log(`JCS: ${names.length} documents`);
});

test("every JCS number has its ECMAScript text, however it is spelled", { skip }, async () => {
  const lines = text(await read("jcs/es6testfile_10k.txt")).trim().split("\n");
  for (const line of lines) {
    const [bits, expected] = line.trim().split(",");
    const value = new DataView(fromHex(bits.padStart(16, "0")).buffer).getFloat64(0);
    // 17 digits tell every double from its neighbours.
    const spellings = utf8(`[${expected},${value.toExponential(16)}]`);
    assert.equal(text(core.canonical(spellings)), `[${expected},${expected}]`, bits);
  }
  assert.equal(lines.length, 10_000);
  console.log(`JCS: ${lines.length} numbers`);
});

test("Wycheproof's Ed25519 holds and fails as it says, alone and in a batch", { skip }, async () => {
  const ran = { valid: 0, invalid: 0 };
  for (const group of (await readJson("wycheproof/ed25519_test.json")).testGroups) {
    const key = fromHex(group.publicKey.pk);
    const signed = group.tests.map(({ msg, sig }) => ({
      public: key,
      message: fromHex(msg),
      signature: fromHex(sig),
    }));
    const whole = signed.filter(({ signature }) => signature.length === 64);
    assert.deepEqual(core.verifyEd25519Batch(whole), whole.map(verified));
    group.tests.forEach(({ tcId, comment, result }, place) => {
      assert.equal(core.verifyEd25519(signed[place]), result === "valid", `${tcId} ${comment}`);
      ran[result] += 1;
    });
  }
  assert.deepEqual(ran, { valid: 88, invalid: 63 });
  console.log(`Wycheproof Ed25519: ${ran.valid} valid, ${ran.invalid} invalid`);
});

test("Wycheproof's HMAC holds and fails as it says", { skip }, async () => {
  const ran = { valid: 0, invalid: 0 };
  for (const { tagSize, tests } of (await readJson("wycheproof/hmac_sha256_test.json")).testGroups) {
    for (const each of tests) {
      const [key, message, tag] = [fromHex(each.key), fromHex(each.msg), fromHex(each.tag)];
      // A truncated tag tests the primitive alone: on the wire a tag is 32 bytes.
      const holds = hex(core.signHmac(key, message)).slice(0, tagSize / 4) === each.tag;
      assert.equal(holds, each.result === "valid", `${each.tcId} ${each.comment}`);
      assert.equal(core.verifyHmac(key, message, tag), holds && tagSize === 256, each.comment);
      ran[each.result] += 1;
    }
  }
  assert.deepEqual(ran, { valid: 66, invalid: 108 });
  console.log(`Wycheproof HMAC-SHA256: ${ran.valid} valid, ${ran.invalid} invalid`);
});

test("CCTV's Ed25519 verifies exactly where libsodium does", { skip }, async () => {
  const vectors = await readJson("cctv_ed25519/ed25519vectors.json");
  const refused = ["low_order_A", "low_order_R", "non_canonical_A", "non_canonical_R"];
  const signed = vectors.map(({ key, msg, sig }) => ({
    public: fromHex(key),
    message: utf8(msg),
    signature: fromHex(sig),
  }));
  const verifying = vectors.filter((_, place) => core.verifyEd25519(signed[place]));
  assert.deepEqual(core.verifyEd25519Batch(signed), signed.map(verified));
  assert.equal(vectors.length, 914);
  assert.equal(verifying.length, 43);
  for (const { flags, number } of verifying) {
    assert.ok(!(flags ?? []).some((flag) => refused.includes(flag)), number);
  }
  console.log(`CCTV Ed25519: ${vectors.length} vectors, ${verifying.length} verify`);
});

const raw = (base64) => decodeBase64(base64 ?? "");
const PROOFS = {
  inclusion: ({ root, treeSize, leafIdx, leafHash }, proof) =>
    core.verifyInclusion({
      root: raw(root),
      size: treeSize,
      index: leafIdx,
      leafHash: raw(leafHash),
      proof,
    }),
  consistency: ({ size1, size2, root1, root2 }, proof) =>
    core.verifyConsistency({ size1, size2, root1: raw(root1), root2: raw(root2), proof }),
};

function holds(kind, vector) {
  try {
    PROOFS[kind](vector, (vector.proof ?? []).map(raw));
  } catch (error) {
    if (error instanceof Refused) return false;
    throw error;
  }
  return true;
}

for (const kind of Object.keys(PROOFS)) {
  test(`proofs of ${kind} hold and fail as they say`, { skip }, async () => {
    const names = await readdir(new URL(`merkle/${kind}/`, OFFICIAL), { recursive: true });
    const ran = { held: 0, refused: 0 };
    for (const name of names.filter((each) => each.endsWith(".json"))) {
      const vector = await readJson(`merkle/${kind}/${name}`);
      assert.equal(holds(kind, vector), !vector.wantErr, `${name}: ${vector.desc}`);
      ran[vector.wantErr ? "refused" : "held"] += 1;
    }
    assert.deepEqual(ran, { held: 6, refused: 92 });
    console.log(`Merkle ${kind}: ${ran.held} held, ${ran.refused} refused`);
  });
}
