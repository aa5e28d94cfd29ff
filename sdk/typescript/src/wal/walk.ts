/**
 * Walk through a segment's bytes and past damage, in time linear in their length.
 *
 * Nothing is trusted before its checksum. Where bytes do not verify, the walk goes on at the next
 * batch header or frame that does: batch headers are found by their magic, frames by the numbers
 * that are still missing, as they are stored (masked by the segment's id, so that no payload can
 * hold them). Everything that could not be read is given as a `Gap`.
 */

import { FOOTER_BYTES, type FooterAt, footerAt } from "./footer.js";
import {
  BATCH_BYTES,
  BATCH_MAGIC,
  type BatchAt,
  FRAME_BYTES,
  FRAME_SEQ_AT,
  type FrameAt,
  HEADER_BYTES,
  type SegmentKey,
  U64_MAX,
  batchAt,
  claimedSize,
  frameAt,
} from "./framing.js";

/**
 * A search sums at most this many times the bytes it searches. Only who knows the segment's id can
 * place more than a few false starts, and with it could forge whole frames; the bound keeps even
 * that from stopping a recovery.
 */
const SEARCH_FACTOR = 8;
const SEARCH_FLOOR_BYTES = 1 << 16;
/** Numbers that differ only in their lowest bits share the bytes that are searched for. */
const BLOCK_BITS = 16n;
const BLOCK_BYTES = 2;

/**
 * Bytes that do not verify, and the frames lost in them.
 *
 * `length` is 0 where frames are missing and no bytes are; `firstSeq` and `lastSeq` are `null` where
 * no frame is lost or nothing tells which.
 */
export interface Gap {
  readonly kind: "gap";
  readonly offset: number;
  readonly length: number;
  readonly firstSeq: bigint | null;
  readonly lastSeq: bigint | null;
  readonly what: string;
}

export type Walked = BatchAt | FooterAt | FrameAt | Gap;

/** Bytes in which frames from `expected` to before `until` should stand; `null`: unknown. */
interface Region {
  readonly offset: number;
  readonly stop: number;
  readonly expected: bigint | null;
  readonly until: bigint | null;
}

/** What a walk is told of a segment. */
export interface Bounds {
  /** Where its batches end; more than `data` holds means that bytes are missing. */
  readonly end: number;
  /** Of its first frame; `null` when the header is damaged and nothing else tells. */
  readonly firstSeq: bigint | null;
  /** Of the first frame after `end`, where that is known. */
  readonly nextSeq?: bigint | null;
}

/** Yield what a segment holds between its header and its end, in the order of offsets. */
export function* walk(data: Buffer, key: SegmentKey, bounds: Bounds): Generator<Walked, void> {
  const nextSeq = bounds.nextSeq ?? null;
  const stop = Math.min(bounds.end, data.length);
  // Nothing follows a footer: it stands at the end or nowhere.
  const footer = footerAt(data, stop - FOOTER_BYTES, stop, key);
  let expected = yield* walkBatches(data, key, {
    offset: HEADER_BYTES,
    stop: footer === null ? stop : footer.offset,
    expected: bounds.firstSeq,
    until: footer === null ? nextSeq : footer.nextSeq,
  });
  if (footer !== null) {
    if (expected !== null && expected < footer.nextSeq) {
      yield missing(footer.offset, 0, expected, footer.nextSeq);
    }
    yield footer;
    expected = footer.nextSeq;
  }
  const isShort = nextSeq !== null && (expected === null || expected < nextSeq);
  if (isShort || bounds.end > stop) yield missing(stop, bounds.end - stop, expected, nextSeq);
}

/** Yield the batches of a region with what is in them; return the number that follows. */
function* walkBatches(
  data: Buffer,
  key: SegmentKey,
  region: Region,
): Generator<BatchAt | FrameAt | Gap, bigint | null> {
  const { stop, until: nextSeq } = region;
  let { offset, expected } = region;
  while (offset < stop) {
    let batch = batchAt(data, offset, stop, key);
    if (batch === null || (expected !== null && batch.firstSeq < expected)) {
      batch = findBatch(data, key, offset, stop, expected);
      const regionEnd = batch === null ? stop : batch.offset;
      const until = batch === null ? nextSeq : batch.firstSeq;
      if (expected === null && batch !== null) {
        const least = batch.firstSeq - framesMax(regionEnd - offset);
        expected = least > 1n ? least : 1n;
      }
      expected = yield* salvage(data, key, { offset, stop: regionEnd, expected, until });
      offset = regionEnd;
      continue;
    }
    if (expected !== null && batch.firstSeq > expected) {
      yield missing(offset, 0, expected, batch.firstSeq);
    }
    yield batch;
    expected = yield* salvage(data, key, {
      offset: offset + BATCH_BYTES,
      stop: Math.min(batch.end, stop),
      expected: batch.firstSeq,
      until: batch.firstSeq + BigInt(batch.frames),
    });
    offset = batch.end;
  }
  return expected;
}

/** Yield the sound frames of a region and the gaps between them; return the number that follows. */
function* salvage(data: Buffer, key: SegmentKey, region: Region): Generator<FrameAt | Gap, bigint | null> {
  const { stop, until } = region;
  let { offset, expected } = region;
  while (offset < stop) {
    const found = nextFrame(data, key, { offset, stop, expected, until });
    const start = found === null ? stop : found.offset;
    const following = found === null ? until : found.seq;
    if (start > offset) {
      yield { kind: "gap", offset, length: start - offset, ...lost(expected, following), what: "bytes do not verify" };
    } else if (expected !== null && following !== null && expected < following) {
      yield missing(offset, 0, expected, following);
    }
    if (found === null) return until ?? expected;
    yield found;
    expected = found.seq + 1n;
    offset = found.end;
  }
  if (until !== null && expected !== null && expected < until) {
    yield missing(stop, 0, expected, until);
    return until;
  }
  return expected;
}

/** Return the first sound batch header behind an offset that can follow. */
function findBatch(
  data: Buffer,
  key: SegmentKey,
  offset: number,
  stop: number,
  expected: bigint | null,
): BatchAt | null {
  const searched = data.subarray(0, stop);
  for (let at = searched.indexOf(BATCH_MAGIC, offset + 1); at !== -1; at = searched.indexOf(BATCH_MAGIC, at + 1)) {
    const batch = batchAt(data, at, stop, key);
    if (batch === null) continue;
    const ahead = expected === null ? 0n : batch.firstSeq - expected;
    if (ahead >= 0n && ahead <= framesMax(at - offset)) return batch;
  }
  return null;
}

/** Return the first sound frame of a region. */
function nextFrame(data: Buffer, key: SegmentKey, region: Region): FrameAt | null {
  const { offset, stop, expected, until } = region;
  if (expected === null) return null;
  let last = expected + framesMax(stop - offset);
  if (last > U64_MAX) last = U64_MAX;
  if (until !== null && last > until - 1n) last = until - 1n;
  const isMissing = (found: FrameAt | null): found is FrameAt =>
    found !== null && expected <= found.seq && found.seq <= last;
  const here = frameAt(data, offset, stop, key);
  if (isMissing(here)) return here;
  let budget = SEARCH_FACTOR * (stop - offset) + SEARCH_FLOOR_BYTES;
  const searched = data.subarray(0, stop);
  const ahead = FRAME_SEQ_AT + BLOCK_BYTES;
  // Later frames have higher numbers, so the first block with a hit has the first frame.
  for (let block = expected >> BLOCK_BITS; block <= last >> BLOCK_BITS; block += 1n) {
    const needle = key.stored(block << BLOCK_BITS).subarray(BLOCK_BYTES);
    for (let at = searched.indexOf(needle, offset + 1 + ahead); at !== -1; at = searched.indexOf(needle, at + 1)) {
      const start = at - ahead;
      if (stop - start < FRAME_BYTES) continue;
      const size = claimedSize(data, start);
      if (size > stop - start) continue;
      budget -= size;
      if (budget < 0) return null;
      const found = frameAt(data, start, stop, key);
      if (isMissing(found)) return found;
    }
  }
  return null;
}

/** Return how many frames could stand in so many bytes. */
function framesMax(length: number): bigint {
  return BigInt(Math.floor(length / FRAME_BYTES));
}

function lost(expected: bigint | null, until: bigint | null): Pick<Gap, "firstSeq" | "lastSeq"> {
  if (expected !== null && until !== null && expected >= until) return { firstSeq: null, lastSeq: null };
  return { firstSeq: expected, lastSeq: until === null ? null : until - 1n };
}

function missing(offset: number, length: number, expected: bigint | null, until: bigint | null): Gap {
  return { kind: "gap", offset, length, ...lost(expected, until), what: "bytes are missing" };
}
