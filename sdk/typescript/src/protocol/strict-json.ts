/**
 * Strict JSON: bytes in, one value out, or the one reason why not.
 *
 * Two programs that read the same bytes must see the same value, so whatever parsers treat
 * differently is refused: duplicate members, lone surrogates, literals that overflow, and any syntax
 * RFC 8259 does not have. `JSON.parse` keeps the last of two members and any surrogate, so it sees
 * only what was looked through before.
 *
 * A document can break several rules. It is refused for the first one in the order of `RANKED`,
 * wherever in it that fault stands: the first five stop the reader, the others are noted.
 */

import { isUnicode, type JsonValue } from "./canonical.js";
import { Refusal } from "./errors.js";

/** Open objects and arrays in a record; a valid one has three. */
export const RECORD_DEPTH_MAX = 8;

/** A double needs 25; a longer literal only costs the reader time. */
export const NUMBER_CHARACTERS_MAX = 64;

const RANKED = {
  byte_order_mark: "document: expected no byte order mark, got one",
  invalid_utf8: "document: expected UTF-8, got other bytes",
  too_deep: "document: expected fewer nested objects and arrays, got too many",
  syntax: "document: expected the grammar of RFC 8259, got something else",
  trailing_data: "document: expected its end after the value, got more",
  number_too_long: "number: expected at most 64 characters, got more",
  number_overflow: "number: expected a finite double, got a literal that overflows",
  lone_surrogate: "string: expected Unicode text, got a lone surrogate",
  duplicate_member: "object: expected each name once, got a duplicate",
} as const;
type Reason = keyof typeof RANKED;
const NOTED = [
  "number_too_long",
  "number_overflow",
  "lone_surrogate",
  "duplicate_member",
] as const satisfies readonly Reason[];

const NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$/;
const NUMBER_RUN = /[-+.0-9eE]*/y;
const PLAIN_RUN = /[^"\\\u0000-\u001f]*/y;
const FOUR_DIGITS = /^[0-9a-fA-F]{4}$/;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

/**
 * Returns the one value the bytes hold. A number is the double its literal rounds to, never `-0`. Of
 * an object its own members count: ask with `Object.hasOwn`, since a name may be `toString`.
 *
 * @param data a whole document.
 * @param depthMax how many objects and arrays may be open at once, the outermost being 1:
 *     `RECORD_DEPTH_MAX` or `JCS_DEPTH_MAX`.
 * @throws Refusal `bad_encoding` or `malformed_json`.
 */
export function parseJson(data: Uint8Array, depthMax: number): JsonValue {
  if (data[0] === 0xef && data[1] === 0xbb && data[2] === 0xbf) throw refusal("byte_order_mark");
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    throw refusal("invalid_utf8"); // the decoder's own error says no more
  }
  if (isTooDeep(text, depthMax)) throw refusal("too_deep");
  return new Reader(text).document();
}

function refusal(reason: Reason): Refusal {
  const isEncoding = reason === "byte_order_mark" || reason === "invalid_utf8";
  return new Refusal(isEncoding ? "bad_encoding" : "malformed_json", reason, RANKED[reason]);
}

/** A scan of its own, so that it asks for no grammar and runs before the reader recurses. */
function isTooDeep(text: string, depthMax: number): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 0x22) inString = !inString;
    else if (inString) {
      if (unit === 0x5c) i++;
    } else if (unit === 0x7b || unit === 0x5b) {
      if (++depth > depthMax) return true;
    } else if (unit === 0x7d || unit === 0x5d) depth--;
  }
  return false;
}

/** Returns a value, and 0 for -0. */
function unsigned(_name: string, value: unknown): unknown {
  return value === 0 ? 0 : value;
}

/** Looks a document through; what it holds is then `JSON.parse`'s, which makes objects quicker. */
class Reader {
  private at = 0;
  private readonly noted = new Set<Reason>();
  /** Whether a number is -0, which `JSON.parse` keeps. */
  private isZeroSigned = false;

  constructor(private readonly text: string) {}

  document(): JsonValue {
    this.skipSpace();
    this.value();
    this.skipSpace();
    if (this.at < this.text.length) throw refusal("trailing_data");
    for (const reason of NOTED) {
      if (this.noted.has(reason)) throw refusal(reason);
    }
    return JSON.parse(this.text, this.isZeroSigned ? unsigned : undefined);
  }

  private value(): void {
    switch (this.text.charCodeAt(this.at)) {
      case 0x7b:
        return this.object();
      case 0x5b:
        return this.array();
      case 0x22:
        this.string();
        return;
      case 0x74:
        return this.word("true");
      case 0x66:
        return this.word("false");
      case 0x6e:
        return this.word("null");
      default:
        return this.number();
    }
  }

  private object(): void {
    const names = new Set<string>();
    this.at++;
    this.skipSpace();
    if (this.take(0x7d)) return;
    for (;;) {
      if (this.text.charCodeAt(this.at) !== 0x22) throw refusal("syntax");
      const name = this.string();
      this.skipSpace();
      if (!this.take(0x3a)) throw refusal("syntax");
      this.skipSpace();
      if (names.has(name)) this.noted.add("duplicate_member");
      names.add(name);
      this.value();
      this.skipSpace();
      if (this.take(0x7d)) return;
      if (!this.take(0x2c)) throw refusal("syntax");
      this.skipSpace();
    }
  }

  private array(): void {
    this.at++;
    this.skipSpace();
    if (this.take(0x5d)) return;
    for (;;) {
      this.value();
      this.skipSpace();
      if (this.take(0x5d)) return;
      if (!this.take(0x2c)) throw refusal("syntax");
      this.skipSpace();
    }
  }

  private string(): string {
    this.at++;
    let read = this.run(PLAIN_RUN);
    let isEscaped = false;
    while (!this.take(0x22)) {
      if (!this.take(0x5c)) throw refusal("syntax"); // a control character, or the end
      read += this.escape() + this.run(PLAIN_RUN);
      isEscaped = true;
    }
    // Sound UTF-8 has no surrogates, and so each half of a pair comes from an escape of its own.
    if (isEscaped && !isUnicode(read)) this.noted.add("lone_surrogate");
    return read;
  }

  private escape(): string {
    const letter = this.text.charAt(this.at++);
    if (letter === "u") {
      const digits = this.text.slice(this.at, this.at + 4);
      if (!FOUR_DIGITS.test(digits)) throw refusal("syntax");
      this.at += 4;
      return String.fromCharCode(parseInt(digits, 16));
    }
    const character = Object.hasOwn(ESCAPES, letter) ? ESCAPES[letter] : undefined;
    if (character === undefined) throw refusal("syntax");
    return character;
  }

  private number(): void {
    const literal = this.run(NUMBER_RUN);
    if (!NUMBER.test(literal)) throw refusal("syntax");
    if (literal.length > NUMBER_CHARACTERS_MAX) {
      this.noted.add("number_too_long");
      return;
    }
    const value = Number(literal);
    if (!Number.isFinite(value)) this.noted.add("number_overflow");
    this.isZeroSigned ||= Object.is(value, -0);
  }

  private word(word: string): void {
    if (!this.text.startsWith(word, this.at)) throw refusal("syntax");
    this.at += word.length;
  }

  private run(pattern: RegExp): string {
    const start = (pattern.lastIndex = this.at);
    pattern.test(this.text); // it matches no character, too
    this.at = pattern.lastIndex;
    return this.text.slice(start, this.at);
  }

  private take(unit: number): boolean {
    if (this.text.charCodeAt(this.at) !== unit) return false;
    this.at++;
    return true;
  }

  private skipSpace(): void {
    for (;;) {
      const unit = this.text.charCodeAt(this.at);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return;
      this.at++;
    }
  }
}
