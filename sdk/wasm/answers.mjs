/**
 * What this SDK says to the input of a case: one function for each file of golden vectors.
 *
 * Each returns what is expected of a valid case and throws `Expected` for an invalid one. The file
 * `http_exchanges.json` is not here: it is for who writes a server.
 */

import { decodeBase64, encodeBase64, JCS_DEPTH_MAX, RECORD_DEPTH_MAX, Refused } from "./index.js";

/** The SDK refuses the input; `expected` says how, as a case states it. */
export class Expected extends Error {
  constructor(expected) {
    super(JSON.stringify(expected));
    this.expected = expected;
  }
}

const SPACE = 0x20;
const MISMATCH = { code: "signature_invalid", reason: "signature_mismatch", member: "sig" };

const fromHex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

function bodyOf(given) {
  const body = decodeBase64(given.body);
  const padded = new Uint8Array(body.length + given.trailing_spaces).fill(SPACE);
  padded.set(body);
  return padded;
}

/** Returns a double by its canonical text and its bits. */
function real(core, value) {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, value);
  const text = core.canonical(new TextEncoder().encode(JSON.stringify(value)));
  return { text: new TextDecoder().decode(text), bits: hex(new Uint8Array(bits.buffer)) };
}

/** Returns each number of a value in the order of its canonical text. */
function numbersOf(core, value) {
  if (typeof value === "number") return [real(core, value)];
  if (Array.isArray(value)) return value.flatMap((item) => numbersOf(core, item));
  if (typeof value !== "object" || value === null) return [];
  return Object.keys(value)
    .sort()
    .flatMap((name) => numbersOf(core, value[name]));
}

function parsed(core, document, depthMax) {
  const canonical = core.canonical(fromHex(document), depthMax);
  const value = JSON.parse(new TextDecoder().decode(canonical));
  return { canonical: hex(canonical), numbers: numbersOf(core, value) };
}

function ringOf(core, given) {
  return core.keyring(decodeBase64(given.keyring));
}

/** Calls `use` with a ring, which is given back whatever comes of it. */
function withRing(core, given, use) {
  const ring = ringOf(core, given);
  try {
    return use(ring);
  } finally {
    ring.free();
  }
}

function summary(core, made) {
  const { seed: _seed, scales: _scales, ...members } = made;
  const reals = ["D_hat", "coh_star", "r", "budget"].map((name) => [name, real(core, made[name])]);
  const vStar = made.v_star.map((component) => real(core, component));
  return { ...members, ...Object.fromEntries(reals), v_star: vStar };
}

function windowOf(rowsBits) {
  const rows = rowsBits.map((bits) => {
    const view = new DataView(fromHex(bits).buffer);
    return Array.from({ length: view.byteLength / 8 }, (_, column) => view.getFloat64(8 * column));
  });
  return { values: rows.flat(), columns: rows[0]?.length ?? 0 };
}

/** Each file's answer. */
export const ANSWERS = {
  canonical: (core, given) => parsed(core, given.document, JCS_DEPTH_MAX),
  json_refusals: (core, given) =>
    parsed(core, given.document, given.layer === "jcs" ? JCS_DEPTH_MAX : RECORD_DEPTH_MAX),
  ids: (core, given) => ({ pcs_id: core.pcsId(given.merkle_root, given.epoch, given.shard_id) }),
  digests: (core, given) => {
    const { signing_input, record_digest, content_digest } = core.parseRecord(bodyOf(given));
    return { signing_input: encodeBase64(signing_input), record_digest, content_digest };
  },
  records_1_0: (core, given) => {
    const { pcs_id, stored } = core.parseRecord(bodyOf(given));
    return { pcs_id, stored: encodeBase64(stored) };
  },
  records_0_1: (core, given) =>
    withRing(core, given, (ring) => {
      const found = ring.authenticate(bodyOf(given), {
        legacyTenant: given.accepts_legacy ? (given.tenant ?? "default") : null,
        receivedAt: given.received_at,
      });
      return {
        tenant: found.tenant,
        kid: found.kid,
        pcs_id: found.pcs_id,
        digest: found.record_digest,
        as_python: encodeBase64(found.as_python),
        as_ecmascript: encodeBase64(found.as_ecmascript),
        stored: encodeBase64(found.stored),
        status: found.status,
        reasons: found.reasons,
        recomputed_budget: real(core, found.recomputed_budget),
        decision_body: encodeBase64(found.decision_body),
        remembered: found.remembered,
      };
    }),
  outcomes: (core, given) => {
    const outcome = core.judge(bodyOf(given));
    const slope = outcome.recomputed_D_hat;
    return {
      ...outcome,
      recomputed_D_hat: slope === null ? null : real(core, slope),
      recomputed_budget: real(core, outcome.recomputed_budget),
      decision_body: encodeBase64(outcome.decision_body),
    };
  },
  keyrings: (core, given) => {
    const { keys, tokens, certificates, free } = ringOf(core, given);
    free();
    const shown = keys.map((key) => ({ ...key, public: key.public && hex(key.public) }));
    return { keys: shown, tokens, certificates };
  },
  signing_ed25519: (core, given) => {
    const message = fromHex(given.message);
    const signed = { public: fromHex(given.public), message, signature: fromHex(given.signature) };
    const holds = core.verifyEd25519(signed);
    // Enough of them together that the batch takes its own way.
    const together = core.verifyEd25519Batch(Array(16).fill(signed));
    if (!together.every((each) => each === holds)) throw new Error("a batch says something else");
    if (!holds) throw new Expected(MISMATCH);
    if (given.seed === null) return { public: null, signature: null };
    const seed = fromHex(given.seed);
    return { public: hex(core.ed25519Public(seed)), signature: hex(core.signEd25519(seed, message)) };
  },
  signing_hmac: (core, given) => {
    const [secret, message] = [fromHex(given.secret), fromHex(given.message)];
    if (!core.verifyHmac(secret, message, fromHex(given.tag))) throw new Expected(MISMATCH);
    return { tag: hex(core.signHmac(secret, message)) };
  },
  signing_records: (core, given) =>
    withRing(core, given, (ring) => {
      const found = ring.authenticate(bodyOf(given), { receivedAt: given.received_at });
      const { tenant, kid, record_digest, content_digest } = found;
      return { tenant, kid, record_digest, content_digest };
    }),
  signals_points: (core, given) => {
    const { values, columns } = windowOf(given.rows_bits);
    const read = given.rows.flat().map(Number);
    const isSame = (value, place) => Object.is(value, read[place]);
    if (!values.every(isSame)) throw new Error("the two spellings of a window differ");
    return summary(core, core.summarisePoints(values, columns, given));
  },
  signals_bytes: (core, given) =>
    summary(core, core.summariseBytes(decodeBase64(given.data), given)),
  merkle_roots: (core, given) => ({ root: hex(core.merkleRoot(given.leaves.map(fromHex))) }),
  merkle_inclusion: (core, given) => {
    const hashes = { root: fromHex(given.root), leafHash: fromHex(given.leaf_hash) };
    core.verifyInclusion({ ...given, ...hashes, proof: given.proof.map(fromHex) });
    return {};
  },
  merkle_consistency: (core, given) => {
    const roots = { root1: fromHex(given.root1), root2: fromHex(given.root2) };
    core.verifyConsistency({ ...given, ...roots, proof: given.proof.map(fromHex) });
    return {};
  },
  ring: (core, given) => {
    const { point, owner } = core.ring(given.shards, given.tenant, given.pcs_id);
    return { point: point.toString(16).padStart(8, "0"), owner };
  },
};

const PROOFS = { merkle_inclusion: "inclusion", merkle_consistency: "consistency" };

/** Returns what a case of the file states of a refusal. */
function stated(name, refused) {
  const { kind, code, reason, member, entry, row, column } = refused;
  if (kind === "record") return { code, reason, member };
  if (kind === "keyring") return { code: "keyring_refused", entry, member };
  if (kind === "window") return { code: "window_refused", row, column };
  if (name in PROOFS) return { code: "proof_refused", reason: PROOFS[name], member: null };
  if (name === "ring") return { code: "ring_refused", reason, member: "shards" };
  throw refused;
}

/** Returns the SDK's result and what it expects, in the terms of the file `name`. */
export function answer(core, name, given) {
  try {
    return { result: "valid", expected: ANSWERS[name](core, given) };
  } catch (error) {
    if (error instanceof Expected) return { result: "invalid", expected: error.expected };
    if (error instanceof Refused) return { result: "invalid", expected: stated(name, error) };
    throw error;
  }
}
