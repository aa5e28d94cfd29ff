/**
 * What was not accepted, in a browser: records with their answers, until somebody sends them again or
 * drops them. Each change is one transaction over all stores of the outbox.
 */

import type { Answer } from "../client/answer.js";
import { type PcsRecord, storedBytes } from "../protocol/record.js";
import { BYTES, RECORDS, REFUSED, STATE, begin, completed, result } from "./database.js";

/** A record that was not accepted, and the answer it got. */
export interface Refused {
  /** The number it had. */
  readonly seq: number;
  readonly pcsId: string;
  readonly shardId: string;
  readonly epoch: number;
  readonly status: number;
  /** The `code` of the server's problem document, `null` where it was none. */
  readonly code: string | null;
  /** The answer's body as text, its first 16,384 UTF-16 units. */
  readonly answer: string;
  /** When the answer came, milliseconds since 1970. */
  readonly refusedMs: number;
  /** The record's bytes. */
  readonly body: Uint8Array;
}

/** Problem documents and decisions are far below; a proxy's page is cut, the record is not. */
const ANSWER_UNITS_MAX = 16_384;

/** Keep a record and its answer; the last answer to a number counts. */
export async function keepRefused(database: IDBDatabase, seq: number, record: PcsRecord, answer: Answer): Promise<void> {
  const { pcsId, shardId, epoch } = record;
  const { status, code } = answer;
  const text = answer.text().slice(0, ANSWER_UNITS_MAX);
  const row: Refused = { seq, pcsId, shardId, epoch, status, code, answer: text, refusedMs: Date.now(), body: storedBytes(record) };
  const transaction = begin(database, "readwrite");
  const done = completed(transaction);
  const refused = transaction.objectStore(REFUSED);
  const known = refused.count(seq);
  known.addEventListener("success", () => {
    refused.put(row);
    if (known.result === 0) addBytes(transaction, row.body.length);
  });
  await done;
}

/** Yield them, oldest first. */
export async function* readRefused(database: IDBDatabase): AsyncGenerator<Refused, void> {
  const store = (): IDBObjectStore => begin(database, "readonly").objectStore(REFUSED);
  for (const seq of await result(store().getAllKeys())) {
    const row = (await result(store().get(seq))) as Refused | undefined;
    if (row !== undefined) yield row;
  }
}

/** Let records wait again, under new numbers, which are returned; all of them or none. */
export async function retryRefused(database: IDBDatabase, seqs: readonly number[]): Promise<number[]> {
  const numbers: number[] = [];
  const receivedMs = Date.now();
  await takeOut(database, seqs, (rows, transaction) => {
    for (const { shardId, body } of rows) {
      const added = transaction.objectStore(RECORDS).add({ shardId, receivedMs, body });
      added.addEventListener("success", () => numbers.push(added.result as number));
    }
  });
  return numbers;
}

/** Forget records; all of them or none. */
export async function dropRefused(database: IDBDatabase, seqs: readonly number[]): Promise<void> {
  await takeOut(database, seqs, (rows, transaction) => {
    addBytes(transaction, -rows.reduce((sum, { body }) => sum + body.length, 0));
  });
}

/** Take these out and do something with them in the same step; a number that none has is passed over. */
async function takeOut(
  database: IDBDatabase,
  seqs: readonly number[],
  work: (rows: readonly Refused[], transaction: IDBTransaction) => void,
): Promise<void> {
  const transaction = begin(database, "readwrite");
  const done = completed(transaction);
  const store = transaction.objectStore(REFUSED);
  const found = [...new Set(seqs)].map((seq) => store.get(seq) as IDBRequest<Refused | undefined>);
  // Requests are answered in their order: with the last one, all are.
  found.at(-1)?.addEventListener("success", () => {
    const rows = found.map(({ result: row }) => row).filter((row) => row !== undefined);
    for (const { seq } of rows) store.delete(seq);
    work(rows, transaction);
  });
  await done;
}

/** Count bytes that came or went, with the transaction's other changes. */
export function addBytes(transaction: IDBTransaction, count: number): void {
  const state = transaction.objectStore(STATE);
  const bytes = state.get(BYTES) as IDBRequest<number | undefined>;
  bytes.addEventListener("success", () => state.put(Math.max(0, (bytes.result ?? 0) + count), BYTES));
}
