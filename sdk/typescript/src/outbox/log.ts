/**
 * The outbox's log: entries from many callers into one stream, with one sync for a batch.
 *
 * One batch is on its way to the disk at a time; what comes meanwhile forms the next one. Entries
 * reach the stream in the order in which they were given, each whole. Acknowledgements stand in front
 * of each batch: one that is lost leads to a repeat, so none needs a sync of its own.
 */

import { ContractError, UnavailableError } from "../protocol/errors.js";
import { type NewFrame, frameSize } from "../wal/framing.js";
import type { Stream } from "../wal/stream.js";
import type { Placed } from "../wal/values.js";

/** What one sync covers, and what may wait for it: a batch is written in milliseconds. */
const BATCH_FRAMES_MAX = 4096;
const BATCH_BYTES_MAX = 1 << 20;
const QUEUE_FRAMES_MAX = 4 * BATCH_FRAMES_MAX;
const QUEUE_BYTES_MAX = 16 * BATCH_BYTES_MAX;
/** More than an acknowledgement's frame takes. */
const ACK_BYTES = 256;
/** Each is repeated after a crash: few enough that this is soon done. */
export const ACKS_WAITING_MAX = 256;

interface Entry {
  /** Returns its frames when its batch is made: what they say is true where they stand. */
  readonly frames: () => readonly NewFrame[];
  /** Called once they are durable, before anything else is written. */
  readonly done: (placed: readonly Placed[]) => void;
  readonly failed: (error: unknown) => void;
  readonly count: number;
  readonly size: number;
  /** It speaks of everything before it, so nothing else is in its batch. */
  readonly isAlone: boolean;
}

/** What is done between two batches, while nothing else touches the stream. */
interface Work {
  readonly work: () => Promise<void>;
}

/** Everything one batch holds. */
interface Batch {
  readonly acks: readonly NewFrame[];
  readonly entries: readonly Entry[];
}

export class Log {
  readonly #queue: (Entry | Work)[] = [];
  #acks: NewFrame[] = [];
  #queueFrames = 0;
  #queueBytes = 0;
  #running: Promise<void> | null = null;
  #areAcksDue = false;
  /** Of a batch's entries, and of the acknowledgements before them: together well below a segment. */
  readonly #batchBytesMax: number;
  /** What one call may give: with the acknowledgements before it, below a segment. */
  readonly callBytesMax: number;

  /** @param wrote Told of every batch's frames, first number and bytes, before its entries are. */
  constructor(
    readonly stream: Stream,
    private readonly wrote: (segment: number, firstSeq: bigint, size: number) => void,
  ) {
    const { segmentBytesMax } = stream.bounds;
    this.#batchBytesMax = Math.min(BATCH_BYTES_MAX, segmentBytesMax >> 2);
    this.callBytesMax = segmentBytesMax >> 1;
  }

  get acksWaiting(): number {
    return this.#acks.length;
  }

  /**
   * Write frames and return where they went, once they are durable and `done` was told.
   *
   * @throws ContractError They are more than one call may give: nothing was taken.
   * @throws UnavailableError As much waits for the disk as may: nothing was taken.
   */
  async append(frames: readonly NewFrame[], done: (placed: readonly Placed[]) => void): Promise<void> {
    const size = frames.reduce((sum, frame) => sum + frameSize(frame), 0);
    // Said here and not by the stream, which would refuse all that shares a batch with it.
    if (frames.length > BATCH_FRAMES_MAX || size > this.callBytesMax) {
      throw new ContractError(
        `outbox: expected at most ${BATCH_FRAMES_MAX} records of ${this.callBytesMax} bytes in a call,` +
          ` got ${frames.length} of ${size}`,
      );
    }
    if (this.#queueFrames + frames.length > QUEUE_FRAMES_MAX || this.#queueBytes + size > QUEUE_BYTES_MAX) {
      throw new UnavailableError(
        `outbox: expected at most ${QUEUE_FRAMES_MAX} records and ${QUEUE_BYTES_MAX} bytes waiting for the disk, got more`,
      );
    }
    await this.#give({ frames: () => frames, done, count: frames.length, size, isAlone: false });
  }

  /** Write frames that are made when it is their turn, by themselves; none is written where none is made. */
  async appendLast(frames: () => readonly NewFrame[], done: (placed: readonly Placed[]) => void): Promise<void> {
    await this.#give({ frames, done, count: 0, size: 0, isAlone: true });
  }

  /** Do something with the stream between two batches, and return what it returned. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ work: () => work().then(resolve, reject) });
      this.#start();
    });
  }

  /** Let an acknowledgement ride with the next batch, or be written by itself where many wait. */
  note(ack: NewFrame): void {
    this.#acks.push(ack);
    if (this.#acks.length >= ACKS_WAITING_MAX) this.#start();
  }

  /** Write the acknowledgements that wait, and return when nothing is on its way to the disk. */
  async flush(): Promise<void> {
    this.#areAcksDue = true;
    this.#start();
    while (this.#running !== null) await this.#running;
  }

  #give(entry: Omit<Entry, "failed">): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queueFrames += entry.count;
      this.#queueBytes += entry.size;
      this.#queue.push({
        ...entry,
        done: (placed) => {
          entry.done(placed);
          resolve();
        },
        failed: reject,
      });
      this.#start();
    });
  }

  #start(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
      // What was asked for between the last look and here.
      if (this.#queue.length > 0 || (this.#areAcksDue && this.#acks.length > 0)) this.#start();
    });
  }

  async #run(): Promise<void> {
    // What is given in the same turn of the loop shares the first batch already.
    await Promise.resolve();
    while (this.#queue.length > 0 || this.#acks.length >= ACKS_WAITING_MAX || (this.#areAcksDue && this.#acks.length > 0)) {
      const head = this.#queue[0];
      if (head !== undefined && "work" in head) {
        this.#queue.shift();
        await head.work();
        continue;
      }
      const batch = this.#take();
      const failure = await this.#write(batch);
      if (failure === null || batch.entries.length > 0) continue;
      // Acknowledgements alone were refused: so is what must stand behind them.
      const next = this.#queue[0];
      this.#areAcksDue = false;
      if (next === undefined || "work" in next) break;
      this.#queue.shift();
      next.failed(failure.error);
    }
    if (this.#acks.length === 0) this.#areAcksDue = false;
  }

  #take(): Batch {
    const acks = this.#acks.splice(0, Math.min(BATCH_FRAMES_MAX, Math.floor(this.#batchBytesMax / ACK_BYTES)));
    const entries: Entry[] = [];
    let count = acks.length;
    let size = 0;
    for (;;) {
      const entry = this.#queue[0];
      if (entry === undefined || "work" in entry) break;
      const isFirst = entries.length === 0;
      if (entry.isAlone) {
        // All that it takes for written stands before it: acknowledgements too.
        if (isFirst && this.#acks.length === 0) {
          entries.push(entry);
          this.#queue.shift();
        }
        break;
      }
      if (!isFirst && (count + entry.count > BATCH_FRAMES_MAX || size + entry.size > this.#batchBytesMax)) break;
      entries.push(entry);
      this.#queue.shift();
      count += entry.count;
      size += entry.size;
    }
    for (const entry of entries) {
      this.#queueFrames -= entry.count;
      this.#queueBytes -= entry.size;
    }
    return { acks, entries };
  }

  /** Write a batch and tell its entries; return what it failed with. */
  async #write({ acks, entries }: Batch): Promise<{ readonly error: unknown } | null> {
    try {
      const parts = entries.map((entry) => entry.frames());
      const frames = [...acks, ...parts.flat()];
      const placed = await this.stream.append(frames);
      const first = placed[0];
      if (first !== undefined) {
        const size = frames.reduce((sum, frame) => sum + frameSize(frame), 0);
        this.wrote(first.position.segment, first.seq, size);
      }
      let at = acks.length;
      for (const [index, entry] of entries.entries()) {
        const { length } = parts[index] as readonly NewFrame[];
        entry.done(placed.slice(at, at + length));
        at += length;
      }
      return null;
    } catch (error) {
      // Of a fenced stream they are written by nobody, and their records are sent again.
      this.#acks = [...acks, ...this.#acks];
      for (const entry of entries) entry.failed(error);
      return { error };
    }
  }
}
