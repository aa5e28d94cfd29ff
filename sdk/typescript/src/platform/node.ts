/** The platform of Node and Deno: `node:crypto`. */

import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import type { Platform } from "./types.js";

// RFC 8410: the bytes before the 32 of a seed in PKCS #8, and before those of a point in an SPKI.
const SEED_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");
const POINT_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

export const sha256: Platform["sha256"] = (...parts) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

export const hmacSha256: Platform["hmacSha256"] = (secret, message) =>
  createHmac("sha256", secret).update(message).digest();

export const ed25519Public: Platform["ed25519Public"] = (seed) => {
  const spki = createPublicKey(privateKey(seed)).export({ format: "der", type: "spki" });
  return new Uint8Array(spki.subarray(POINT_PREFIX.length));
};

export const ed25519Sign: Platform["ed25519Sign"] = (seed, message) =>
  sign(null, message, privateKey(seed));

export const ed25519Equation: Platform["ed25519Equation"] = (key, message, signature) => {
  const spki = Buffer.concat([POINT_PREFIX, key]);
  let point: KeyObject;
  try {
    point = createPublicKey({ key: spki, format: "der", type: "spki" });
  } catch {
    return false; // bytes that name no point
  }
  return verify(null, message, point, signature);
};

function privateKey(seed: Uint8Array): KeyObject {
  return createPrivateKey({
    key: Buffer.concat([SEED_PREFIX, seed]),
    format: "der",
    type: "pkcs8",
  });
}
