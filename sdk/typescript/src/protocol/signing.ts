/**
 * Signatures: HMAC-SHA256 with the full tag, and Ed25519 under one strict rule.
 *
 * RFC 8032 leaves a verifier room, and libraries use it differently: the same signature then holds
 * in one language and fails in another. The rule here leaves none. A signature is refused when its
 * scalar is not reduced (S ≥ L), when the key or R is not encoded canonically (y ≥ p), or when
 * either is a point of small order; what is left is the cofactorless equation.
 */

import { ed25519Equation, ed25519Public as derived, ed25519Sign, hmacSha256 } from "#platform";
import { ContractError } from "./errors.js";
import { areEqualInConstantTime } from "./text.js";

const FIELD_PRIME = 2n ** 255n - 19n;
const GROUP_ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
// The y of the points of order 1, 2, 4 and 8; with the sign bit and the spellings y + p that fit in
// 255 bits these are the 14 encodings of small order.
const ORDER_8_Y = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;
const SMALL_ORDER_Y = [0n, 1n, FIELD_PRIME - 1n, ORDER_8_Y, FIELD_PRIME - ORDER_8_Y];

/** Returns the 32-byte HMAC-SHA256 tag of a message (RFC 2104). */
export function signHmac(secret: Uint8Array, message: Uint8Array): Uint8Array {
  return hmacSha256(secret, message);
}

/** Returns whether the whole 32-byte tag is the message's, compared in constant time. */
export function verifyHmac(secret: Uint8Array, message: Uint8Array, tag: Uint8Array): boolean {
  return areEqualInConstantTime(hmacSha256(secret, message), tag);
}

/**
 * Returns the 64-byte Ed25519 signature of a message (RFC 8032 section 5.1.6, no pre-hash).
 *
 * @throws ContractError The seed is not 32 bytes long.
 */
export function signEd25519(seed: Uint8Array, message: Uint8Array): Uint8Array {
  requireSeed(seed);
  return ed25519Sign(seed, message);
}

/** Returns whether a signature holds under the strict rule of this module. */
export function verifyEd25519(
  key: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  return (
    key.length === 32 &&
    signature.length === 64 &&
    littleEndian(signature.subarray(32)) < GROUP_ORDER &&
    isStrictPoint(signature.subarray(0, 32)) &&
    isStrictPoint(key) &&
    ed25519Equation(key, message, signature)
  );
}

/**
 * Returns the 32-byte public key of a 32-byte seed (RFC 8032 section 5.1.5).
 *
 * @throws ContractError The seed is not 32 bytes long.
 */
export function ed25519Public(seed: Uint8Array): Uint8Array {
  requireSeed(seed);
  return derived(seed);
}

/**
 * Returns whether 32 bytes are canonical (y < p) and of none of the small-order points.
 *
 * Bytes that name no point at all pass here and fail in the equation.
 */
export function isStrictPoint(encoding: Uint8Array): boolean {
  const y = littleEndian(encoding) & (2n ** 255n - 1n);
  return y < FIELD_PRIME && !SMALL_ORDER_Y.includes(y);
}

function requireSeed(seed: Uint8Array): void {
  if (seed.length !== 32) {
    throw new ContractError(`Ed25519 seed: expected 32 bytes, got ${seed.length}`);
  }
}

function littleEndian(data: Uint8Array): bigint {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let value = 0n;
  for (let place = data.length - 8; place >= 0; place -= 8) {
    value = (value << 64n) | view.getBigUint64(place, true);
  }
  return value;
}
