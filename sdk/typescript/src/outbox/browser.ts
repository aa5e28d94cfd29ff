/**
 * A durable outbox for browsers: signed records in IndexedDB until they are answered.
 *
 * `append` returns when the record's transaction is complete with `durability: "strict"`: the browser
 * has asked the disk to keep it. A number is given once: the store's key generator never goes back.
 * What waits is there after a reload, a crash of the page or the browser, and a time without network;
 * a browser may still remove a site's data when its disk is full, unless the page was granted
 * `navigator.storage.persist()`. What was not accepted stays in a store of its own, there before its
 * record waits no more, until somebody sends it again (`retry`) or drops it.
 */

import type { Answer } from "../client/answer.js";
import type { Client } from "../client/client.js";
import { timerMs } from "../client/retry.js";
import { UnavailableError } from "../protocol/errors.js";
import { type PcsRecord, parseRecord, storedBytes } from "../protocol/record.js";
import { BYTES, RECORDS, REFUSED, STATE, begin, completed, openDatabase, result } from "./database.js";
import { type Refused, addBytes, dropRefused, keepRefused, readRefused, retryRefused } from "./refused.js";
import { type ShipOptions, type Shipped, ship } from "./ship.js";

export type { Refused } from "./refused.js";
export type { ShipOptions, Shipped } from "./ship.js";

/** What is left out has its default. */
export interface OutboxOptions {
  /** Of the database; pages of one origin that name the same one share it. */
  readonly name?: string;
  /** Records that wait or were not accepted: by default 10,000. */
  readonly recordsMax?: number;
  /** Bytes of these records: by default 64 MiB. The last one taken may pass it. */
  readonly bytesMax?: number;
}

/** A record that waits for its final answer. */
export interface Waiting {
  readonly seq: number;
  readonly shardId: string;
  /** When it was appended, milliseconds since 1970. */
  readonly receivedMs: number;
  /** The record's bytes. */
  readonly body: Uint8Array;
}

const NAME = "fractal-lba-outbox";
/** Far below what any browser gives an origin; a page that needs more says so. */
const RECORDS_MAX = 10_000;
const BYTES_MAX = 64 << 20;
/** How often another page's records are looked for where it could not tell of them. */
const LOOK_S = 30;

/** The outbox of one origin; several callers, tabs and workers may use it at once. */
export class Outbox {
  readonly #news = new EventTarget();
  readonly #channel: BroadcastChannel | null;

  private constructor(
    private readonly database: IDBDatabase,
    readonly name: string,
    private readonly bounds: { readonly recordsMax: number; readonly bytesMax: number },
  ) {
    this.#channel = typeof BroadcastChannel === "function" ? new BroadcastChannel(name) : null;
    this.#channel?.addEventListener("message", () => this.#tell());
  }

  /**
   * Open the outbox, made when missing.
   *
   * @throws ContractError A later release wrote it.
   * @throws DurabilityError There is no IndexedDB here, or it refused.
   */
  static async open(options: OutboxOptions = {}): Promise<Outbox> {
    const { name = NAME, recordsMax = RECORDS_MAX, bytesMax = BYTES_MAX } = options;
    return new Outbox(await openDatabase(name), name, { recordsMax, bytesMax });
  }

  /** How many records wait for an answer. */
  async pendingCount(): Promise<number> {
    return this.#read((records) => records.count());
  }

  /**
   * Make a signed record durable and return its number.
   *
   * @param record Its bytes, in any spelling; what is kept is its stored form.
   * @throws Refusal It is no record of version 1.0.
   * @throws UnavailableError As much is kept as may: nothing was taken.
   * @throws FullError The browser has no room: nothing was taken.
   */
  async append(record: Uint8Array): Promise<number> {
    const [seq] = await this.appendAll([record]);
    return seq as number;
  }

  /** Make records durable together, all or none, in their order, and return their numbers. */
  async appendAll(records: readonly Uint8Array[]): Promise<number[]> {
    const receivedMs = Date.now();
    const rows = records.map((body) => {
      const record = parseRecord(body);
      return { shardId: record.shardId, receivedMs, body: storedBytes(record) };
    });
    const size = rows.reduce((sum, { body }) => sum + body.length, 0);
    const transaction = begin(this.database, "readwrite");
    const done = completed(transaction);
    const store = transaction.objectStore(RECORDS);
    const state = transaction.objectStore(STATE);
    const seqs: number[] = [];
    let refusal: UnavailableError | null = null;
    const count = store.count();
    const refused = transaction.objectStore(REFUSED).count();
    const bytes = state.get(BYTES) as IDBRequest<number | undefined>;
    // Its requests are answered in their order: the counts are there when the bytes are.
    bytes.addEventListener("success", () => {
      const kept = bytes.result ?? 0;
      const { recordsMax, bytesMax } = this.bounds;
      if (count.result + refused.result + rows.length > recordsMax || kept >= bytesMax) {
        refusal = new UnavailableError(
          `outbox: expected fewer than ${recordsMax} records and ${bytesMax} bytes,` +
            ` got ${count.result} that wait, ${refused.result} that were not accepted, and ${kept} bytes`,
        );
        transaction.abort();
        return;
      }
      for (const row of rows) {
        const added = store.add(row);
        added.addEventListener("success", () => seqs.push(added.result as number));
      }
      state.put(kept + size, BYTES);
    });
    await done.catch((error: unknown) => {
      throw refusal ?? error;
    });
    this.#tellAll();
    return seqs;
  }

  /** Yield the records that wait, oldest first. */
  async *pending(): AsyncGenerator<Waiting, void> {
    for (const seq of await this.waiting()) {
      const row = await this.#row(seq);
      if (row !== undefined) yield row;
    }
  }

  /** Return the numbers of the records that wait, oldest first. */
  async waiting(): Promise<readonly number[]> {
    return (await this.#read((records) => records.getAllKeys())) as number[];
  }

  /** Return the bytes of a record that waits; `null` where it does not wait. */
  async read(seq: number): Promise<Uint8Array | null> {
    return (await this.#row(seq))?.body ?? null;
  }

  /**
   * Keep a record that was not accepted, with its answer, among the refused ones: there when it
   * returns. The record waits until it is acknowledged. `ship` does both.
   */
  async refuse(seq: number, record: PcsRecord, answer: Answer): Promise<void> {
    await keepRefused(this.database, seq, record, answer);
  }

  /** How many records were not accepted. */
  async refusedCount(): Promise<number> {
    return result(begin(this.database, "readonly").objectStore(REFUSED).count());
  }

  /** Yield the records that were not accepted, oldest first, with their answers. */
  refused(): AsyncGenerator<Refused, void> {
    return readRefused(this.database);
  }

  /**
   * Let records that were not accepted wait again, all or none, and return their new numbers, in the
   * order of these. A number that none has is passed over.
   */
  async retry(seqs: readonly number[]): Promise<number[]> {
    const numbers = await retryRefused(this.database, seqs);
    if (numbers.length > 0) this.#tellAll();
    return numbers;
  }

  /** Forget records that were not accepted, all or none. A number that none has is passed over. */
  async drop(seqs: readonly number[]): Promise<void> {
    await dropRefused(this.database, seqs);
  }

  /** Note the final answer of a record, which leaves the outbox; one that does not wait changes nothing. */
  async acknowledge(seq: number): Promise<void> {
    const transaction = begin(this.database, "readwrite");
    const done = completed(transaction);
    const store = transaction.objectStore(RECORDS);
    const found = store.get(seq) as IDBRequest<Waiting | undefined>;
    found.addEventListener("success", () => {
      if (found.result === undefined) return;
      store.delete(seq);
      addBytes(transaction, -found.result.body.length);
    });
    await done;
  }

  /** Send what waits until each has a final answer or the deadline ends; see `ShipOptions`. */
  async ship(client: Client, options: ShipOptions = {}): Promise<Shipped[]> {
    return ship(this, client, options);
  }

  /**
   * Ship what waits and what comes, until the signal is aborted: when a record is appended, when the
   * server is back, at once when the browser says that it is online again. One tab ships at a time.
   *
   * @throws What `onAnswer` threw; the record it was told of still waits.
   * @throws DurabilityError The outbox failed; what was not acknowledged still waits.
   */
  async keepShipping(client: Client, options: Omit<ShipOptions, "deadlineS"> & { readonly signal: AbortSignal }): Promise<void> {
    const { signal } = options;
    const work = async (): Promise<void> => {
      while (!signal.aborted) {
        const news = this.#waitForNews(signal);
        // Being online again ends a wait for the server: what was on its way is asked for again.
        const pass = new AbortController();
        const stop = (): void => pass.abort();
        signal.addEventListener("abort", stop, { once: true });
        globalThis.addEventListener?.("online", stop, { once: true });
        try {
          await ship(this, client, { ...options, signal: pass.signal, deadlineS: Infinity });
          if (!pass.signal.aborted) await news.came;
        } finally {
          signal.removeEventListener("abort", stop);
          globalThis.removeEventListener?.("online", stop);
          news.end();
        }
      }
    };
    if (typeof navigator === "undefined" || navigator.locks === undefined) return work();
    await navigator.locks.request(this.name, { signal }, work).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }

  /** Let the database go; records that wait are shipped by whoever opens it next. */
  close(): void {
    this.#channel?.close();
    this.database.close();
  }

  #tellAll(): void {
    this.#tell();
    this.#channel?.postMessage(null);
  }

  #tell(): void {
    this.#news.dispatchEvent(new Event("news"));
  }

  /** Note news from now on: `came` ends with the first, with the signal, or after a while. */
  #waitForNews(signal: AbortSignal): { readonly came: Promise<void>; readonly end: () => void } {
    let end = (): void => undefined;
    const came = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timerMs(LOOK_S));
      const told = (): void => resolve();
      this.#news.addEventListener("news", told);
      signal.addEventListener("abort", told);
      end = () => {
        clearTimeout(timer);
        this.#news.removeEventListener("news", told);
        signal.removeEventListener("abort", told);
      };
    });
    return { came, end };
  }

  async #row(seq: number): Promise<Waiting | undefined> {
    return (await this.#read((records) => records.get(seq))) as Waiting | undefined;
  }

  #read<T>(ask: (records: IDBObjectStore) => IDBRequest<T>): Promise<T> {
    return result(ask(begin(this.database, "readonly").objectStore(RECORDS)));
  }
}
