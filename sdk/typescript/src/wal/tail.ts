/**
 * Tell corruption from a torn tail in the segment that was written last.
 *
 * The highest `durableOffset` of any sound batch header divides it, or its footer. Below, everything
 * was durable once: what does not verify there is corruption, is reported and is never cut. Above, a
 * write may have been under way: the frames that follow without a gap survive, what comes after them
 * is the torn tail.
 */

import { type FrameAt, HEADER_BYTES, type SegmentKey } from "./framing.js";
import { type Gap, walk } from "./walk.js";

/**
 * A last segment, taken apart.
 *
 * `tornAt` is where the torn tail begins, the segment's length when there is none; `kept` is
 * everything before that: frames, and the gaps of corruption. `survivors` are the frames above the
 * division. `nextSeq` follows the last frame that counts, `null` when the segment cannot tell.
 */
export interface Tail {
  readonly durableEnd: number;
  readonly tornAt: number;
  readonly kept: readonly (FrameAt | Gap)[];
  readonly survivors: readonly FrameAt[];
  readonly nextSeq: bigint | null;
}

/** Take a last segment apart; `firstSeq` is from its header, `null` when that is damaged. */
export function examine(data: Buffer, key: SegmentKey, firstSeq: bigint | null): Tail {
  const items = [...walk(data, key, { end: data.length, firstSeq })];
  let durableEnd = HEADER_BYTES;
  let deciding = 0;
  let nextSeq = firstSeq;
  for (const [index, item] of items.entries()) {
    if (item.kind === "footer") {
      [durableEnd, deciding, nextSeq] = [item.offset, index, item.nextSeq];
    } else if (item.kind === "batch" && item.durableOffset >= durableEnd) {
      [durableEnd, deciding, nextSeq] = [item.durableOffset, index, item.firstSeq];
    }
  }
  const kept: (FrameAt | Gap)[] = [];
  const survivors: FrameAt[] = [];
  let tornAt = Math.min(durableEnd, data.length);
  for (const [index, item] of items.entries()) {
    const end = item.kind === "gap" ? item.offset + item.length : item.end;
    // A gap of length 0 right at the division stands before the batch that tells of it.
    const isDurable = item.offset < durableEnd || (index < deciding && end <= durableEnd);
    if (item.kind === "gap") {
      if (!isDurable) break;
      kept.push(item);
    } else if (item.kind === "frame") {
      kept.push(item);
      if (!isDurable) {
        survivors.push(item);
        [tornAt, nextSeq] = [item.end, item.seq + 1n];
      }
    } else if (item.kind === "footer" || item.frames === 0) {
      tornAt = Math.max(tornAt, item.end);
    }
  }
  return { durableEnd, tornAt, kept, survivors, nextSeq };
}
