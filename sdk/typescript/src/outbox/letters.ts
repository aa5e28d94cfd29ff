/**
 * Dead letters: records whose final answer was no acceptance, one line each of `dead-letters.ndjson`.
 *
 * The lines are the agent's (`specs/agent.md` section 4), so that `fractal-agent dead-letters` lists,
 * repeats and drops them, whoever wrote them. No effects: values in, bytes out, and back.
 */

import type { Answer } from "../client/answer.js";
import { ContractError } from "../protocol/errors.js";
import { type PcsRecord, storedBytes } from "../protocol/record.js";
import { utf8 } from "../protocol/text.js";
import { formatTimestamp } from "../protocol/timestamps.js";

const FORMAT = 1;

/** Problem documents and decisions are far below; a proxy's page is cut, the record is not. */
const ANSWER_CHARACTERS_MAX = 16_384;

/** A record of 64 KiB, an answer of the bound above with each character escaped, and the names. */
export const LETTER_BYTES_MAX = 256 << 10;

/** Return the line of a record and its final answer, with its end. */
export function letterLine(seq: number, record: PcsRecord, answer: Answer, nowMs: number): Uint8Array {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(answer.body);
  const beginning = {
    outbox_seq: seq,
    pcs_id: record.pcsId,
    epoch: record.epoch,
    shard_id: record.shardId,
    status: answer.status,
    code: answer.code,
    // Counted in characters: half of one would be no text.
    answer: text.length <= ANSWER_CHARACTERS_MAX ? text : [...text].slice(0, ANSWER_CHARACTERS_MAX).join(""),
  };
  // The record stands there as it was signed, byte for byte.
  const signed = new TextDecoder().decode(storedBytes(record));
  const end = `,"record":${signed},"at":${JSON.stringify(formatTimestamp(nowMs))},"v":${FORMAT}}\n`;
  return utf8(JSON.stringify(beginning).slice(0, -1) + end);
}

/**
 * Return the number of a letter, a line without its end; `null` where it is no letter.
 *
 * @throws ContractError A newer program wrote it.
 */
export function readLetter(line: Uint8Array, where: string): number | null {
  let read: unknown;
  try {
    read = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(line));
  } catch {
    return null;
  }
  if (typeof read !== "object" || read === null) return null;
  const letter = read as Readonly<Record<string, unknown>>;
  const { v, outbox_seq: seq } = letter;
  if (typeof v === "number" && Number.isInteger(v) && v > FORMAT) {
    throw new ContractError(`${where}: expected format ${FORMAT}, got ${v}: read it with a version that knows it`);
  }
  const texts = ["pcs_id", "shard_id", "answer", "at"].every((name) => typeof letter[name] === "string");
  const wholes = ["v", "epoch", "status"].every((name) => Number.isInteger(letter[name]));
  const isCode = letter["code"] === null || typeof letter["code"] === "string";
  const isSeq = typeof seq === "number" && Number.isSafeInteger(seq) && seq >= 1;
  return texts && wholes && isCode && isSeq && Object.hasOwn(letter, "record") ? seq : null;
}

/** How a line begins: what is left of a torn one shows whose it was. */
const BEGINNING = /^\{"outbox_seq":(-?[0-9]{1,32}),/;
const BEGINNING_BYTES_MAX = 64;

/** Return the number that a line which is no letter begins with, `null` where it shows none. */
export function numberOf(line: Uint8Array): number | null {
  const digits = BEGINNING.exec(new TextDecoder().decode(line.subarray(0, BEGINNING_BYTES_MAX)))?.[1];
  return digits === undefined ? null : Number(digits);
}
