/** What a stream says of its frames and of what opening or reading it found. */

import type { Frame } from "./framing.js";

/** Where a frame stands: the ordinal of its segment and the offset in bytes, until a recovery. */
export interface Position {
  readonly segment: number;
  readonly offset: number;
}

/** Where an appended frame went. */
export interface Placed {
  readonly seq: bigint;
  readonly position: Position;
}

/**
 * Bytes of a stream that are not what was written, or are not there.
 *
 * `length` is 0 where whole frames or segments are missing. `firstSeq` to `lastSeq` are the frames
 * lost in it: both `null` where none is, or where nothing tells which. `isLoss` is false for what was
 * never acknowledged: a torn tail that a reader without the lock meets.
 */
export interface Damage {
  readonly kind: "damage";
  readonly segment: string;
  readonly offset: number;
  readonly length: number;
  readonly firstSeq: bigint | null;
  readonly lastSeq: bigint | null;
  readonly what: string;
  readonly isLoss: boolean;
}

/** A frame as a scan gives it. */
export interface Found {
  readonly kind: "frame";
  readonly position: Position;
  readonly frame: Frame;
}

export type Scanned = Found | Damage;

/**
 * What opening a stream found.
 *
 * `copied` of its frames, the last ones, went to the fresh segment; `tornBytes` are in `cutFiles`,
 * names in the stream's folder. `damage` is what was seen on the way; a scan sees all of it.
 */
export interface Recovery {
  readonly copied: number;
  readonly tornBytes: number;
  readonly cutFiles: readonly string[];
  readonly damage: readonly Damage[];
}

/** Return the number of the last frame an item tells of, `null` where it tells of none. */
export function lastSeqOf(item: Scanned): bigint | null {
  return item.kind === "damage" ? item.lastSeq : item.frame.seq;
}
