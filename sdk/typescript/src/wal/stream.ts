/**
 * A stream of frames that survives what may happen to the process, the power and the disk.
 *
 * What `append` returned is durable. Any failure of the disk fences the stream: the state of what
 * was being written is unknown, so nothing more is written before it is opened again, which recovers
 * it on fresh files. Frames are numbered from 1 on, without gaps, over all segments.
 */

import { join } from "node:path";

import { ContractError, DurabilityError, FencedError, FullError, LockedError } from "../protocol/errors.js";
import { type Disk, corrupt, makeFolder, onDisk } from "./disk.js";
import { BAD_SUFFIX, type Segment } from "./folder.js";
import { FOOTER_BYTES } from "./footer.js";
import { BATCH_BYTES, type Frame, HEADER_BYTES, META_BYTES_MAX, NAME_BYTES_MAX, type NewFrame, type SegmentHeader, U64_MAX, frameSize } from "./framing.js";
import type { Lock } from "./lock.js";
import { type Recovered, recover } from "./recovery.js";
import { readFrame, scanSegments } from "./scan.js";
import { type SegmentWriter, createSegment } from "./segment.js";
import type { Placed, Position, Recovery, Scanned } from "./values.js";

const LOCK_NAME = ".lock";
const NOTE_BYTES_MAX = 512;
/** A batch's length is 32 bits wide; recovery may have to copy a whole segment as one batch. */
const SEGMENT_BYTES_LIMIT = 1 << 30;
const NS_PER_S = 1_000_000_000n;

/** What a stream takes. */
export interface StreamBounds {
  /** A segment is closed before it grows beyond this. */
  readonly segmentBytesMax: number;
  /** The longest frame, with its meta block and what frames it. */
  readonly frameBytesMax: number;
  /** A segment with frames is closed before an append when it is older; `Infinity` for never. */
  readonly segmentAgeMaxS: number;
}

/** A stream, held by this process until `close`. Its writing methods are called one at a time. */
export class Stream {
  readonly #damaged = new Set<string>();
  #state: "open" | "fenced" | "closed" = "open";
  #older: readonly Segment[];
  #active: SegmentWriter;
  /** What opening found. */
  readonly recovery: Recovery;

  private constructor(
    readonly disk: Disk,
    readonly folder: string,
    readonly name: string,
    readonly bounds: StreamBounds,
    private readonly lock: Lock,
    recovered: Recovered,
  ) {
    this.#older = recovered.older;
    this.#active = recovered.active;
    this.recovery = recovered.recovery;
    for (const each of recovered.recovery.damage) this.#damaged.add(each.segment);
  }

  /**
   * Lock a stream's folder, made when missing, recover it and open a fresh segment.
   *
   * @throws ContractError A name or bound out of range, or segments of another stream or of a format
   *   this release does not read; nothing was changed.
   * @throws LockedError Another process holds the stream; the message names it.
   * @throws DurabilityError The disk failed or is full; nothing acknowledged is lost.
   */
  static async open(disk: Disk, folder: string, name: string, bounds: StreamBounds): Promise<Stream> {
    checkBounds(name, bounds);
    const where = `stream ${name}`;
    await onDisk(where, () => makeFolder(disk, folder));
    const path = join(folder, LOCK_NAME);
    const lock = await onDisk(where, () => disk.lock(path, `pid ${process.pid}`));
    if (lock === null) {
      throw new LockedError(`${where} in ${folder}: expected no other process, got ${await holder(disk, path)}`);
    }
    try {
      const recovered = await onDisk(where, () => recover(disk, folder, name));
      return new Stream(disk, folder, name, bounds, lock, recovered);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** The bound that the last retention set: what is before it is not missed. */
  get firstSeq(): bigint {
    return this.#active.header.keptFrom;
  }

  /** The number of the frame to be appended next. */
  get nextSeq(): bigint {
    return this.#active.nextSeq;
  }

  /** Whether a failure keeps the stream from writing until it is opened again. */
  get isFenced(): boolean {
    return this.#state === "fenced";
  }

  /**
   * Write frames as one batch and return where each went, once all are durable.
   *
   * @throws ContractError A frame or the batch is too large; nothing was written.
   * @throws FencedError The stream is fenced or closed; nothing was written.
   * @throws FullError There is no room for it; nothing was written, and nothing is fenced.
   * @throws DurabilityError The disk failed; any first part of the batch may or may not survive, and
   *   the stream is fenced.
   */
  async append(frames: readonly NewFrame[]): Promise<Placed[]> {
    if (frames.length === 0) return [];
    const size = this.#checkFrames(frames);
    return this.#writing(async () => {
      await this.#rotateFor(size);
      if (!(await this.#active.findsRoom(size))) {
        throw new FullError(`stream ${this.name}: expected room for ${size} bytes, got a full disk`);
      }
      const { nextSeq } = this.#active;
      const segment = this.#active.header.ordinal;
      const offsets = await this.#active.append(frames);
      return offsets.map((offset, index) => ({ seq: nextSeq + BigInt(index), position: { segment, offset } }));
    });
  }

  /** Make it durable that what was appended is, unless that stands on disk already. */
  async mark(): Promise<void> {
    await this.#writing(() => this.#active.mark());
  }

  /** Close the active segment if it holds a frame and is older than `segmentAgeMaxS`. */
  async rotateAged(): Promise<void> {
    if (this.#isAged()) await this.#writing(() => this.#rotate());
  }

  /** Go on with a later number; those in between are passed over, unless frames had them. */
  async skipTo(seq: bigint, options: { readonly wereGiven: boolean }): Promise<void> {
    if (seq <= this.nextSeq) return;
    await this.#writing(() => this.#rotate({ firstSeq: seq, passesOver: !options.wereGiven }));
  }

  /**
   * Remove the segments that hold only frames before `seq`; those are never given again.
   *
   * The frame `cursorSeq` of the stream says durably that they are not needed. Segments known as
   * damaged are set aside as `NAME.bad`.
   *
   * @returns how many are gone.
   */
  async retainFrom(seq: bigint, cursorSeq: bigint): Promise<number> {
    if (cursorSeq < seq || cursorSeq >= this.nextSeq) {
      throw new ContractError(`stream ${this.name}: expected a cursor that was appended, got ${cursorSeq}`);
    }
    const segments = this.#segments();
    const count = segments.findLastIndex(
      ({ header }, index) => index > 0 && header !== null && header.firstSeq <= seq,
    );
    const keptFrom = segments[count]?.header?.firstSeq;
    if (count <= 0 || keptFrom === undefined) return 0;
    await this.#writing(async () => {
      const removed = this.#older.slice(0, count);
      await this.#rotate({ keptFrom });
      this.#older = this.#older.slice(count);
      for (const { name, path } of removed) {
        if (this.#damaged.has(name)) await this.disk.rename(path, path + BAD_SUFFIX);
      }
      for (const { name, path } of removed) {
        if (!this.#damaged.has(name)) await this.disk.unlink(path);
      }
    });
    return count;
  }

  /**
   * Return the frame at a position.
   *
   * @throws CorruptionError What stands there does not verify, or nothing does.
   * @throws DurabilityError The disk failed.
   */
  async read(position: Position): Promise<Frame> {
    const where = `stream ${this.name}, segment ${position.segment}, offset ${position.offset}`;
    const segment = this.#segments().find(({ ordinal }) => ordinal === position.segment);
    if (segment === undefined) throw corrupt(where, "no such segment");
    return readFrame(this.disk, segment, position.offset, where);
  }

  /** Yield every durable frame with its position, and damage, in order. */
  async *scan(): AsyncGenerator<Scanned, void> {
    const found = { segments: this.#segments(), keptFrom: this.firstSeq, removable: [], unfinished: [] };
    for await (const item of scanSegments(this.disk, found)) {
      if (item.kind === "damage") this.#damaged.add(item.segment);
      yield item;
    }
  }

  /**
   * Mark what was appended, end the segment and let the stream go. Idempotent.
   *
   * @throws DurabilityError The disk failed; what was appended is durable and the stream let go.
   */
  async close(): Promise<void> {
    if (this.#state === "closed") return;
    try {
      if (this.#state === "open" && this.#active.hasFrames) {
        await this.#writing(() => this.#rotate()).catch((error: unknown) => {
          // On a full disk without: every frame is durable, and opening makes one.
          if (!(error instanceof FullError)) throw error;
        });
      }
    } finally {
      this.#state = "closed";
      await onDisk(`stream ${this.name}`, () => this.#active.close().finally(() => this.lock.release()));
    }
  }

  /** Fence the stream unless what is done inside succeeds. */
  async #writing<T>(work: () => Promise<T>): Promise<T> {
    if (this.#state !== "open") {
      throw new FencedError(`stream ${this.name}: expected an open stream, got a ${this.#state} one`);
    }
    try {
      return await onDisk(`stream ${this.name}`, work);
    } catch (error) {
      if (!(error instanceof FullError)) this.#state = "fenced";
      throw error;
    }
  }

  #checkFrames(frames: readonly NewFrame[]): number {
    const { frameBytesMax, segmentBytesMax } = this.bounds;
    let batchBytes = BATCH_BYTES;
    for (const frame of frames) {
      const size = frameSize(frame);
      if (size > frameBytesMax || frame.meta.length > META_BYTES_MAX) {
        throw new ContractError(
          `stream ${this.name}: expected a frame of at most ${frameBytesMax} bytes with a meta block of` +
            ` at most ${META_BYTES_MAX}, got ${size} bytes with ${frame.meta.length}`,
        );
      }
      if (frame.receivedNs < 0n || frame.receivedNs > U64_MAX) {
        throw new ContractError(`stream ${this.name}: expected a time of 64 bits, got ${frame.receivedNs}`);
      }
      batchBytes += size;
    }
    const batchBytesMax = segmentBytesMax - segmentBytesFor(0) + BATCH_BYTES;
    if (batchBytes > batchBytesMax) {
      throw new ContractError(
        `stream ${this.name}: expected a batch of at most ${batchBytesMax} bytes, got ${batchBytes}`,
      );
    }
    return batchBytes;
  }

  /** Make room for a batch of this size, a mark behind it and the segment's footer. */
  async #rotateFor(size: number): Promise<void> {
    const end = this.#active.end + size + BATCH_BYTES + FOOTER_BYTES;
    const isFull = this.#active.hasFrames && end > this.bounds.segmentBytesMax;
    if (isFull || this.#active.isSealed || this.#isAged()) await this.#rotate();
  }

  #isAged(): boolean {
    const { segmentAgeMaxS } = this.bounds;
    if (segmentAgeMaxS === Infinity || !this.#active.hasFrames) return false;
    const age = this.disk.stamp()[0] - this.#active.header.createdNs;
    return Number(age / NS_PER_S) > segmentAgeMaxS;
  }

  async #rotate(
    how: { readonly firstSeq?: bigint; readonly keptFrom?: bigint; readonly passesOver?: boolean } = {},
  ): Promise<void> {
    const old = this.#active;
    const firstSeq = how.firstSeq ?? old.nextSeq;
    const keptFrom = how.keptFrom ?? this.firstSeq;
    const [createdNs, segmentId] = this.disk.stamp();
    await old.seal(createdNs);
    const header: SegmentHeader = {
      stream: this.name,
      ordinal: old.header.ordinal + 1,
      segmentId,
      firstSeq,
      previousId: old.header.segmentId,
      previousEnd: old.end,
      createdNs,
      keptFrom: keptFrom > this.firstSeq ? keptFrom : this.firstSeq,
      passedFrom: how.passesOver ? old.nextSeq : firstSeq,
    };
    this.#active = await createSegment(this.disk, this.folder, header);
    this.#older = [...this.#older, { ...old.segment, nextSeq: header.passedFrom }];
    await old.close();
  }

  #segments(): readonly Segment[] {
    return [...this.#older, this.#active.segment];
  }
}

function segmentBytesFor(frameBytes: number): number {
  return HEADER_BYTES + 2 * BATCH_BYTES + frameBytes + FOOTER_BYTES;
}

function checkBounds(name: string, bounds: StreamBounds): void {
  const nameBytes = Buffer.byteLength(name);
  if (nameBytes < 1 || nameBytes > NAME_BYTES_MAX) {
    throw new ContractError(`stream: expected a name of 1 to ${NAME_BYTES_MAX} bytes, got ${nameBytes}`);
  }
  const least = segmentBytesFor(bounds.frameBytesMax);
  if (!(bounds.segmentBytesMax >= least && bounds.segmentBytesMax <= SEGMENT_BYTES_LIMIT)) {
    throw new ContractError(
      `stream ${name}: expected segmentBytesMax from ${least} to ${SEGMENT_BYTES_LIMIT}, got ${bounds.segmentBytesMax}`,
    );
  }
}

/** Return who holds a lock, as its note says. */
async function holder(disk: Disk, path: string): Promise<string> {
  try {
    const file = await disk.open(path);
    try {
      return (await file.readAt(0, NOTE_BYTES_MAX)).toString("utf8") || "one that starts now";
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof DurabilityError) throw error;
    return "one that cannot be named";
  }
}
