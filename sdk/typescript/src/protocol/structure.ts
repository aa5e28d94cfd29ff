/**
 * Checks on one member: a parsed value in, a typed value out, or the refusal that names it.
 *
 * Every check has its own reason, so that (reason, member) says which rule was broken; the value
 * itself never appears in a message. An absent member is `undefined`.
 */

import { ContractError, Refusal } from "./errors.js";
import { decodeBase64, utf8Length } from "./text.js";
import { parseTimestamp } from "./timestamps.js";

/** The members of an object; one that is absent is `undefined`. */
export type Members = { readonly [name: string]: unknown };

/** 64 lower-case hexadecimal digits. */
export const HASH = /^[0-9a-f]{64}$/;
/** The name of a key or of a tenant. */
export const KID = /^[A-Za-z0-9._-]{1,64}$/;

const TAME_NAME = KID;

/** Throws the refusal of one member. */
export function refuse(reason: string, member: string, expected: string, got: string): never {
  const message = `${member}: expected ${expected}, got ${got}`;
  throw new Refusal("invalid_record", reason, message, member);
}

/** Throws the refusal of a member that is absent (`missing`) or of another type (`wrong_type`). */
export function refuseType(value: unknown, member: string, expected: string): never {
  if (value === undefined) refuse("missing", member, expected, "nothing");
  refuse("wrong_type", member, expected, "another type");
}

/** Returns an own member of an object, `undefined` where it is absent. */
export function member(members: Members, name: string): unknown {
  return Object.hasOwn(members, name) ? members[name] : undefined;
}

/** Returns an integer in a range. */
export function requireInteger(value: unknown, path: string, least: number, most: number): number {
  if (typeof value !== "number") refuseType(value, path, "an integer");
  if (!Number.isSafeInteger(value)) {
    refuse("not_an_integer", path, "an integer within ±(2^53−1)", "another number");
  }
  if (value < least || value > most) {
    refuse("out_of_range", path, `${least} … ${most}`, "an integer outside");
  }
  return value;
}

/** Returns any integer a double holds exactly and alone. */
export function requireSafeInteger(value: unknown, path: string): number {
  return requireInteger(value, path, -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
}

/** Returns a number in a range. */
export function requireNumber(value: unknown, path: string, least: number, most: number): number {
  if (typeof value !== "number") refuseType(value, path, "a number");
  if (!(value >= least && value <= most)) {
    refuse("out_of_range", path, `${least} … ${most}`, "a number outside");
  }
  return value;
}

/** Returns true or false. */
export function requireBoolean(value: unknown, path: string): boolean {
  if (typeof value !== "boolean") refuseType(value, path, "true or false");
  return value;
}

/** Returns a string of at most so many bytes of UTF-8. */
export function requireText(value: unknown, path: string, bytesMax: number): string {
  if (typeof value !== "string") refuseType(value, path, "a string");
  if (utf8Length(value) > bytesMax) {
    refuse("too_long", path, `at most ${bytesMax} bytes of UTF-8`, "more");
  }
  return value;
}

/** Returns a string that matches a pattern as a whole: the pattern is anchored. */
export function requireMatch(value: unknown, path: string, pattern: RegExp): string {
  if (typeof value !== "string") refuseType(value, path, "a string");
  if (!pattern.test(value)) {
    refuse("wrong_format", path, `a match of ${pattern.source.slice(1, -1)}`, "another text");
  }
  return value;
}

/** Returns a string of a closed set. */
export function requireOneOf<T extends string>(
  value: unknown,
  path: string,
  choices: readonly T[],
): T {
  if (typeof value !== "string") refuseType(value, path, "a string");
  const found = choices.find((choice) => choice === value);
  if (found === undefined) refuse("wrong_value", path, choices.join(" or "), "another text");
  return found;
}

/** Returns a timestamp and the milliseconds since 1970 it stands for. */
export function requireTimestamp(value: unknown, path: string): { text: string; ms: number } {
  if (typeof value !== "string") refuseType(value, path, "a string");
  try {
    return { text: value, ms: parseTimestamp(value) };
  } catch (error) {
    if (!(error instanceof ContractError)) throw error;
    refuse("wrong_format", path, "YYYY-MM-DDTHH:MM:SS.mmmZ from 1970 on", "another text");
  }
}

/** Returns the bytes of `sig`, none where it is absent or empty: that is refused later. */
export function requireSignature(value: unknown): Uint8Array {
  if (value === undefined || value === "") return new Uint8Array();
  if (typeof value !== "string") refuseType(value, "sig", "a string");
  let signature: Uint8Array;
  try {
    signature = decodeBase64(value);
  } catch (error) {
    if (!(error instanceof ContractError)) throw error;
    refuse("not_base64", "sig", "standard base64 with padding", "another text");
  }
  if (signature.length !== 32 && signature.length !== 64) {
    refuse("wrong_length", "sig", "32 or 64 bytes", String(signature.length));
  }
  return signature;
}

/** Refuses a `pcs_id` that is not the one its record must have. */
export function requireOwnId(pcsId: string, own: string): void {
  if (pcsId !== own) {
    const message = "pcs_id: expected the hash of merkle_root, epoch and shard_id, got another";
    throw new Refusal("pcs_id_mismatch", "pcs_id_mismatch", message, "pcs_id");
  }
}

/** Returns an array with a bounded number of items. */
export function requireArray(
  value: unknown,
  path: string,
  least: number,
  most: number,
): readonly unknown[] {
  if (!Array.isArray(value)) refuseType(value, path, "an array");
  if (value.length < least || value.length > most) {
    refuse("wrong_count", path, `${least} … ${most} items`, String(value.length));
  }
  return value;
}

/** Returns an object. */
export function requireObject(value: unknown, path: string): Members {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    refuseType(value, path, "an object");
  }
  return value as Members;
}

/** Refuses the first member, in canonical order, that is not one of the known names. */
export function refuseUnknown(members: Members, known: ReadonlySet<string>, path = ""): void {
  const names = Object.keys(members);
  if (names.every((name) => known.has(name))) return;
  const [first] = names.filter((name) => !known.has(name)).sort();
  refuse("unknown_member", path + shown(first as string), "no such member", "one");
}

/** Returns a name the sender chose as a message may hold it: as it is where it is tame. */
export function shown(name: string): string {
  return TAME_NAME.test(name) ? name : "?";
}
