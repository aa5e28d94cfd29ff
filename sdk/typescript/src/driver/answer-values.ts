/** How the golden vectors state a refusal and a double. */

import { canonical, canonicalText, hex, type JsonObject, type JsonValue, Refusal } from "../index.js";

/** The SDK refuses the input; `expected` says how, as a case states it. */
export class Refused extends Error {
  constructor(readonly expected: { readonly [name: string]: unknown }) {
    super(JSON.stringify(expected));
  }
}

/** Returns what is made; a refusal is thrown as a case states it. */
export function refusedAs<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { code, reason, member } = error;
    throw new Refused({ code, reason, member });
  }
}

/** Returns a double by its canonical text and its bits. */
export function real(value: number): { text: string; bits: string } {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return { text: canonicalText(value), bits: hex(new Uint8Array(view.buffer)) };
}

/** Returns the canonical bytes of a value, and each of its numbers in their order. */
export function canonicalNumbers(value: JsonValue): { canonical: string; numbers: object[] } {
  return { canonical: hex(canonical(value)), numbers: numbersOf(value) };
}

function numbersOf(value: JsonValue): object[] {
  if (typeof value === "number") return [real(value)];
  if (Array.isArray(value)) return value.flatMap(numbersOf);
  if (typeof value !== "object" || value === null) return [];
  const members = value as JsonObject;
  return Object.keys(members)
    .sort()
    .flatMap((name) => numbersOf(members[name] as JsonValue));
}
