/**
 * Who signed a record: bytes and a keyring in, a record with its key and digests out.
 *
 * Nothing is looked up, remembered or judged before this has passed, so that a forged record cannot
 * take the pcs_id of an honest one. A key's validity in time is judged where the time of receipt is
 * known, and only for what is not a repeat.
 */

import type { JsonObject } from "./canonical.js";
import { ContractError, Refusal } from "./errors.js";
import { contentDigest, pcsId, recordDigest, signingInput } from "./identity.js";
import type { Alg, Key, Keyring } from "./keyring.js";
import type { LegacyRecord } from "./legacy-record.js";
import { legacyDigest, verifyLegacy } from "./legacy-signing.js";
import { type PcsRecord, recordFromMembers } from "./record.js";
import { signEd25519, signHmac, verifyEd25519, verifyHmac } from "./signing.js";
import { encodeBase64 } from "./text.js";
import { type AnyRecord, parseAnyRecord } from "./versions.js";

/** Whose keys a record of version 0.1 is tried with where its sender names no tenant. */
export const LEGACY_TENANT = "default";

const SIGNATURE_BYTES: Readonly<Record<Alg, number>> = { "hmac-sha256": 32, ed25519: 64 };

/** A record whose signature holds. */
export interface Authenticated<R extends AnyRecord = AnyRecord> {
  readonly record: R;
  readonly key: Key;
  /** Whose record it is: the tenant of the key. */
  readonly tenant: string;
  /** SHA-256 of the signing input, hex. */
  readonly recordDigest: string;
  /** SHA-256 of what it says of its window, hex; the record digest again for version 0.1. */
  readonly contentDigest: string;
}

/**
 * Returns the record a body holds, with the key that verified it.
 *
 * @param legacyTenant whose legacy keys a record of version 0.1 is tried with, since it names none;
 *     anyone's word. `null` takes no record of that version.
 * @throws Refusal as `parseAnyRecord`, then `unknown_key`, `signature_missing`,
 *     `signature_invalid`, in this order.
 */
export function authenticate(
  body: Uint8Array,
  keyring: Keyring,
  legacyTenant: string | null = null,
): Authenticated {
  const record = parseAnyRecord(body, { acceptsLegacy: legacyTenant !== null });
  return record.version === "1.0"
    ? authenticateRecord(record, keyring)
    : authenticateLegacy(record, legacyTenant === null ? [] : keyring.legacyKeys(legacyTenant));
}

/**
 * Verifies the signature of a record of version 1.0 that was parsed before.
 *
 * @throws Refusal `unknown_key`, `signature_missing` or `signature_invalid`, in this order.
 */
export function authenticateRecord(record: PcsRecord, keyring: Keyring): Authenticated<PcsRecord> {
  const key = keyring.key(record.kid);
  if (key === undefined) {
    const message = "kid: expected a key of the ring, got another";
    throw new Refusal("unknown_key", "unknown_key", message, "kid");
  }
  if (key.isShort) {
    const message = "kid: expected a key of at least 32 bytes, got one for version 0.1 only";
    throw new Refusal("unknown_key", "short_key", message, "kid");
  }
  const { signature } = record;
  requireSignature(signature, [key]);
  const signed = signingInput(record.members);
  const holds =
    key.alg === "hmac-sha256"
      ? key.secret !== null && verifyHmac(key.secret, signed, signature)
      : key.publicKey !== null && verifyEd25519(key.publicKey, signed, signature);
  if (!holds) throw mismatch();
  return {
    record,
    key,
    tenant: key.tenant,
    recordDigest: recordDigest(signed),
    contentDigest: contentDigest(record.members),
  };
}

function authenticateLegacy(
  record: LegacyRecord,
  keys: readonly Key[],
): Authenticated<LegacyRecord> {
  if (keys.length === 0) {
    const message = "X-Tenant-Id: expected a tenant with a key for version 0.1, got another";
    throw new Refusal("unknown_key", "no_legacy_key", message);
  }
  requireSignature(record.signature, keys);
  const key = keys.find((each) => verifyLegacy(each, record.signed, record.signature));
  if (key === undefined) throw mismatch();
  const digest = legacyDigest(record.signed);
  return { record, key, tenant: key.tenant, recordDigest: digest, contentDigest: digest };
}

/**
 * Returns the record with these members, signed: `kid` and `sig` are this key's, and a `pcs_id` that
 * is absent follows from the members.
 *
 * @param members under their names on the wire; copied.
 * @throws Refusal The members break a rule of the record; nothing was signed.
 * @throws ContractError The key cannot sign, or a value has no JSON form.
 */
export function signRecord(members: { readonly [name: string]: unknown }, key: Key): PcsRecord {
  const { secret } = key;
  if (secret === null) {
    throw new ContractError(`key "${key.kid}": expected a secret to sign with, got none`);
  }
  if (key.isShort) {
    throw new ContractError(`key "${key.kid}": expected at least 32 bytes, got a shorter secret`);
  }
  const { merkle_root: root, epoch, shard_id: shard } = members;
  const isNamed = members["pcs_id"] !== undefined;
  const canBeNamed =
    typeof root === "string" && typeof epoch === "number" && typeof shard === "string";
  const record = recordFromMembers({
    ...members,
    ...(isNamed || !canBeNamed ? {} : { pcs_id: pcsId(root, epoch, shard) }),
    kid: key.kid,
    sig: undefined,
  });
  const message = signingInput(record.members);
  const signature =
    key.alg === "hmac-sha256" ? signHmac(secret, message) : signEd25519(secret, message);
  // Checked above but for the signature, which is made here: to read it all again is the same.
  const signed: JsonObject = { ...record.members, sig: encodeBase64(signature) };
  return { ...record, signature, members: signed };
}

function requireSignature(signature: Uint8Array, keys: readonly Key[]): void {
  if (signature.length === 0) {
    const message = "sig: expected one, got none";
    throw new Refusal("signature_missing", "signature_missing", message, "sig");
  }
  if (!keys.some((key) => SIGNATURE_BYTES[key.alg] === signature.length)) {
    const message = `sig: expected the length of a key's, got ${signature.length} bytes`;
    throw new Refusal("signature_invalid", "signature_length", message, "sig");
  }
}

function mismatch(): Refusal {
  const message = "sig: expected this key's signature of the record, got another";
  return new Refusal("signature_invalid", "signature_mismatch", message, "sig");
}
