/**
 * Canonical bytes: one JSON value, one spelling (RFC 8785, JCS).
 *
 * What is signed and hashed are these bytes, so they must be the same in every language: members in
 * the order of their UTF-16 code units, numbers as ECMAScript writes them, no white space, UTF-8.
 */

import { ContractError } from "./errors.js";
import { utf8 } from "./text.js";

/** A JSON value. Numbers are doubles; the objects `parseJson` returns have no prototype. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;

/** A JSON object: its own enumerable members under their names. */
export interface JsonObject {
  readonly [name: string]: JsonValue;
}

/** Open objects and arrays of any JSON value, the outermost being 1. */
export const JCS_DEPTH_MAX = 64;

const NONE: ReadonlySet<string> = new Set();
// Under the flag u a pair is one character, so that only a lone half matches.
const LONE_SURROGATE = /[\ud800-\udfff]/u;

/**
 * Returns the canonical bytes of a JSON value.
 *
 * @throws ContractError The value has no I-JSON form (RFC 7493): an infinity, a NaN, a lone
 *     surrogate, another type, or more than 64 levels.
 */
export function canonical(value: JsonValue): Uint8Array {
  return utf8(canonicalText(value));
}

/** Returns what {@link canonical} returns, as text. */
export function canonicalText(value: JsonValue): string {
  return written(value, JCS_DEPTH_MAX, NONE);
}

/** Returns the canonical text of an object without some of its members. */
export function canonicalWithout(members: JsonObject, names: ReadonlySet<string>): string {
  return writtenObject(members, JCS_DEPTH_MAX, names);
}

function written(value: JsonValue, levels: number, omitted: ReadonlySet<string>): string {
  switch (typeof value) {
    case "string":
      return writtenString(value);
    case "number":
      if (!Number.isFinite(value)) {
        throw new ContractError("number: expected a finite double, got an infinity or NaN");
      }
      return String(value); // "0" for -0 too
    case "boolean":
      return value ? "true" : "false";
    case "object":
      if (value === null) return "null";
      if (!Array.isArray(value)) return writtenObject(value as JsonObject, levels, omitted);
      requireLevel(levels);
      return `[${value.map((item: JsonValue) => written(item, levels - 1, NONE)).join(",")}]`;
    default:
      throw new ContractError(`value: expected a JSON type, got ${typeof value}`);
  }
}

function writtenObject(members: JsonObject, levels: number, omitted: ReadonlySet<string>): string {
  requireLevel(levels);
  let text = "";
  // The default order of sort is that of UTF-16 code units.
  for (const name of Object.keys(members).sort()) {
    if (omitted.has(name)) continue;
    const value = written(members[name] as JsonValue, levels - 1, NONE);
    text += `${text === "" ? "" : ","}${writtenString(name)}:${value}`;
  }
  return `{${text}}`;
}

function writtenString(text: string): string {
  requireUnicode(text);
  return JSON.stringify(text);
}

/** Returns whether a text has a UTF-8 form: it holds no lone surrogate. */
export function isUnicode(text: string): boolean {
  return !LONE_SURROGATE.test(text);
}

/** @throws ContractError The text holds a lone surrogate. */
export function requireUnicode(text: string): void {
  if (!isUnicode(text)) {
    throw new ContractError("string: expected Unicode text, got a lone surrogate");
  }
}

function requireLevel(levels: number): void {
  if (levels === 0) {
    throw new ContractError(`value: expected at most ${JCS_DEPTH_MAX} levels, got more`);
  }
}
