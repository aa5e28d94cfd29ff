/** The official vectors: JCS, Wycheproof, CCTV, and proofs of RFC 6962 trees. */

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import {
  canonical,
  ContractError,
  decodeBase64,
  fromHex,
  hex,
  JCS_DEPTH_MAX,
  parseJson,
  signHmac,
  utf8,
  verifyConsistency,
  verifyEd25519,
  verifyHmac,
  verifyInclusion,
} from "../index.js";
import { OFFICIAL, skippedUnless } from "./places.js";

const skip = skippedUnless(existsSync(OFFICIAL), "the official vectors are not beside the project");

function read(path: string): Buffer {
  return readFileSync(new URL(path, OFFICIAL));
}

function load(path: string): any {
  return JSON.parse(read(path).toString("utf8"));
}

test("every JCS input has the bytes of its output", { skip }, () => {
  const names = readdirSync(new URL("jcs/input/", OFFICIAL));
  for (const name of names) {
    const expected = hex(read(`jcs/output/${name}`));
    const inHex = read(`jcs/outhex/${name.replace(".json", ".txt")}`).toString("latin1");
    assert.equal(inHex.replace(/\s/g, ""), expected, name);
    const value = parseJson(read(`jcs/input/${name}`), JCS_DEPTH_MAX);
    assert.equal(hex(canonical(value)), expected, name);
    assert.equal(hex(canonical(parseJson(fromHex(expected), JCS_DEPTH_MAX))), expected, name);
  }
  assert.equal(names.length, 6);
  console.log(`JCS: ${names.length} documents`);
});

test("every JCS number has its ECMAScript text", { skip }, () => {
  const lines = read("jcs/es6testfile_10k.txt").toString("latin1").trim().split("\n");
  for (const line of lines) {
    const [bits, expected] = line.trim().split(",") as [string, string];
    const value = new DataView(fromHex(bits.padStart(16, "0")).buffer).getFloat64(0);
    assert.equal(Buffer.from(canonical(value)).toString(), expected, bits);
    const again = parseJson(utf8(expected), JCS_DEPTH_MAX);
    assert.equal(Buffer.from(canonical([again])).toString(), `[${expected}]`, bits);
  }
  assert.equal(lines.length, 10_000);
  console.log(`JCS: ${lines.length} numbers`);
});

test("Wycheproof's Ed25519 holds and fails as it says", { skip }, () => {
  const ran = { valid: 0, invalid: 0 };
  for (const group of load("wycheproof/ed25519_test.json").testGroups) {
    const key = fromHex(group.publicKey.pk);
    for (const { tcId, comment, msg, sig, result } of group.tests) {
      const holds = verifyEd25519(key, fromHex(msg), fromHex(sig));
      assert.equal(holds, result === "valid", `${tcId} ${comment}`);
      ran[result as keyof typeof ran] += 1;
    }
  }
  assert.deepEqual(ran, { valid: 88, invalid: 63 });
  console.log(`Wycheproof Ed25519: ${ran.valid} valid, ${ran.invalid} invalid`);
});

test("Wycheproof's HMAC holds and fails as it says", { skip }, () => {
  const ran = { valid: 0, invalid: 0 };
  for (const { tagSize, tests } of load("wycheproof/hmac_sha256_test.json").testGroups) {
    for (const each of tests) {
      const [key, message, tag] = [fromHex(each.key), fromHex(each.msg), fromHex(each.tag)];
      // A truncated tag tests the primitive alone: on the wire a tag is 32 bytes.
      const holds = hex(signHmac(key, message)).slice(0, tagSize / 4) === each.tag;
      assert.equal(holds, each.result === "valid", `${each.tcId} ${each.comment}`);
      assert.equal(verifyHmac(key, message, tag), holds && tagSize === 256, each.comment);
      ran[each.result as keyof typeof ran] += 1;
    }
  }
  assert.deepEqual(ran, { valid: 66, invalid: 108 });
  console.log(`Wycheproof HMAC-SHA256: ${ran.valid} valid, ${ran.invalid} invalid`);
});

test("CCTV's Ed25519 verifies exactly where libsodium does", { skip }, () => {
  const vectors: any[] = load("cctv_ed25519/ed25519vectors.json");
  const refused = ["low_order_A", "low_order_R", "non_canonical_A", "non_canonical_R"];
  const verifying = vectors.filter(({ key, msg, sig }) =>
    verifyEd25519(fromHex(key), utf8(msg), fromHex(sig)),
  );
  assert.equal(vectors.length, 914);
  assert.equal(verifying.length, 43);
  for (const { flags, number } of verifying) {
    assert.ok(!(flags ?? []).some((flag: string) => refused.includes(flag)), number);
  }
  console.log(`CCTV Ed25519: ${vectors.length} vectors, ${verifying.length} verify`);
});

for (const kind of ["inclusion", "consistency"] as const) {
  test(`proofs of ${kind} hold and fail as they say`, { skip }, () => {
    const names = readdirSync(new URL(`merkle/${kind}/`, OFFICIAL), { recursive: true })
      .map(String)
      .filter((name) => name.endsWith(".json"));
    const ran = { held: 0, refused: 0 };
    for (const name of names) {
      const vector = load(`merkle/${kind}/${name}`);
      const outcome = proofOutcome(kind, vector);
      assert.equal(outcome === "refused", vector.wantErr, `${name}: ${vector.desc}`);
      ran[outcome] += 1;
    }
    assert.deepEqual(ran, { held: 6, refused: 92 });
    console.log(`Merkle ${kind}: ${ran.held} held, ${ran.refused} refused`);
  });
}

function proofOutcome(kind: "inclusion" | "consistency", vector: any): "held" | "refused" {
  const raw = (text: string | null): Uint8Array => decodeBase64(text ?? "");
  const proof = (vector.proof ?? []).map(raw);
  const { size1, size2, treeSize: size, leafIdx: index } = vector;
  try {
    if (kind === "inclusion") {
      const [root, leafHash] = [raw(vector.root), raw(vector.leafHash)];
      verifyInclusion({ root, size, index, leafHash, proof });
    } else {
      verifyConsistency({ size1, size2, root1: raw(vector.root1), root2: raw(vector.root2), proof });
    }
  } catch (error) {
    if (error instanceof ContractError) return "refused";
    throw error;
  }
  return "held";
}
