/**
 * Batches: records in lines out, an answer for each line back.
 *
 * The rule kept here is that lines and answers stay in step by their number alone, so what is sent
 * holds one line for each record and nothing else, and an answer that does not hold one whole line
 * for each of them answers none.
 */

import { ContractError, UnavailableError } from "../protocol/errors.js";
import { Answer } from "./answer.js";

export const BATCH_RECORDS_MAX = 10_000;
/** Of the lines before they are compressed. */
export const BATCH_BYTES_MAX = 16 << 20;
const RECORD_BYTES_MAX = 65_536;
/** Counted over all lines of an answer: a decision has some 400 bytes, a problem some 900. */
export const ANSWER_LINE_BYTES_MAX = 4_096;
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

/** Yield records in order, in pieces that a batch takes; none for no record. */
export function* splitBatch(
  bodies: readonly Uint8Array[],
  bounds: { readonly recordsMax?: number; readonly bytesMax?: number } = {},
): Generator<readonly Uint8Array[], void> {
  const { recordsMax = BATCH_RECORDS_MAX, bytesMax = BATCH_BYTES_MAX } = bounds;
  let start = 0;
  let size = 0;
  for (const [at, body] of bodies.entries()) {
    const lineBytes = body.length + 1;
    if (at > start && (at - start === recordsMax || size + lineBytes > bytesMax)) {
      yield bodies.slice(start, at);
      [start, size] = [at, 0];
    }
    size += lineBytes;
  }
  if (bodies.length > 0) yield bodies.slice(start);
}

/**
 * Return the lines of a batch.
 *
 * @throws ContractError There is no record, there are too many, they are too large together, or one
 *   is no line: empty, with a line feed or carriage return in it, or over 64 KiB. Such a batch would
 *   be refused as a whole, or answered out of step.
 */
export function joined(bodies: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  if (bodies.length < 1 || bodies.length > BATCH_RECORDS_MAX) {
    throw new ContractError(`batch: expected 1 to ${BATCH_RECORDS_MAX} records, got ${bodies.length}`);
  }
  let size = 0;
  for (const [at, body] of bodies.entries()) {
    if (body.length === 0 || body.includes(LINE_FEED) || body.includes(CARRIAGE_RETURN)) {
      throw new ContractError(`batch: expected record ${at} to be one line, got another form`);
    }
    if (body.length > RECORD_BYTES_MAX) {
      throw new ContractError(
        `batch: expected record ${at} to have at most ${RECORD_BYTES_MAX} bytes, got ${body.length}`,
      );
    }
    size += body.length + 1;
  }
  if (size > BATCH_BYTES_MAX) {
    throw new ContractError(`batch: expected at most ${BATCH_BYTES_MAX} bytes, got ${size}`);
  }
  const lines = new Uint8Array(size).fill(LINE_FEED);
  let at = 0;
  for (const body of bodies) {
    lines.set(body, at);
    at += body.length + 1;
  }
  return lines;
}

/**
 * Return the answers in the body of a `200`.
 *
 * @throws UnavailableError It is not one whole line for each of `count` records: none was answered.
 */
export function readLines(data: Uint8Array, count: number): Answer[] {
  // What is cut at its last line feed is cut.
  if (data.at(-1) !== LINE_FEED) {
    throw new UnavailableError(`batch answer: expected ${count} whole lines, got something else`);
  }
  const lines: Uint8Array[] = [];
  for (let start = 0, end = 0; start < data.length; start = end + 1) {
    end = data.indexOf(LINE_FEED, start);
    lines.push(data.subarray(start, end));
  }
  if (lines.length !== count) {
    throw new UnavailableError(`batch answer: expected ${count} lines, got ${lines.length}`);
  }
  return lines.map(answerOf);
}

function answerOf(line: Uint8Array): Answer {
  let read: unknown;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(line);
    read = JSON.parse(text);
  } catch {
    throw notALine();
  }
  if (typeof read !== "object" || read === null || !("body" in read) || !("status" in read)) throw notALine();
  const { status } = read;
  if (typeof status !== "number" || !Number.isInteger(status) || status < 200 || status > 599) throw notALine();
  const members = read as Record<string, unknown>;
  const receivedAt = members["received_at"];
  const retryAfter = members["retry_after"];
  return new Answer({
    status,
    body: new TextEncoder().encode(rawBody(text, members["body"])),
    replayed: members["replayed"] === true,
    receivedAt: typeof receivedAt === "string" ? receivedAt : null,
    retryAfterS: typeof retryAfter === "number" && retryAfter >= 0 ? retryAfter : null,
  });
}

/**
 * Return the text of a line's `body` as the server wrote it, so that a repeat is the same bytes.
 *
 * The line is JSON already; what is looked for is where the value of that member begins and ends.
 */
function rawBody(text: string, body: unknown): string {
  let depth = 0;
  let start = -1;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === '"') {
      const end = stringEnd(text, at);
      if (depth === 1 && start === -1 && text.slice(at, end) === '"body"' && text[end] === ":") start = end + 1;
      at = end - 1;
    } else if (character === "{" || character === "[") {
      depth += 1;
    } else if (character === "}" || character === "]") {
      depth -= 1;
    }
    const isEnd = start !== -1 && at >= start && (depth === 0 || (depth === 1 && character === ","));
    if (isEnd) return text.slice(start, at);
  }
  return JSON.stringify(body); // The member's name was spelled with escapes: not by our server.
}

/** Return where the string that begins at `at` ends, behind its quote. */
function stringEnd(text: string, at: number): number {
  let end = at + 1;
  while (text[end] !== '"') end += text[end] === "\\" ? 2 : 1;
  return end + 1;
}

function notALine(): UnavailableError {
  // The parser's own text may quote what came.
  return new UnavailableError("batch answer: expected each line to have a status and a body, got something else");
}
