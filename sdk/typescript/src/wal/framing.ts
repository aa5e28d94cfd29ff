/**
 * Frame a segment: bytes in, bytes out. `specs/storage.md` section 2 is the layout and why it is so.
 *
 * Numbers of frames are `bigint`: on disk they have 64 bits, and masked ones use all of them.
 * Offsets and lengths are numbers: no segment has more than 1 GiB.
 */

import { ContractError } from "../protocol/errors.js";
import { crc32c } from "./crc32c.js";

const FORMAT = 1;
const READ_SINCE: readonly [number, number] = [0, 1];
const SEGMENT_MAGIC = Buffer.from("\xf1FLBASEG", "latin1");
export const BATCH_MAGIC = Buffer.from("\xf1LBb", "latin1");
export const ID_BYTES = 16;
export const NAME_BYTES_MAX = 128;
/** The previous id of a stream's first segment. */
export const NO_ID = Buffer.alloc(ID_BYTES);

const PREFACE_BYTES = 16;
const BODY_AT = 20;
export const HEADER_BYTES = 232;
export const BATCH_BYTES = 32;
/** What a frame takes beside its meta block and payload. */
export const FRAME_BYTES = 26;
/** Where in a frame its number stands, and what its length counts begins. */
export const FRAME_SEQ_AT = 8;
const FRAME_BODY_BYTES = 18;
export const META_BYTES_MAX = 0xffff;
export const U64_MAX = (1n << 64n) - 1n;

/** What is to be appended; `receivedNs` is in nanoseconds since 1970. */
export interface NewFrame {
  readonly receivedNs: bigint;
  readonly meta: Uint8Array;
  readonly payload: Uint8Array;
}

/** What was appended, under its number (from 1). */
export interface Frame extends NewFrame {
  readonly seq: bigint;
}

/** What a segment says of itself and of the one before it. */
export interface SegmentHeader {
  readonly stream: string;
  readonly ordinal: number;
  readonly segmentId: Buffer;
  readonly firstSeq: bigint;
  readonly previousId: Buffer;
  readonly previousEnd: number;
  readonly createdNs: bigint;
  readonly keptFrom: bigint;
  readonly passedFrom: bigint;
}

/** A sound batch header and where it stands; `end` is where its frames end. */
export interface BatchAt {
  readonly kind: "batch";
  readonly offset: number;
  readonly end: number;
  readonly frames: number;
  readonly firstSeq: bigint;
  readonly durableOffset: number;
}

/** A sound frame and where it stands. */
export interface FrameAt {
  readonly kind: "frame";
  readonly offset: number;
  readonly end: number;
  readonly seq: bigint;
  readonly receivedNs: bigint;
  readonly metaBytes: number;
}

/** What a segment's id lends to the bytes inside: the checksums' start and the mask of numbers. */
export class SegmentKey {
  readonly crc: number;
  readonly mask: bigint;

  constructor(readonly segmentId: Buffer) {
    this.crc = crc32c(segmentId);
    this.mask = segmentId.readBigUInt64LE(0);
  }

  /** Return the eight bytes a number is stored as. */
  stored(seq: bigint): Buffer {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(seq ^ this.mask);
    return bytes;
  }
}

/** Return the `HEADER_BYTES` bytes that open a segment. */
export function packHeader(header: SegmentHeader): Buffer {
  const data = Buffer.alloc(HEADER_BYTES);
  const name = Buffer.from(header.stream, "utf8");
  SEGMENT_MAGIC.copy(data);
  data.writeUInt16LE(FORMAT, 8);
  data.writeUInt8(READ_SINCE[0], 10);
  data.writeUInt8(READ_SINCE[1], 11);
  data.writeUInt32LE(crc32c(data.subarray(0, 12)), 12);
  data.writeUInt32LE(name.length, 20);
  data.writeBigUInt64LE(BigInt(header.ordinal), 24);
  data.writeBigUInt64LE(header.firstSeq, 32);
  header.segmentId.copy(data, 40);
  header.previousId.copy(data, 56);
  data.writeBigUInt64LE(BigInt(header.previousEnd), 72);
  data.writeBigUInt64LE(header.createdNs, 80);
  data.writeBigUInt64LE(header.keptFrom, 88);
  data.writeBigUInt64LE(header.passedFrom, 96);
  name.copy(data, 104);
  data.writeUInt32LE(headerCrc(data), 16);
  return data;
}

function headerCrc(data: Buffer): number {
  return crc32c(data.subarray(BODY_AT, HEADER_BYTES), crc32c(data.subarray(0, PREFACE_BYTES)));
}

/**
 * Return the header at the start of `data`, or `null` when it is damaged.
 *
 * @throws ContractError It is sound and of another format version; the message names the release
 *   that reads it.
 */
export function unpackHeader(data: Buffer): SegmentHeader | null {
  if (data.length < PREFACE_BYTES || !data.subarray(0, 8).equals(SEGMENT_MAGIC)) return null;
  if (data.readUInt32LE(12) !== crc32c(data.subarray(0, 12))) return null;
  const format = data.readUInt16LE(8);
  if (format !== FORMAT) {
    throw new ContractError(
      `segment: expected format ${FORMAT}, got format ${format}, which release ` +
        `${data.readUInt8(10)}.${data.readUInt8(11)} and later read`,
    );
  }
  if (data.length < HEADER_BYTES || data.readUInt32LE(16) !== headerCrc(data)) return null;
  const stream = streamName(data.subarray(104, HEADER_BYTES), data.readUInt32LE(20));
  const firstSeq = data.readBigUInt64LE(32);
  const keptFrom = data.readBigUInt64LE(88);
  const passedFrom = data.readBigUInt64LE(96);
  if (stream === null || keptFrom > firstSeq || passedFrom > firstSeq) return null;
  return {
    stream,
    ordinal: Number(data.readBigUInt64LE(24)),
    segmentId: Buffer.from(data.subarray(40, 56)),
    firstSeq,
    previousId: Buffer.from(data.subarray(56, 72)),
    previousEnd: Number(data.readBigUInt64LE(72)),
    createdNs: data.readBigUInt64LE(80),
    keptFrom,
    passedFrom,
  };
}

function streamName(padded: Buffer, length: number): string | null {
  if (length > NAME_BYTES_MAX || padded.subarray(length).some((byte) => byte !== 0)) return null;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(padded.subarray(0, length));
  } catch {
    return null;
  }
}

/** Return what a frame takes on disk. */
export function frameSize(frame: NewFrame): number {
  return FRAME_BYTES + frame.meta.length + frame.payload.length;
}

/** Return the bytes of a batch (of no frame: a mark) and where in them each frame starts. */
export function packBatch(
  key: SegmentKey,
  frames: readonly NewFrame[],
  at: { readonly firstSeq: bigint; readonly durableOffset: number },
): { readonly data: Buffer; readonly starts: readonly number[] } {
  const data = Buffer.alloc(frames.reduce((size, frame) => size + frameSize(frame), BATCH_BYTES));
  const starts: number[] = [];
  let end = BATCH_BYTES;
  for (const frame of frames) {
    starts.push(end);
    end = packFrame(data, end, key, at.firstSeq + BigInt(starts.length - 1), frame);
  }
  BATCH_MAGIC.copy(data);
  data.writeUInt32LE(end - BATCH_BYTES, 8);
  data.writeUInt32LE(frames.length, 12);
  data.writeBigUInt64LE(at.firstSeq ^ key.mask, 16);
  data.writeBigUInt64LE(BigInt(at.durableOffset), 24);
  data.writeUInt32LE(crc32c(data.subarray(8, BATCH_BYTES), key.crc), 4);
  return { data, starts };
}

function packFrame(data: Buffer, offset: number, key: SegmentKey, seq: bigint, frame: NewFrame): number {
  const end = offset + frameSize(frame);
  data.writeUInt32LE(end - offset - FRAME_SEQ_AT, offset);
  data.writeBigUInt64LE(seq ^ key.mask, offset + 8);
  data.writeBigUInt64LE(frame.receivedNs, offset + 16);
  data.writeUInt16LE(frame.meta.length, offset + 24);
  data.set(frame.meta, offset + FRAME_BYTES);
  data.set(frame.payload, offset + FRAME_BYTES + frame.meta.length);
  data.writeUInt32LE(frameCrc(data, offset, end, key), offset + 4);
  return end;
}

function frameCrc(data: Buffer, offset: number, end: number, key: SegmentKey): number {
  const length = crc32c(data.subarray(offset, offset + 4), key.crc);
  return crc32c(data.subarray(offset + FRAME_SEQ_AT, end), length);
}

/**
 * Return the batch header at `offset` when it stands whole below `end` and verifies.
 *
 * Its frames may lie beyond `end`: that is for the caller to judge.
 */
export function batchAt(data: Buffer, offset: number, end: number, key: SegmentKey): BatchAt | null {
  if (end - offset < BATCH_BYTES) return null;
  if (!data.subarray(offset, offset + 4).equals(BATCH_MAGIC)) return null;
  const durableOffset = Number(data.readBigUInt64LE(offset + 24));
  if (durableOffset < HEADER_BYTES || durableOffset > offset) return null;
  const covered = crc32c(data.subarray(offset + 8, offset + BATCH_BYTES), key.crc);
  if (covered !== data.readUInt32LE(offset + 4)) return null;
  const length = data.readUInt32LE(offset + 8);
  const frames = data.readUInt32LE(offset + 12);
  const firstSeq = data.readBigUInt64LE(offset + 16) ^ key.mask;
  // A right checksum does not make room for more frames than fit, nor a mark with something in it.
  const isPossible = frames * FRAME_BYTES <= length && (frames > 0 || length === 0);
  if (!isPossible || firstSeq + BigInt(frames) > U64_MAX + 1n) return null;
  return { kind: "batch", offset, end: offset + BATCH_BYTES + length, frames, firstSeq, durableOffset };
}

/** Return the frame at `offset` when it stands whole below `end` and verifies. */
export function frameAt(data: Buffer, offset: number, end: number, key: SegmentKey): FrameAt | null {
  if (end - offset < FRAME_BYTES) return null;
  const length = data.readUInt32LE(offset);
  const metaBytes = data.readUInt16LE(offset + 24);
  const frameEnd = offset + FRAME_SEQ_AT + length;
  // The length is only a claim until the checksum, which covers it, agrees: it may choose what is
  // summed, never beyond the bytes at hand.
  if (frameEnd > end || length < FRAME_BODY_BYTES + metaBytes) return null;
  if (frameCrc(data, offset, frameEnd, key) !== data.readUInt32LE(offset + 4)) return null;
  const seq = data.readBigUInt64LE(offset + 8) ^ key.mask;
  return { kind: "frame", offset, end: frameEnd, seq, receivedNs: data.readBigUInt64LE(offset + 16), metaBytes };
}

/** Return how many bytes the frame header at `offset` claims for its frame, unverified. */
export function claimedSize(data: Buffer, offset = 0): number {
  return FRAME_SEQ_AT + data.readUInt32LE(offset);
}

/** Return the frame that `frameAt` found in `data`. */
export function frameOf(data: Buffer, found: FrameAt): Frame {
  const metaAt = found.offset + FRAME_BYTES;
  const payloadAt = metaAt + found.metaBytes;
  return {
    seq: found.seq,
    receivedNs: found.receivedNs,
    meta: data.subarray(metaAt, payloadAt),
    payload: data.subarray(payloadAt, found.end),
  };
}
