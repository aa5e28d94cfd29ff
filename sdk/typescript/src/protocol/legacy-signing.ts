/**
 * Signatures of version 0.1: a closed list of spellings, and nothing else.
 *
 * Old agents did not agree on the bytes they signed. Every spelling in use is named here and tried
 * in this order:
 *
 * ```text
 * 1  floats as Python's repr         HMAC over the bytes
 * 2                                  HMAC over their SHA-256
 * 3  floats as ECMAScript            HMAC over the bytes
 * 4                                  HMAC over their SHA-256
 * ```
 *
 * Ed25519 is tried over the SHA-256 of spelling 1, then over that of spelling 3. All are JSON of the
 * eight signed members, in the order of their bytes, without white space, and with everything
 * beyond ASCII escaped.
 */

import { sha256 } from "#platform";
import type { Key } from "./keyring.js";
import type { LegacySigned } from "./legacy-record.js";
import { verifyEd25519, verifyHmac } from "./signing.js";
import { hex, utf8 } from "./text.js";

const LEGACY_LABEL = "fractal-lba/legacy/1\n";

/** Returns spelling 1: floats as Python's `repr` writes them (`1.0`, `5e-05`). */
export function spelledAsPython(signed: LegacySigned): Uint8Array {
  return spelled(signed, pythonNumber);
}

/** Returns spelling 3: floats as ECMAScript writes them (`1`, `0.00005`). */
export function spelledAsEcmascript(signed: LegacySigned): Uint8Array {
  return spelled(signed, String);
}

/**
 * Returns the record's one name, lower-case hex: its record digest and its content digest.
 *
 * One name for all spellings, so that a record signed again in another one is a repeat.
 */
export function legacyDigest(signed: LegacySigned): string {
  return hex(sha256(utf8(LEGACY_LABEL), spelledAsPython(signed)));
}

/** Returns whether a signature is this key's, in one of the spellings of its algorithm. */
export function verifyLegacy(key: Key, signed: LegacySigned, signature: Uint8Array): boolean {
  const spellings = [spelledAsPython(signed), spelledAsEcmascript(signed)];
  if (key.alg === "hmac-sha256") {
    const { secret } = key;
    return (
      secret !== null &&
      spellings.some(
        (text) =>
          verifyHmac(secret, text, signature) || verifyHmac(secret, sha256(text), signature),
      )
    );
  }
  const { publicKey } = key;
  return (
    publicKey !== null &&
    spellings.some((text) => verifyEd25519(publicKey, sha256(text), signature))
  );
}

function spelled(signed: LegacySigned, number: (value: number) => string): Uint8Array {
  const members = [
    `"D_hat":${number(signed.dHat)}`,
    `"budget":${number(signed.budget)}`,
    `"coh_star":${number(signed.cohStar)}`,
    `"epoch":${signed.epoch}`,
    `"merkle_root":"${signed.merkleRoot}"`,
    `"pcs_id":"${signed.pcsId}"`,
    `"r":${number(signed.r)}`,
    `"shard_id":"${escaped(signed.shardId)}"`,
  ];
  return utf8(`{${members.join(",")}}`);
}

/** Spells a double of at most a million in size, whose digits are the same in both languages. */
function pythonNumber(value: number): string {
  if (value !== 0 && Math.abs(value) < 1e-4) {
    const [digits, exponent] = value.toExponential().split("e-") as [string, string];
    return `${digits}e-${exponent.padStart(2, "0")}`;
  }
  const text = String(value);
  return text.includes(".") ? text : `${text}.0`;
}

function escaped(text: string): string {
  // Without the flag u each half of a pair is one match.
  return text
    .replace(/["\\]/g, "\\$&")
    .replace(/[^\u0000-\u007f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
