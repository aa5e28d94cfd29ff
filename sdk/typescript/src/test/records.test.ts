/** Records made and read: what holds beyond the golden vectors. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import {
  authenticate,
  ContractError,
  canonicalText,
  decodeBase64,
  FractalError,
  inclusionProof,
  judge,
  Key,
  Keyring,
  KeyringError,
  leafHash,
  merkleRoot,
  parseKeyring,
  parseRecord,
  recordFromMembers,
  Refusal,
  sentBytes,
  signRecord,
  storedBytes,
  utf8,
  verifyInclusion,
} from "../index.js";
import { members } from "./record-members.js";

const secret = new Uint8Array(32).fill(9);
const hmacKey = new Key({ kid: "lab-1", tenant: "lab", alg: "hmac-sha256", secret });
const edKey = parseKeyring(
  utf8(
    JSON.stringify({
      keys: [{ kid: "lab-2", tenant: "lab", alg: "ed25519", secret: `base64:${"A".repeat(43)}=` }],
    }),
  ),
).key("lab-2") as Key;
const ring = new Keyring(new Map([hmacKey, edKey].map((key) => [key.kid, key])));

function refusal(make: () => unknown): Refusal {
  try {
    make();
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new assert.AssertionError({ message: "expected a refusal, got none" });
}

for (const key of [hmacKey, edKey]) {
  test(`a record signed by a key of ${key.alg} is authentic, and no single changed byte of it is`, () => {
    const body = storedBytes(signRecord(members({ pcs_id: undefined }), key));
    const found = authenticate(body, ring);
    assert.equal(found.tenant, "lab");
    assert.equal(judge(found.record as ReturnType<typeof parseRecord>).status, 200);
    for (let at = 0; at < body.length; at += 7) {
      const changed = body.slice();
      changed[at] = (changed[at] as number) ^ 1;
      assert.ok(refusal(() => authenticate(changed, ring)).code, `byte ${at}`);
    }
  });
}

test("a delivery is sent and not stored, and another one leaves the signature as it is", () => {
  const record = signRecord(members(), hmacKey);
  const delivery = { attempt: 2, sentAt: "2026-11-01T12:00:01.000Z", outboxSeq: 5 };
  const sent = parseRecord(sentBytes(record, delivery));
  assert.deepEqual(sent.delivery, delivery);
  assert.deepEqual(storedBytes(sent), storedBytes(record));
  const wrong = refusal(() => sentBytes(record, { ...delivery, attempt: 0 }));
  assert.equal(wrong.member, "delivery.attempt");
});

test("what a caller changes after signing is not in the record", () => {
  const given = members({ meta: { a: 1 } });
  const record = signRecord(given, hmacKey);
  const before = canonicalText(record.members);
  (given["meta"] as { a: number }).a = 2;
  (given["scales"] as number[]).push(64);
  assert.equal(canonicalText(record.members), before);
});

test("members that have no JSON form are refused before anything is signed", () => {
  const sign = (changes: object) => () => signRecord(members({ ...changes }), hmacKey);
  assert.equal(refusal(sign({ D_hat: NaN })).member, "D_hat");
  assert.equal(refusal(sign({ epoch: 1n })).reason, "wrong_type");
  assert.equal(refusal(sign({ more: 1 })).reason, "unknown_member");
  assert.equal(refusal(sign({ toString: 1 })).member, "toString");
  assert.equal(refusal(sign({ version: "0.1" })).code, "unsupported_version");
  assert.throws(sign({ meta: { a: "\ud800" } }), ContractError);
  let deep: unknown = 1;
  for (let i = 0; i < 9; i++) deep = [deep];
  assert.throws(sign({ more: deep }), ContractError);
});

test("a name of every object is no member of a record", () => {
  const { ft: _, ...rest } = members();
  const body = utf8(JSON.stringify(rest).replace("{", '{"__proto__":{"ft":1},'));
  assert.equal(refusal(() => parseRecord(body)).member, "ft");
  const whole = utf8(JSON.stringify(members()).replace("{", '{"constructor":1,'));
  assert.equal(refusal(() => parseRecord(whole)).member, "constructor");
});

test("a key that cannot sign says so, and a short one signs nothing new", () => {
  const open = new Key({ kid: "k", tenant: "t", alg: "ed25519", publicKey: secret });
  assert.throws(() => signRecord(members(), open), /expected a secret/);
  const short = new Key({ kid: "k", tenant: "t", alg: "hmac-sha256", secret: secret.slice(1) });
  assert.throws(() => signRecord(members(), short), /at least 32 bytes/);
});

test("a secret is in no listing, no JSON and no message", () => {
  const text = "c2l4dGVlbiBieXRlcywgYW5kIHNpeHRlZW4gbW9yZS4=";
  const entry = { kid: "k", tenant: "t", alg: "hmac-sha256", secret: `base64:${text}` };
  const found = parseKeyring(utf8(JSON.stringify({ keys: [entry] })));
  assert.deepEqual(found.key("k")?.secret, decodeBase64(text));
  const shown = inspect(found, { depth: 9, showHidden: true }) + JSON.stringify([...found.keys]);
  assert.ok(!shown.includes(text) && !shown.includes("115, 105"), shown);
  const wrong = { ...entry, secret: text };
  assert.throws(
    () => parseKeyring(utf8(JSON.stringify({ keys: [wrong] }))),
    (error) => error instanceof KeyringError && !error.message.includes(text),
  );
});

test("a secret from outside is as it is, or decoded without one line end", () => {
  const entry = { kid: "k", tenant: "t", alg: "hmac-sha256", secret: "env:KEY" };
  const data = utf8(JSON.stringify({ keys: [entry] }));
  const read = (value: Uint8Array): Uint8Array | null | undefined =>
    parseKeyring(data, (where) => {
      assert.equal(where, "env:KEY");
      return value;
    }).key("k")?.secret;
  const raw = utf8(`${"x".repeat(40)}\n`);
  assert.deepEqual(read(raw), raw);
  const coded = `base64:${"QUFB".repeat(16)}`;
  assert.deepEqual(read(utf8(`${coded}\r\n`)), utf8("A".repeat(48)));
  assert.throws(() => read(utf8(`${coded}\n\n`)), KeyringError);
  assert.throws(() => read(Uint8Array.of(...utf8(coded), 0xff)), KeyringError);
  assert.throws(() => parseKeyring(data), /expected no env, got one/);
});

test("a bearer text that is no Unicode is nobody's token", () => {
  const sha256 = "83d544ccc223c057d2bf80d3f2a32982c32c3c0db8e2674820da5064783fb097"; // of U+FFFD
  const token = { tenant: "t", sha256, scopes: ["read"] };
  const found = parseKeyring(utf8(JSON.stringify({ keys: [], tokens: [token] })));
  assert.equal(found.token("\ufffd")?.tenant, "t");
  assert.equal(found.token("\ud800"), undefined);
});

test("every leaf of a tree has a proof that holds, and for that leaf alone", () => {
  for (const size of [1, 2, 3, 5, 8, 13]) {
    const leaves = Array.from({ length: size }, (_, i) => Uint8Array.of(i));
    const root = merkleRoot(leaves);
    for (const [index, leaf] of leaves.entries()) {
      const proof = inclusionProof(leaves, index);
      verifyInclusion({ root, size, index, leafHash: leafHash(leaf), proof });
      const wrong = { root, size, index, leafHash: leafHash(Uint8Array.of(99)), proof };
      assert.throws(() => verifyInclusion(wrong), ContractError);
    }
    assert.throws(() => inclusionProof(leaves, size), ContractError);
  }
});

test("bytes that are no record are refused, whatever they are", () => {
  const rounds = Number(process.env["FLBA_FUZZ_ROUNDS"] ?? 3_000);
  const body = storedBytes(signRecord(members({ meta: { a: "\u00e9\ud83d\ude00" } }), hmacKey));
  let state = 20_261_101;
  const below = (bound: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
  for (let round = 0; round < rounds; round++) {
    const bent = [...body];
    for (let changes = 1 + below(4); changes > 0; changes--) {
      bent.splice(below(bent.length), below(3), ...Array.from({ length: below(3) }, () => below(256)));
    }
    try {
      authenticate(Uint8Array.from(bent), ring, "lab");
    } catch (error) {
      assert.ok(error instanceof FractalError, `round ${round}: ${String(error)}`);
    }
  }
});

test("members are checked as a body is, and signed as one", () => {
  const record = recordFromMembers(members({ D_hat: -0, meta: { b: true, a: "x" } }));
  assert.deepEqual(storedBytes(record), storedBytes(parseRecord(storedBytes(record))));
});
