/**
 * What this SDK says to the input of a case: one function for each file of golden vectors.
 *
 * Each returns what is expected of a valid case and throws `Refused` for an invalid one. The file
 * `http_exchanges.json` is not here: it is for who writes a server.
 */

import {
  authenticate,
  ContractError,
  contentDigest,
  decisionBody,
  decodeBase64,
  ed25519Public,
  encodeBase64,
  fromHex,
  hex,
  type Identity,
  isRemembered,
  JCS_DEPTH_MAX,
  judge,
  judgeAny,
  Keyring,
  KeyringError,
  LEGACY_TENANT,
  merkleRoot,
  parseJson,
  parseKeyring,
  parseRecord,
  parseTimestamp,
  type PcsRecord,
  pcsId,
  pointOf,
  RECORD_DEPTH_MAX,
  recordDigest,
  Refusal,
  Ring,
  RingError,
  type Shard,
  signEd25519,
  signHmac,
  signingInput,
  spelledAsEcmascript,
  spelledAsPython,
  storedBytes,
  storedBytesOf,
  verifyConsistency,
  verifyEd25519,
  verifyHmac,
  verifyInclusion,
} from "../index.js";
import { canonicalNumbers, real, Refused, refusedAs } from "./answer-values.js";
import { signalsBytes, signalsPoints } from "./signal-answers.js";

export { Refused };

/** A case's input. */
export type Given = { readonly [name: string]: any };
/** What a case expects. */
export type Expected = { readonly [name: string]: unknown };
/** What is said to a case of one file. */
export type Answer = (given: Given) => Expected | Promise<Expected>;

/** Every file of golden vectors that an SDK answers, by its name. */
export const answers: { readonly [file: string]: Answer } = {
  "canonical.json": (given) => canonicalOf(given, JCS_DEPTH_MAX),
  "json_refusals.json": jsonRefusals,
  "ids.json": (given) => ({ pcs_id: pcsId(given.merkle_root, given.epoch, given.shard_id) }),
  "digests.json": digests,
  "records_1_0.json": records10,
  "records_0_1.json": records01,
  "outcomes.json": outcomes,
  "signing_ed25519.json": signingEd25519,
  "signing_hmac.json": signingHmac,
  "keyrings.json": keyrings,
  "signing_records.json": signingRecords,
  "signals_points.json": signalsPoints,
  "signals_bytes.json": signalsBytes,
  "merkle_roots.json": (given) => ({ root: hex(merkleRoot(given.leaves.map(fromHex))) }),
  "merkle_inclusion.json": merkleInclusion,
  "merkle_consistency.json": merkleConsistency,
  "ring.json": ring,
};

function canonicalOf(given: Given, depthMax: number): Expected {
  const value = refusedAs(() => parseJson(fromHex(given.document), depthMax));
  return canonicalNumbers(value);
}

function jsonRefusals(given: Given): Expected {
  const depths: { [layer: string]: number } = { jcs: JCS_DEPTH_MAX, record: RECORD_DEPTH_MAX };
  return canonicalOf(given, depths[given.layer] as number);
}

function bodyOf(given: Given): Uint8Array {
  const sent = decodeBase64(given.body);
  const body = new Uint8Array(sent.length + given.trailing_spaces).fill(0x20);
  body.set(sent);
  return body;
}

function recordOf(given: Given): PcsRecord {
  return refusedAs(() => parseRecord(bodyOf(given)));
}

function digests(given: Given): Expected {
  const { members } = recordOf(given);
  const signed = signingInput(members);
  return {
    signing_input: encodeBase64(signed),
    record_digest: recordDigest(signed),
    content_digest: contentDigest(members),
  };
}

function records10(given: Given): Expected {
  const record = recordOf(given);
  return { pcs_id: record.pcsId, stored: encodeBase64(storedBytes(record)) };
}

function records01(given: Given): Expected {
  const keys = keyringOf(given.keyring);
  const tenant = given.accepts_legacy ? (given.tenant ?? LEGACY_TENANT) : null;
  return refusedAs(() => {
    const found = authenticate(bodyOf(given), keys, tenant);
    requireValid(found.key.isValidAt(parseTimestamp(given.received_at)), null);
    const outcome = judgeAny(found.record);
    const remembered = isRemembered(found.record, outcome);
    const { record } = found;
    if (record.version !== "0.1" || found.contentDigest !== found.recordDigest) {
      throw new Error("expected a record of version 0.1 with one digest, got another");
    }
    return {
      tenant: found.tenant,
      kid: found.key.kid,
      pcs_id: record.pcsId,
      digest: found.recordDigest,
      as_python: encodeBase64(spelledAsPython(record.signed)),
      as_ecmascript: encodeBase64(spelledAsEcmascript(record.signed)),
      stored: encodeBase64(storedBytesOf(record)),
      status: outcome.status,
      reasons: outcome.reasons,
      recomputed_budget: real(outcome.recomputedBudget),
      decision_body: encodeBase64(decisionBody(record.pcsId, found.recordDigest, outcome)),
      remembered,
    };
  });
}

function requireValid(isValid: boolean, member: string | null): void {
  if (!isValid) {
    throw new Refused({ code: "key_not_valid_now", reason: "key_not_valid_now", member });
  }
}

function outcomes(given: Given): Expected {
  const record = recordOf(given);
  const outcome = judge(record);
  const body = decisionBody(record.pcsId, recordDigest(signingInput(record.members)), outcome);
  return {
    status: outcome.status,
    accepted: outcome.accepted,
    escalated: outcome.escalated,
    reasons: outcome.reasons,
    recomputed_D_hat: outcome.recomputedDHat === null ? null : real(outcome.recomputedDHat),
    recomputed_budget: real(outcome.recomputedBudget),
    params_version: outcome.paramsVersion,
    decision_body: encodeBase64(body),
  };
}

function requireSignature(holds: boolean): void {
  if (!holds) {
    throw new Refused({ code: "signature_invalid", reason: "signature_mismatch", member: "sig" });
  }
}

function signingEd25519(given: Given): Expected {
  const message = fromHex(given.message);
  requireSignature(verifyEd25519(fromHex(given.public), message, fromHex(given.signature)));
  if (given.seed === null) return { public: null, signature: null };
  const seed = fromHex(given.seed);
  return { public: hex(ed25519Public(seed)), signature: hex(signEd25519(seed, message)) };
}

function signingHmac(given: Given): Expected {
  const [secret, message] = [fromHex(given.secret), fromHex(given.message)];
  requireSignature(verifyHmac(secret, message, fromHex(given.tag)));
  return { tag: hex(signHmac(secret, message)) };
}

function keyringOf(text: string): Keyring {
  try {
    return parseKeyring(decodeBase64(text));
  } catch (error) {
    if (!(error instanceof KeyringError)) throw error;
    throw new Refused({ code: "keyring_refused", entry: error.entry, member: error.member });
  }
}

function keyrings(given: Given): Expected {
  const identities = (found: ReadonlyMap<string, Identity>): object[] =>
    [...found.values()].map(({ tenant, scopes }) => ({ tenant, scopes: [...scopes].sort() }));
  const found = keyringOf(given.keyring);
  return {
    keys: [...found.keys.values()].map(({ kid, tenant, alg, publicKey, legacy }) => ({
      kid,
      tenant,
      alg,
      public: publicKey === null ? null : hex(publicKey),
      legacy,
    })),
    tokens: identities(found.tokens),
    certificates: identities(found.certificates),
  };
}

function signingRecords(given: Given): Expected {
  const keys = keyringOf(given.keyring);
  const found = refusedAs(() => authenticate(bodyOf(given), keys));
  requireValid(found.key.isValidAt(parseTimestamp(given.received_at)), "kid");
  return {
    tenant: found.tenant,
    kid: found.key.kid,
    record_digest: found.recordDigest,
    content_digest: found.contentDigest,
  };
}

function proved(reason: string, verify: () => void): Expected {
  try {
    verify();
  } catch (error) {
    if (!(error instanceof ContractError) || error instanceof Refusal) throw error;
    throw new Refused({ code: "proof_refused", reason, member: null });
  }
  return {};
}

function merkleInclusion({ root, size, index, leaf_hash, proof }: Given): Expected {
  return proved("inclusion", () =>
    verifyInclusion({
      root: fromHex(root),
      size,
      index,
      leafHash: fromHex(leaf_hash),
      proof: proof.map(fromHex),
    }),
  );
}

function merkleConsistency({ size1, size2, root1, root2, proof }: Given): Expected {
  return proved("consistency", () =>
    verifyConsistency({
      size1,
      size2,
      root1: fromHex(root1),
      root2: fromHex(root2),
      proof: proof.map(fromHex),
    }),
  );
}

function ring(given: Given): Expected {
  try {
    const owner = new Ring(given.shards as Shard[]).ownerOf(given.tenant, given.pcs_id);
    const point = pointOf(given.tenant, given.pcs_id).toString(16).padStart(8, "0");
    return { point, owner };
  } catch (error) {
    if (!(error instanceof RingError)) throw error;
    throw new Refused({ code: "ring_refused", reason: error.reason, member: "shards" });
  }
}
