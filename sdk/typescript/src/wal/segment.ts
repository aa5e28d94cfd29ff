/**
 * Write one segment: made whole under a temporary name, then only ever appended to.
 *
 * A segment gets its name after its header, and what was copied into it, are durable. No process
 * appends to a file that another one, or an earlier opening of the stream, wrote.
 */

import { join } from "node:path";

import { FullError } from "../protocol/errors.js";
import { crc32c } from "./crc32c.js";
import { type Disk, type DiskFile, codeOf, isNoRoom } from "./disk.js";
import { NEW_SUFFIX, type Segment, segmentName } from "./folder.js";
import { FOOTER_BYTES, packFooter } from "./footer.js";
import { BATCH_BYTES, HEADER_BYTES, type NewFrame, type SegmentHeader, SegmentKey, packBatch, packHeader } from "./framing.js";

/**
 * The segment that is appended to.
 *
 * After any method threw an error of the disk the state of the file is unknown; only `close` may be
 * called then. After `FullError` it is as before.
 */
export class SegmentWriter {
  readonly key: SegmentKey;
  readonly #file: DiskFile;
  /** The length up to which everything is durable. */
  end: number;
  isSealed = false;
  /** Whether no batch carries `end` yet. */
  isMarkDue = false;
  #isShort = false;
  #whole: number;

  constructor(
    readonly path: string,
    readonly header: SegmentHeader,
    file: DiskFile,
    written: Buffer,
    public nextSeq: bigint,
  ) {
    this.key = new SegmentKey(header.segmentId);
    this.#file = file;
    this.end = written.length;
    this.#whole = crc32c(written);
  }

  get hasFrames(): boolean {
    return this.nextSeq > this.header.firstSeq;
  }

  /** Return it as its folder is read. */
  get segment(): Segment {
    const { path, header, key, end, nextSeq } = this;
    return { path, name: segmentName(header.ordinal, header.segmentId), ordinal: header.ordinal, key, header, size: end, end, nextSeq };
  }

  /** Write one batch, make it durable and return the offset of each frame. */
  async append(frames: readonly NewFrame[]): Promise<number[]> {
    const at = this.end;
    const { data, starts } = packBatch(this.key, frames, { firstSeq: this.nextSeq, durableOffset: at });
    await this.#write(data);
    this.nextSeq += BigInt(frames.length);
    this.isMarkDue = true;
    return starts.map((start) => at + start);
  }

  /** Make it durable that everything up to `end` is, unless a batch already says so. */
  async mark(): Promise<void> {
    if (!this.isMarkDue) return;
    await this.append([]);
    this.isMarkDue = false;
  }

  /** End the segment in a footer, which marks as well; what is sealed already stays as it is. */
  async seal(nowNs: bigint): Promise<void> {
    if (this.isSealed) return;
    const { firstSeq } = this.header;
    const footer = { offset: this.end, whole: this.#whole, firstSeq, nextSeq: this.nextSeq, sealedNs: nowNs };
    await this.#write(packFooter(this.key, footer));
    this.isSealed = true;
    this.isMarkDue = false;
  }

  /**
   * Tell whether a batch of this size, a mark and a footer may find room.
   *
   * Only asked by writing, and only where some did not before: Node has no call that reserves.
   */
  async findsRoom(size: number): Promise<boolean> {
    if (!this.#isShort) return true;
    try {
      await this.#file.writeAt(this.end, Buffer.alloc(size + BATCH_BYTES + FOOTER_BYTES));
      this.#isShort = false;
    } catch (error) {
      if (!isNoRoom(error)) throw error;
    }
    await this.#file.truncate(this.end);
    return !this.#isShort;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #write(data: Buffer): Promise<void> {
    try {
      await this.#file.writeAt(this.end, data);
    } catch (error) {
      if (!isNoRoom(error)) throw error;
      // No sync failed, so nothing is in doubt but what this write left: that is taken back.
      await this.#file.truncate(this.end);
      await this.#file.datasync();
      this.#isShort = true;
      throw new FullError(
        `stream ${this.header.stream}: expected room for ${data.length} bytes, got a full disk`,
        { cause: error },
      );
    }
    await this.#file.datasync();
    this.end += data.length;
    this.#whole = crc32c(data, this.#whole);
  }
}

/**
 * Make a segment that holds these frames, durable and named, and return its writer.
 *
 * @throws FullError There is no room for it: it has no name, and what was made of it is gone, or
 *   recovery removes it.
 */
export async function createSegment(
  disk: Disk,
  folder: string,
  header: SegmentHeader,
  copied: readonly NewFrame[] = [],
): Promise<SegmentWriter> {
  const path = join(folder, segmentName(header.ordinal, header.segmentId));
  const nextSeq = header.firstSeq + BigInt(copied.length);
  const parts = [packHeader(header)];
  if (copied.length > 0) {
    const key = new SegmentKey(header.segmentId);
    const batch = packBatch(key, copied, { firstSeq: header.firstSeq, durableOffset: HEADER_BYTES });
    // Nobody sees this mark before it is true: the name comes after the sync.
    const durableOffset = HEADER_BYTES + batch.data.length;
    parts.push(batch.data, packBatch(key, [], { firstSeq: nextSeq, durableOffset }).data);
  }
  const data = Buffer.concat(parts);
  const file = await createFile(disk, path + NEW_SUFFIX, data, header.stream);
  try {
    await disk.rename(path + NEW_SUFFIX, path);
    await disk.syncFolder(folder);
  } catch (error) {
    await file.close();
    throw error;
  }
  return new SegmentWriter(path, header, file, data, nextSeq);
}

/** Make a file that holds these bytes, durable but for its name. */
async function createFile(disk: Disk, path: string, data: Buffer, stream: string): Promise<DiskFile> {
  let file: DiskFile | null = null;
  try {
    file = await disk.create(path);
    await file.writeAt(0, data);
    await file.datasync();
    return file;
  } catch (error) {
    await file?.close();
    if (!isNoRoom(error)) throw error;
    if (file !== null) await disk.unlink(path).catch(() => undefined);
    throw new FullError(
      `stream ${stream}: expected room for a fresh segment of ${data.length} bytes, got ${codeOf(error)}`,
      { cause: error },
    );
  }
}
