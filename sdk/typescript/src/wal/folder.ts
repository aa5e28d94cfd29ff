/**
 * A stream's folder: what its files are called, and which segments follow each other.
 *
 * `specs/storage.md` section 1 has the names; what is called otherwise is left alone.
 */

import { join } from "node:path";

import { ContractError } from "../protocol/errors.js";
import type { Disk } from "./disk.js";
import { HEADER_BYTES, type SegmentHeader, SegmentKey, unpackHeader } from "./framing.js";

export const NEW_SUFFIX = ".new";
export const CUT_SUFFIX = ".cut";
export const BAD_SUFFIX = ".bad";
const SEGMENT_NAME = /^(\d{10})-([0-9a-f]{32})\.seg$/;
const ORDINAL_DIGITS = 10;

/**
 * A segment by its name, and by its header where that verifies.
 *
 * `end` is the length up to which it counts, as the next segment tells: everything below is durable,
 * everything beyond superseded. `nextSeq` is of the frame that would have come next. `null`: no
 * sound header tells.
 */
export interface Segment {
  readonly path: string;
  readonly name: string;
  readonly ordinal: number;
  readonly key: SegmentKey;
  readonly header: SegmentHeader | null;
  readonly size: number;
  readonly end: number | null;
  readonly nextSeq: bigint | null;
}

/**
 * What a stream's folder holds.
 *
 * `segments` is the stream in its order, from the frame `keptFrom` on. `removable` hold nothing of
 * it: no frame, or only earlier ones. `unfinished` never were part of it.
 */
export interface Folder {
  readonly segments: readonly Segment[];
  readonly keptFrom: bigint;
  readonly removable: readonly string[];
  readonly unfinished: readonly string[];
}

/** Return the file name of a segment. */
export function segmentName(ordinal: number, segmentId: Buffer): string {
  return `${String(ordinal).padStart(ORDINAL_DIGITS, "0")}-${segmentId.toString("hex")}.seg`;
}

/** Tell whether a file of that name is a segment; such names sort in the order of the stream. */
export function isSegmentName(name: string): boolean {
  return SEGMENT_NAME.test(name);
}

/**
 * Return what a stream's folder holds; reads names, lengths and headers, no frames.
 *
 * @throws ContractError A segment is another stream's, or of a format this release does not read.
 */
export async function readFolder(disk: Disk, folder: string, stream: string): Promise<Folder> {
  const names = await disk.names(folder);
  const found: Segment[] = [];
  for (const name of names) {
    const match = SEGMENT_NAME.exec(name);
    if (match !== null) found.push(await readSegmentHeader(disk, folder, match, stream));
  }
  let keptFrom = 1n;
  for (const { header } of found) {
    if (header !== null && header.keptFrom > keptFrom) keptFrom = header.keptFrom;
  }
  const segments: Segment[] = [];
  const removable: string[] = [];
  let following: SegmentHeader | null = null;
  let isBelow = false;
  for (const segment of found.toReversed()) {
    const header: SegmentHeader | null = segment.header;
    // A bound is the first number of a segment: what begins before it ends before it. One whose
    // header is damaged does when a later one begins there or before.
    const isBefore: boolean = header === null ? isBelow : header.firstSeq < keptFrom;
    isBelow ||= header !== null && header.firstSeq <= keptFrom;
    if (isBefore || (following !== null && isSuperseded(segment, following))) {
      removable.push(segment.path);
      continue;
    }
    segments.push(segment);
    following = header;
  }
  return {
    segments: linked(segments.reverse()),
    keptFrom,
    removable: removable.reverse(),
    unfinished: names.filter((name) => name.endsWith(NEW_SUFFIX)).map((name) => join(folder, name)),
  };
}

function isSuperseded({ header }: Segment, following: SegmentHeader): boolean {
  // A segment is passed over only after it was seen that it holds no frame and no damage.
  return (
    header !== null &&
    following.firstSeq === header.firstSeq &&
    following.previousId.equals(header.previousId)
  );
}

/** Say of each segment where it ends, as far as the one after it tells. */
function linked(segments: readonly Segment[]): Segment[] {
  const followers = new Map<string, SegmentHeader>();
  for (const { header } of segments) {
    if (header !== null) followers.set(header.previousId.toString("hex"), header);
  }
  return segments.map((segment) => {
    const follower = followers.get(segment.key.segmentId.toString("hex"));
    if (follower === undefined) return segment;
    return { ...segment, end: follower.previousEnd, nextSeq: follower.passedFrom };
  });
}

async function readSegmentHeader(
  disk: Disk,
  folder: string,
  match: RegExpExecArray,
  stream: string,
): Promise<Segment> {
  const [name, digits = "", hex = ""] = match;
  const path = join(folder, name);
  const ordinal = Number(digits);
  const key = new SegmentKey(Buffer.from(hex, "hex"));
  const file = await disk.open(path);
  let size: number;
  let header: SegmentHeader | null;
  try {
    size = await file.size();
    header = unpackHeader(await file.readAt(0, HEADER_BYTES));
  } finally {
    await file.close();
  }
  if (header !== null && (header.ordinal !== ordinal || !header.segmentId.equals(key.segmentId))) {
    header = null;
  }
  if (header !== null && header.stream !== stream) {
    throw new ContractError(`${name}: expected stream ${stream}, got another one`);
  }
  return { path, name, ordinal, key, header, size, end: null, nextSeq: null };
}
