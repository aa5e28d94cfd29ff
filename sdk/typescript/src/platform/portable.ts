/**
 * The platform of browsers and of everything else: noble's hashes and curve.
 *
 * WebCrypto's Ed25519 is not asked: implementations of it differ in what they accept. Nor is noble's
 * `verify`, whose equation has the cofactor; the strict one is written out here.
 */

import { ed25519 } from "@noble/curves/ed25519.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 as sha2, sha512 } from "@noble/hashes/sha2.js";
import { areEqual, joined } from "../protocol/text.js";
import type { Platform } from "./types.js";

export const sha256: Platform["sha256"] = (...parts) => {
  const [first, ...more] = parts;
  if (first === undefined) return sha2(new Uint8Array());
  if (more.length === 0) return sha2(first);
  const hash = sha2.create();
  for (const part of parts) hash.update(part);
  return hash.digest();
};

export const hmacSha256: Platform["hmacSha256"] = (secret, message) => hmac(sha2, secret, message);

export const ed25519Public: Platform["ed25519Public"] = (seed) => ed25519.getPublicKey(seed);

export const ed25519Sign: Platform["ed25519Sign"] = (seed, message) => ed25519.sign(message, seed);

export const ed25519Equation: Platform["ed25519Equation"] = (key, message, signature) => {
  const { Point } = ed25519;
  const r = signature.subarray(0, 32);
  const s = littleEndian(signature.subarray(32));
  const k = littleEndian(sha512(joined(r, key, message))) % Point.Fn.ORDER;
  let a: InstanceType<typeof Point>;
  try {
    a = Point.fromBytes(key);
  } catch {
    return false; // bytes that name no point
  }
  // S·B = R + k·A, with R compared as bytes (RFC 8032 section 5.1.7, without the cofactor).
  const expected = Point.BASE.multiplyUnsafe(s).subtract(a.multiplyUnsafe(k));
  return areEqual(expected.toBytes(), r);
};

function littleEndian(data: Uint8Array): bigint {
  let value = 0n;
  for (const byte of [...data].reverse()) value = (value << 8n) | BigInt(byte);
  return value;
}
