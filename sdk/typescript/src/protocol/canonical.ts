/**
 * Canonical bytes: one JSON value, one spelling (RFC 8785, JCS).
 *
 * What is signed and hashed are these bytes, so they must be the same in every language: members in
 * the order of their UTF-16 code units, numbers as ECMAScript writes them, no white space, UTF-8.
 */

import { ContractError } from "./errors.js";
import { utf8 } from "./text.js";

/** A JSON value. Numbers are doubles; only the own members of an object count. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;

/** A JSON object: its own enumerable members under their names. */
export interface JsonObject {
  readonly [name: string]: JsonValue;
}

/** Open objects and arrays of any JSON value, the outermost being 1. */
export const JCS_DEPTH_MAX = 64;

// A record counts the cells of 2 to 10 scales, whose names no object keeps in this order.
const INSERTED_MAX = 16;
const NAMES_KEPT = 256;
// A longer one may be a slice that keeps the whole text it was cut from alive.
const NAME_KEPT_MAX = 12;
const namesWritten = new Map<string, string>();

// What has no escape; most texts are such, and are written many times faster.
const PLAIN = /^[ !#-[\]-~]*$/;
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
  return written(value, JCS_DEPTH_MAX);
}

/** Returns the canonical text of an object without some of its members. */
export function canonicalWithout(members: JsonObject, names: ReadonlySet<string>): string {
  return writtenMembers(members, JCS_DEPTH_MAX - 1, names);
}

function written(value: JsonValue, levels: number): string {
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
      requireLevel(levels);
      if (Array.isArray(value)) return writtenItems(value as readonly JsonValue[], levels - 1);
      return writtenMembers(value as JsonObject, levels - 1);
    default:
      throw new ContractError(`value: expected a JSON type, got ${typeof value}`);
  }
}

function writtenMembers(
  members: JsonObject,
  levels: number,
  without?: ReadonlySet<string>,
): string {
  const names = sortedNames(members);
  let text = "{";
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    if (without?.has(name)) continue;
    const value = written(members[name] as JsonValue, levels);
    text += (text.length === 1 ? "" : ",") + writtenName(name) + value;
  }
  return text + "}";
}

function writtenItems(items: readonly JsonValue[], levels: number): string {
  let text = "";
  for (let i = 0; i < items.length; i++) {
    const item = written(items[i] as JsonValue, levels);
    text += i === 0 ? item : `,${item}`;
  }
  return `[${text}]`;
}

/** Returns the names of an object in the order of their UTF-16 code units. */
function sortedNames(members: JsonObject): readonly string[] {
  const names = Object.keys(members);
  // Of what was canonical they stand in order already, and to see that costs less than to sort.
  for (let i = 1; i < names.length; i++) {
    if ((names[i - 1] as string) > (names[i] as string)) return sorted(names, i);
  }
  return names;
}

/** Returns the names in order, of which those before a place are; few are put in their places. */
function sorted(names: string[], from: number): readonly string[] {
  if (names.length > INSERTED_MAX) return names.sort();
  for (let i = from; i < names.length; i++) {
    const name = names[i] as string;
    let place = i;
    for (; place > 0 && (names[place - 1] as string) > name; place--) {
      names[place] = names[place - 1] as string;
    }
    names[place] = name;
  }
  return names;
}

/** Returns a name with its colon; those that were written lately are looked up. */
function writtenName(name: string): string {
  if (name.length > NAME_KEPT_MAX) return `${writtenString(name)}:`;
  let text = namesWritten.get(name);
  if (text === undefined) {
    text = `${writtenString(name)}:`;
    // Emptied when full: names are a stranger's, and only the few of a record are worth keeping.
    if (namesWritten.size === NAMES_KEPT) namesWritten.clear();
    namesWritten.set(name, text);
  }
  return text;
}

function writtenString(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`;
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
