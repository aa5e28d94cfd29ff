/**
 * The names of a record: of its window, of what was signed, and of what it says.
 *
 * A window has a `pcs_id`, a signed record a record digest, and an honest re-run over the same
 * window the same content digest. Each of the last two opens with its own label, so that no bytes
 * made for one use can pass for another.
 */

import { sha256 } from "#platform";
import { canonicalWithout, type JsonObject } from "./canonical.js";
import { hex, utf8 } from "./text.js";

const SIGNING_LABEL = "fractal-lba/pcs/1\n";
const CONTENT_LABEL = "fractal-lba/content/1\n";

const NOT_SIGNED: ReadonlySet<string> = new Set(["sig", "delivery"]);
// An honest re-run over the same window has another time, perhaps the next key, and on another
// machine another deflate; the Merkle root binds the window all the same.
const NOT_CONTENT: ReadonlySet<string> = new Set([
  ...["sig", "delivery"],
  ...["kid", "created_at", "ft", "meta", "r", "budget"],
]);

/**
 * Returns the id of the window `epoch` of the stream `shardId`, in lower-case hex.
 *
 * `shardId` holds no `|` in a valid record, so different windows have different ids.
 */
export function pcsId(merkleRoot: string, epoch: number, shardId: string): string {
  return hex(sha256(utf8(`${merkleRoot}|${epoch}|${shardId}`)));
}

/**
 * Returns the bytes a signature covers: every member but `sig` and `delivery`.
 *
 * @throws ContractError The members have no canonical form.
 */
export function signingInput(members: JsonObject): Uint8Array {
  return utf8(SIGNING_LABEL + canonicalWithout(members, NOT_SIGNED));
}

/** Returns the name of one signed record, in lower-case hex. */
export function recordDigest(signingInput: Uint8Array): string {
  return hex(sha256(signingInput));
}

/**
 * Returns the name of what a record says of its window, in lower-case hex.
 *
 * @throws ContractError The members have no canonical form.
 */
export function contentDigest(members: JsonObject): string {
  return hex(sha256(utf8(CONTENT_LABEL + canonicalWithout(members, NOT_CONTENT))));
}
