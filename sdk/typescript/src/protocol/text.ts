/** Bytes and their texts: UTF-8, lower-case hexadecimal, and base64 with one spelling. */

import { ContractError } from "./errors.js";

const ENCODER = /* @__PURE__ */ new TextEncoder();
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// A text of a third as many units fits in any case; a record's does.
const SCRATCH_BYTES = 16_384;
const SCRATCH = /* @__PURE__ */ new Uint8Array(SCRATCH_BYTES);

/** Returns the UTF-8 form of a text; a lone surrogate becomes U+FFFD. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  if (text.length > SCRATCH_BYTES / 3) return ENCODER.encode(text);
  // A third faster for a record than `encode`, which makes room for the longest form first.
  return SCRATCH.slice(0, ENCODER.encodeInto(text, SCRATCH).written);
}

/** Returns how many bytes the UTF-8 form of a text has. */
export function utf8Length(text: string): number {
  // Of a short text without a character beyond ASCII, as most are, nothing is made.
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) return ENCODER.encode(text).length;
  }
  return text.length;
}

/** Returns lower-case hexadecimal. */
export function hex(data: Uint8Array): string {
  let text = "";
  for (const byte of data) text += (byte < 16 ? "0" : "") + byte.toString(16);
  return text;
}

/**
 * Returns the bytes that lower-case hexadecimal stands for.
 *
 * @throws ContractError Another text.
 */
export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/.test(text)) {
    throw new ContractError("hexadecimal: expected pairs of lower-case digits, got another text");
  }
  const data = new Uint8Array(text.length / 2);
  for (let i = 0; i < data.length; i++) data[i] = parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return data;
}

/** Returns the standard base64 text with padding (RFC 4648 section 4). */
export function encodeBase64(data: Uint8Array): string {
  let text = "";
  for (let i = 0; i < data.length; i += 3) {
    const [a, b, c] = [data[i] as number, data[i + 1], data[i + 2]];
    const bits = (a << 16) | ((b ?? 0) << 8) | (c ?? 0);
    text += ALPHABET.charAt(bits >> 18) + ALPHABET.charAt((bits >> 12) & 63);
    text += b === undefined ? "=" : ALPHABET.charAt((bits >> 6) & 63);
    text += c === undefined ? "=" : ALPHABET.charAt(bits & 63);
  }
  return text;
}

/**
 * Returns the bytes a standard base64 text stands for.
 *
 * @throws ContractError Another alphabet, white space, missing padding, or pad bits that are not
 *     zero: what {@link encodeBase64} would not have written.
 */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  // Not atob: it takes white space, missing padding and any pad bits.
  const digits = text.replace(/={1,2}$/, "");
  const data = new Uint8Array((digits.length * 6) >> 3);
  let bits = 0;
  let held = 0;
  let place = 0;
  for (const digit of digits) {
    const value = ALPHABET.indexOf(digit);
    if (value < 0) throw notBase64();
    bits = ((bits << 6) | value) & 0xffff;
    held += 6;
    if (held >= 8) {
      held -= 8;
      data[place++] = (bits >> held) & 0xff;
    }
  }
  const padBits = bits & ((1 << held) - 1);
  if (text.length % 4 !== 0 || digits.length % 4 === 1 || padBits !== 0) throw notBase64();
  return data;
}

function notBase64(): ContractError {
  return new ContractError("base64: expected the standard alphabet and padding, got another text");
}

/** Returns bytes one after the other. */
export function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const data = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let place = 0;
  for (const part of parts) {
    data.set(part, place);
    place += part.length;
  }
  return data;
}

/** Returns whether two byte strings are equal; of public bytes, its time tells where they differ. */
export function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Returns whether two byte strings are equal, in a time that tells nothing but their lengths. */
export function areEqualInConstantTime(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] as number);
  return difference === 0;
}
