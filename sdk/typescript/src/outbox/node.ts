/**
 * A durable outbox for Node: signed records, on disk before they are sent and until they are answered.
 *
 * Its files are those of `fractal-agent` (`specs/storage.md`, `specs/agent.md` section 2): each reads
 * and recovers what the other wrote, and a folder is used by one process at a time, whichever it is.
 *
 * - `append` returns when the record is durable; calls that come together share one sync.
 * - An acknowledgement waits for the next append, for many of them or for a quiet moment, and is
 *   durable after `close`; one that a crash takes leads to a repeat, which the server answers as it
 *   did the first time.
 * - What was not accepted is in the dead letters, on disk, before it waits no more:
 *   `fractal-agent dead-letters` lists it, sends it again and drops it.
 * - A number is given once, whatever happens to the files.
 * - After a failure of the disk nothing more is written: what is on disk can still be read and sent,
 *   and opening the folder again recovers it.
 */

import type { Answer } from "../client/answer.js";
import type { Client } from "../client/client.js";
import { ContractError, CorruptionError, DurabilityError, FencedError, UnavailableError } from "../protocol/errors.js";
import { type PcsRecord, parseRecord, storedBytes } from "../protocol/record.js";
import { type Disk, realDisk } from "../wal/disk.js";
import { type NewFrame, frameSize } from "../wal/framing.js";
import type { Placed } from "../wal/values.js";
import { Compactor } from "./compaction.js";
import type { Contents } from "./contents.js";
import type { DeadLetters } from "./dead-letters.js";
import { type WindowMeta, packMeta, seqOf } from "./frames.js";
import { Log } from "./log.js";
import { openLog } from "./opening.js";
import { type ShipOptions, type Shipped, ship } from "./ship.js";

export type { ShipOptions, Shipped } from "./ship.js";
export type { Disk, DiskFile } from "../wal/disk.js";

/** How much may wait, and in what segments; what is left out has its default. */
export interface OutboxOptions {
  /** Records without a final answer: by default 1,000,000, each takes some 150 bytes of memory. */
  readonly recordsMax?: number;
  /** Bytes of their frames: by default 1 GiB. The last one taken may pass it. */
  readonly bytesMax?: number;
  /** A segment is closed before it grows beyond: by default 8 MiB, 1 MiB … 1 GiB. */
  readonly segmentBytesMax?: number;
  /** A segment that holds something is closed by the first append after so long: by default a day. */
  readonly segmentAgeS?: number;
  /** Where the files are. */
  readonly disk?: Disk;
}

/** A record that waits for its final answer. */
export interface Waiting {
  readonly seq: number;
  readonly shardId: string;
  /** When it was appended, milliseconds since 1970. */
  readonly receivedMs: number;
  /** The record's bytes, read back from disk. */
  readonly body: Uint8Array;
}

const RECORDS_MAX = 1_000_000;
const BYTES_MAX = 1 << 30;
const SEGMENT_BYTES_MAX = 8 << 20;
/** The smallest holds what a compaction writes at once, with room to spare. */
const SEGMENT_BYTES_MIN = 1 << 20;
const SEGMENT_AGE_S = 86_400;
/** A record of 64 KiB and a meta block of as many, and some. */
const FRAME_BYTES_MAX = 256 << 10;
/** The segment format's own: what is on disk is marked as such this long after the last write. */
const QUIET_MS = 100;
/** The source of records that a program gives, as the agent has it. */
const SOURCE = "api:";
/** The agent's longest names of sources are a fourth of it. */
const SOURCE_BYTES_MAX = 4096;
const NS_PER_MS = 1_000_000n;

/** The outbox of one data folder; several callers may use it at once. */
export class Outbox {
  readonly #log: Log;
  readonly #compactor: Compactor;
  #onItsWay = 0;
  #onItsWayBytes = 0;
  #quiet: ReturnType<typeof setTimeout> | null = null;
  #closing: Promise<void> | null = null;
  /** What could not be read when it was opened, and what opening put aside, for people. */
  readonly damage: readonly string[];

  private constructor(
    log: Log,
    private readonly contents: Contents,
    private readonly letters: DeadLetters,
    private readonly bounds: { readonly recordsMax: number; readonly bytesMax: number },
    segmentBytesMax: number,
  ) {
    this.#log = log;
    this.damage = contents.damage;
    this.#compactor = new Compactor(log, contents, segmentBytesMax, Date.now);
    this.#beQuiet();
  }

  /**
   * Open, recover and read the outbox in `folder/outbox`, made when missing.
   *
   * @throws LockedError Another process uses it, this SDK's or an agent's; nothing was changed.
   * @throws ContractError It is no folder for an outbox, a newer program wrote it, or a bound is out
   *   of its range; nothing was added.
   * @throws DurabilityError The disk refused; nothing acknowledged is lost.
   */
  static async open(folder: string, options: OutboxOptions = {}): Promise<Outbox> {
    const { recordsMax = RECORDS_MAX, bytesMax = BYTES_MAX, disk = realDisk } = options;
    const { segmentBytesMax = SEGMENT_BYTES_MAX, segmentAgeS = SEGMENT_AGE_S } = options;
    checkRange("recordsMax", recordsMax, 1);
    checkRange("bytesMax", bytesMax, 1);
    checkRange("segmentBytesMax", segmentBytesMax, SEGMENT_BYTES_MIN);
    checkRange("segmentAgeS", segmentAgeS, 1);
    const bounds = { segmentBytesMax, frameBytesMax: FRAME_BYTES_MAX, segmentAgeMaxS: segmentAgeS };
    const { stream, contents, letters } = await openLog(disk, folder, bounds, Date.now());
    const log = new Log(stream, (segment, seq, size) => contents.wrote(segment, seqOf(seq), size));
    return new Outbox(log, contents, letters, { recordsMax, bytesMax }, segmentBytesMax);
  }

  /** How many records wait for an answer. */
  get pendingCount(): number {
    return this.contents.pending.size;
  }

  /** Bytes of their frames. */
  get pendingBytes(): number {
    return this.contents.pendingBytes;
  }

  /** Lines of the dead letters: what was not accepted, until a person drops or repeats it. */
  get deadLetterCount(): number {
    return this.letters.count;
  }

  /** Frames that cannot be read any more, of all the outbox ever held. */
  get lost(): number {
    return this.contents.counts.lost;
  }

  /** Whether a failed write ended the writing. */
  get isFenced(): boolean {
    return this.#log.stream.isFenced;
  }

  /**
   * Make a signed record durable and return its number.
   *
   * @param record Its bytes, in any spelling; what is kept is its stored form.
   * @param options.source Where it came from, for people; by default a program.
   * @throws Refusal It is no record of version 1.0.
   * @throws UnavailableError As much waits as may: nothing was taken.
   * @throws DurabilityError The disk failed; it may or may not be on disk. `FullError`: it is not.
   */
  async append(record: Uint8Array, options: { readonly source?: string } = {}): Promise<number> {
    const [seq] = await this.appendAll([record], options);
    return seq as number;
  }

  /**
   * Make records durable together, all or none, in their order, and return their numbers.
   *
   * @throws ContractError They are more than 4,096, or than half a segment takes; none was taken.
   */
  async appendAll(records: readonly Uint8Array[], options: { readonly source?: string } = {}): Promise<number[]> {
    this.#checkOpen();
    const { source = SOURCE } = options;
    const sourceBytes = Buffer.byteLength(source);
    if (sourceBytes > SOURCE_BYTES_MAX) {
      throw new ContractError(`source: expected at most ${SOURCE_BYTES_MAX} bytes, got ${sourceBytes}`);
    }
    const nowMs = Date.now();
    const metas: WindowMeta[] = [];
    const frames: NewFrame[] = [];
    for (const body of records) {
      const record = parseRecord(body);
      const { shardId, epoch } = record;
      const meta = { kind: "window", source, shard_id: shardId, next_epoch: epoch + 1, position: null } as const;
      metas.push(meta);
      frames.push(packMeta(meta, nowMs, storedBytes(record)));
    }
    const size = frames.reduce((sum, frame) => sum + frameSize(frame), 0);
    this.#checkRoom(frames.length);
    this.#onItsWay += frames.length;
    this.#onItsWayBytes += size;
    const seqs: number[] = [];
    try {
      await this.#log.append(frames, (placed) => {
        for (const [index, at] of placed.entries()) {
          seqs.push(this.#arrive(metas[index] as WindowMeta, frames[index] as NewFrame, at));
        }
      });
    } finally {
      this.#onItsWay -= frames.length;
      this.#onItsWayBytes -= size;
      this.#beQuiet();
      this.#compact();
    }
    return seqs;
  }

  /** Yield the records that wait, oldest first, read back from disk. */
  async *pending(): AsyncGenerator<Waiting, void> {
    for (const seq of await this.waiting()) {
      const place = this.contents.pending.get(seq);
      const body = await this.read(seq);
      if (place === undefined || body === null) continue;
      yield { seq, shardId: place.shardId, receivedMs: place.receivedMs, body };
    }
  }

  /** Return the numbers of the records that wait, oldest first. */
  async waiting(): Promise<readonly number[]> {
    return [...this.contents.pending.keys()];
  }

  /**
   * Return the bytes of a record that waits, from disk; `null` where it does not wait.
   *
   * @throws CorruptionError They do not verify; the record stays where it is.
   */
  async read(seq: number): Promise<Uint8Array | null> {
    for (;;) {
      const place = this.contents.pending.get(seq);
      if (place === undefined) return null;
      try {
        return (await this.#log.stream.read(place.position)).payload;
      } catch (error) {
        const now = this.contents.pending.get(seq);
        // A compaction moved it meanwhile.
        const isMoved = error instanceof CorruptionError && now?.position !== place.position;
        if (!isMoved) throw error;
      }
    }
  }

  /**
   * Keep a record that was not accepted, with its answer, in the dead letters: a line of
   * `folder/dead-letters.ndjson`, on disk when it returns. The record waits until it is acknowledged.
   *
   * `ship` does both. Whoever sends by other means calls this first: acknowledging alone forgets.
   *
   * @throws FullError There is no room for it: nothing was written.
   * @throws DurabilityError It may or may not be there, and no further one is written.
   */
  async refuse(seq: number, record: PcsRecord, answer: Answer): Promise<void> {
    this.#checkOpen();
    await this.letters.append(seq, record, answer);
  }

  /**
   * Note the final answer of a record; one that does not wait changes nothing.
   *
   * @throws FencedError It cannot become durable: the record is sent again by the next opening.
   */
  async acknowledge(seq: number, answer: { readonly status: number; readonly replayed: boolean }): Promise<void> {
    this.#checkOpen();
    const { status, replayed } = answer;
    if (!this.contents.acknowledge({ kind: "ack", seq, status, replayed })) return;
    this.#log.note(packMeta({ kind: "ack", seq, status, replayed }, Date.now()));
    if (this.isFenced) throw new FencedError(this.#acksLeft);
    this.#beQuiet();
  }

  /** Send what waits until each has a final answer or the deadline ends; see `ShipOptions`. */
  async ship(client: Client, options: ShipOptions = {}): Promise<Shipped[]> {
    return ship(this, client, options);
  }

  /**
   * Make the acknowledgements durable, end the segment and release the folder. Idempotent.
   *
   * @throws DurabilityError The disk failed; what was appended is durable, and the folder is released.
   *   Acknowledgements that it refused lead to repeats: their records are sent again.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#quiet !== null) clearTimeout(this.#quiet);
    try {
      await this.#log.flush();
      await this.#compactor.idle();
    } finally {
      // The folder is released last.
      await this.letters.close().finally(() => this.#log.exclusively(() => this.#log.stream.close()));
    }
    if (this.#log.acksWaiting > 0) throw new DurabilityError(this.#acksLeft);
  }

  get #acksLeft(): string {
    return (
      `outbox: expected ${this.#log.acksWaiting} acknowledgements on disk, got a failure:` +
      " their records are sent again"
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #arrive(meta: WindowMeta, frame: NewFrame, at: Placed): number {
    const seq = seqOf(at.seq);
    const receivedMs = Number(frame.receivedNs / NS_PER_MS);
    const place = { position: at.position, size: frameSize(frame), receivedMs, shardId: meta.shard_id };
    this.contents.submit(meta, seq, place);
    return seq;
  }

  #checkOpen(): void {
    if (this.#closing !== null) throw new ContractError("outbox: expected an open one, got a closed one");
  }

  #checkRoom(count: number): void {
    const { recordsMax, bytesMax } = this.bounds;
    const records = this.pendingCount + this.#onItsWay;
    const bytes = this.pendingBytes + this.#onItsWayBytes;
    if (records + count <= recordsMax && bytes < bytesMax) return;
    throw new UnavailableError(
      `outbox: expected fewer than ${recordsMax} records and ${bytesMax} bytes waiting for an answer,` +
        ` got ${records} and ${bytes}`,
    );
  }

  /** Once nothing was written for a moment: write what waits, mark it, give up old segments. */
  #beQuiet(): void {
    if (this.#quiet !== null) clearTimeout(this.#quiet);
    if (this.#closing !== null) return;
    this.#quiet = setTimeout(() => {
      this.#quiet = null;
      void this.#tend().catch((error: unknown) => {
        // A fenced log says so to whoever writes next; a full disk is asked again with the next write.
        if (!(error instanceof DurabilityError)) throw error;
      });
    }, QUIET_MS);
    // What waits is written by `close`, or sent once more: it keeps no program from ending.
    this.#quiet.unref();
  }

  /** Give up old segments where that is worth it; callers go on meanwhile. */
  #compact(): void {
    if (this.#closing !== null || this.isFenced || !this.#compactor.isWorthIt) return;
    void this.#compactor.run().catch((error: unknown) => {
      if (!(error instanceof DurabilityError)) throw error; // A fenced log says so to whoever writes next.
    });
  }

  async #tend(): Promise<void> {
    await this.#log.flush();
    this.#compact();
    await this.#compactor.idle();
    if (this.isFenced || this.#closing !== null) return;
    await this.#log.exclusively(() => this.#log.stream.mark());
  }
}

function checkRange(name: string, value: number, least: number): void {
  if (!(value >= least)) throw new ContractError(`${name}: expected ${least} or more, got ${value}`);
}
