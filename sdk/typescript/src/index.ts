/**
 * What a record is, and what two programs must agree on about it: bytes in, values out.
 *
 * Pure: no I/O, no clock, no randomness; times and secrets are arguments. `specs/pcs.md` is the
 * normative text.
 */

export {
  type Authenticated,
  authenticate,
  authenticateRecord,
  LEGACY_TENANT,
  signRecord,
} from "./protocol/authenticate.js";
export {
  canonical,
  canonicalText,
  JCS_DEPTH_MAX,
  type JsonObject,
  type JsonValue,
} from "./protocol/canonical.js";
export { budget, type Counts, dHat, type Regime, regime, rounded } from "./protocol/derive.js";
export { RECORD_BYTES_MAX, SCHEMA } from "./protocol/document.js";
export * from "./protocol/errors.js";
export { contentDigest, pcsId, recordDigest, signingInput } from "./protocol/identity.js";
export {
  CURRENT_PARAMS,
  decisionBody,
  judge,
  LEGACY_PARAMS,
  type Outcome,
  type Params,
  type Reason,
  REASONS,
} from "./protocol/judge.js";
export {
  type Alg,
  type Identity,
  Key,
  type KeyMembers,
  Keyring,
  parseKeyring,
  type Resolve,
  type Scope,
} from "./protocol/keyring.js";
export { judgeLegacy, legacyDHat } from "./protocol/legacy-judge.js";
export {
  LEGACY_VERSION,
  type LegacyRecord,
  type LegacySigned,
  parseLegacyRecord,
} from "./protocol/legacy-record.js";
export {
  legacyDigest,
  spelledAsEcmascript,
  spelledAsPython,
  verifyLegacy,
} from "./protocol/legacy-signing.js";
export {
  type Consistency,
  type Inclusion,
  inclusionProof,
  leafHash,
  merkleRoot,
  merkleRootOfHashes,
  verifyConsistency,
  verifyInclusion,
} from "./protocol/merkle.js";
export {
  type Delivery,
  type FaultTolerance,
  parseRecord,
  type PcsRecord,
  type Profile,
  recordFromMembers,
  sentBytes,
  storedBytes,
  VERSION,
} from "./protocol/record.js";
export { pointOf, Ring, type Shard } from "./protocol/ring.js";
export {
  ed25519Public,
  signEd25519,
  signHmac,
  verifyEd25519,
  verifyHmac,
} from "./protocol/signing.js";
export { parseJson, RECORD_DEPTH_MAX } from "./protocol/strict-json.js";
export { decodeBase64, encodeBase64, fromHex, hex, utf8 } from "./protocol/text.js";
export { formatTimestamp, parseTimestamp } from "./protocol/timestamps.js";
export {
  type AnyRecord,
  isRemembered,
  judgeAny,
  parseAnyRecord,
  storedBytesOf,
} from "./protocol/versions.js";
