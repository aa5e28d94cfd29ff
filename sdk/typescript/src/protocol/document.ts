/**
 * A record before its version is known: size, strict JSON, an object, and what it says it is.
 *
 * Every version is read through here, so that a body is refused for the same fault whichever
 * version it claims.
 */

import type { JsonObject } from "./canonical.js";
import { Refusal } from "./errors.js";
import { parseJson, RECORD_DEPTH_MAX } from "./strict-json.js";
import * as structure from "./structure.js";

export const SCHEMA = "fractal-lba-kakeya";

/** Bytes of a body as sent; the longest canonical record needs less than half of it. */
export const RECORD_BYTES_MAX = 65_536;

/**
 * Returns the members of the one object a body holds.
 *
 * @throws Refusal `too_large`, `bad_encoding`, `malformed_json`, or `invalid_record`
 *     (`not_an_object`), in this order.
 */
export function readDocument(body: Uint8Array): JsonObject {
  if (body.length > RECORD_BYTES_MAX) {
    const message = `record: expected at most ${RECORD_BYTES_MAX} bytes, got ${body.length}`;
    throw new Refusal("too_large", "record_too_large", message);
  }
  const value = parseJson(body, RECORD_DEPTH_MAX);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const message = "record: expected an object, got another value";
    throw new Refusal("invalid_record", "not_an_object", message);
  }
  return value as JsonObject;
}

/**
 * Returns which of the versions a document says it has.
 *
 * @throws Refusal `invalid_record` where it says nothing, `unsupported_version` where another.
 */
export function requireVersion<T extends string>(document: JsonObject, versions: readonly T[]): T {
  const version = structure.member(document, "version");
  if (typeof version !== "string") structure.refuseType(version, "version", "a string");
  const found = versions.find((known) => known === version);
  if (found === undefined) {
    const message = `version: expected ${versions.join(" or ")}, got another`;
    throw new Refusal("unsupported_version", "unsupported_version", message, "version");
  }
  return found;
}
