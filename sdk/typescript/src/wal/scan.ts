/**
 * Read segments in order: frames where they verify, damage where they do not.
 *
 * One segment is in memory at a time. A frame is given once, even while a crash has left it both in
 * an old segment and, copied, in the next.
 */

import { type Disk, corrupt, isNoFile, onDisk } from "./disk.js";
import type { Folder, Segment } from "./folder.js";
import {
  FRAME_BYTES,
  type Frame,
  HEADER_BYTES,
  NO_ID,
  batchAt,
  claimedSize,
  frameAt,
  frameOf,
} from "./framing.js";
import { examine } from "./tail.js";
import { type Damage, type Scanned, lastSeqOf } from "./values.js";
import { type Gap, type Walked, walk } from "./walk.js";

/** Read at first of one frame; a record with what is noted of it fits in most cases. */
const READ_BYTES = 4096;

/** Yield every frame and the damage met between them; a torn tail is reported as no loss. */
export function scanSegments(disk: Disk, found: Folder): AsyncGenerator<Scanned, void> {
  return scanRange(disk, found, 0, found.segments.length);
}

/** Yield what the segments with these indices hold, and what is missing between them. */
export async function* scanRange(
  disk: Disk,
  found: Folder,
  start: number,
  stop: number,
): AsyncGenerator<Scanned, void> {
  let expected = start > 0 ? null : found.keptFrom;
  for (const [index, segment] of found.segments.entries()) {
    if (index < start || index >= stop) continue;
    const passed = segment.header;
    if (passed !== null && expected !== null && expected >= passed.passedFrom && expected < passed.firstSeq) {
      expected = passed.firstSeq;
    }
    for await (const item of scanSegment(disk, segment, found.segments[index - 1] ?? null, expected)) {
      expected = next(lastSeqOf(item), expected);
      yield item;
    }
    if (segment.nextSeq !== null) expected = segment.nextSeq;
  }
}

/** Return a segment's bytes, up to its end where that is known. */
export async function readSegment(disk: Disk, segment: Segment): Promise<Buffer> {
  return onDisk(`segment ${segment.name}`, async () => {
    const file = await disk.open(segment.path);
    try {
      return await file.readAt(0, segment.end ?? (await file.size()));
    } finally {
      await file.close();
    }
  });
}

/** Return the number of a segment's first frame; its first batch tells when its header does not. */
export function firstSeqOf(segment: Segment, data: Buffer, expected: bigint | null): bigint | null {
  if (segment.header !== null) return segment.header.firstSeq;
  return batchAt(data, HEADER_BYTES, data.length, segment.key)?.firstSeq ?? expected;
}

/** Return a segment's damaged header as damage. */
export function headerDamage(segment: Segment): Damage | null {
  if (segment.header !== null) return null;
  const length = Math.min(HEADER_BYTES, segment.size);
  return damage(segment.name, 0, length, null, null, "segment header does not verify");
}

/** Return a gap as damage of its segment. */
export function gapDamage(segment: Segment, gap: Gap): Damage {
  return damage(segment.name, gap.offset, gap.length, gap.firstSeq, gap.lastSeq, gap.what);
}

function damage(
  segment: string,
  offset: number,
  length: number,
  firstSeq: bigint | null,
  lastSeq: bigint | null,
  what: string,
): Damage {
  return { kind: "damage", segment, offset, length, firstSeq, lastSeq, what, isLoss: true };
}

/** Return the loss of whole segments between two that should follow each other, if there is one. */
function missingBefore(segment: Segment, before: Segment | null, expected: bigint | null): Damage | null {
  const { header } = segment;
  const beforeId = before === null ? NO_ID : before.key.segmentId;
  if (header === null || header.previousId.equals(beforeId)) return null;
  if (expected === null || expected >= header.passedFrom) return null;
  const name = String(before === null ? 1 : before.ordinal + 1).padStart(10, "0");
  return damage(name, 0, 0, expected, header.passedFrom - 1n, "segments are missing");
}

async function* scanSegment(
  disk: Disk,
  segment: Segment,
  before: Segment | null,
  following: bigint | null,
): AsyncGenerator<Scanned, void> {
  let expected = following;
  const lost = missingBefore(segment, before, expected);
  if (lost !== null) {
    yield lost;
    expected = null;
  }
  const damagedHeader = headerDamage(segment);
  if (damagedHeader !== null) yield damagedHeader;
  const data = await readSegment(disk, segment);
  const firstSeq = firstSeqOf(segment, data, expected);
  let tornAt = data.length;
  let items: Iterable<Walked>;
  if (segment.end === null) {
    const tail = examine(data, segment.key, firstSeq);
    items = tail.kept;
    tornAt = tail.tornAt;
  } else {
    items = walk(data, segment.key, { end: segment.end, firstSeq, nextSeq: segment.nextSeq });
  }
  expected ??= firstSeq;
  for (const item of items) {
    if (item.kind === "gap") {
      yield gapDamage(segment, item);
      expected = next(item.lastSeq, expected);
    } else if (item.kind === "frame" && (expected === null || item.seq >= expected)) {
      if (expected !== null && item.seq > expected) {
        yield damage(segment.name, item.offset, 0, expected, item.seq - 1n, "bytes are missing");
      }
      const position = { segment: segment.ordinal, offset: item.offset };
      yield { kind: "frame", position, frame: frameOf(data, item) };
      expected = item.seq + 1n;
    }
  }
  if (tornAt < data.length) {
    const torn = damage(segment.name, tornAt, data.length - tornAt, null, null, "torn tail");
    yield { ...torn, isLoss: false };
  }
}

function next(last: bigint | null, expected: bigint | null): bigint | null {
  return last === null ? expected : last + 1n;
}

/**
 * Return the frame at an offset of a segment, verified on every read.
 *
 * @throws CorruptionError What stands there does not verify, or nothing does.
 * @throws DurabilityError The disk failed.
 */
export async function readFrame(disk: Disk, segment: Segment, offset: number, where: string): Promise<Frame> {
  let data: Buffer;
  try {
    data = await onDisk(where, () => frameBytes(disk, segment.path, offset));
  } catch (error) {
    throw isNoFile(error) ? corrupt(where, "no file") : error;
  }
  const found = frameAt(data, 0, data.length, segment.key);
  if (found === null) throw corrupt(where, "bytes that do not verify");
  return frameOf(data, found);
}

/** Return the bytes at an offset that may be a frame, never more than the file holds. */
async function frameBytes(disk: Disk, path: string, offset: number): Promise<Buffer> {
  const file = await disk.open(path);
  try {
    const data = await file.readAt(offset, READ_BYTES);
    if (data.length < FRAME_BYTES) return data;
    const size = claimedSize(data);
    if (size <= data.length || size > (await file.size()) - offset) return data;
    return await file.readAt(offset, size);
  } finally {
    await file.close();
  }
}
