/**
 * Compaction: old segments are given up when what still waits in them has been copied behind.
 *
 * When the sealed segments hold at least two segments' worth that nothing waits for, and at least as
 * much as waits in all, the oldest go. A pass, in this order, of which any may be the last before a
 * crash: copy the windows that wait there, under their own numbers; state the streams again that
 * nothing behind those segments tells of; write the totals, the cursor; remove the segments. Callers
 * go on meanwhile: what a pass writes is made when it is its turn, so it is true where it stands.
 */

import { CorruptionError, FullError } from "../protocol/errors.js";
import { type Frame, type NewFrame, frameSize } from "../wal/framing.js";
import type { Placed } from "../wal/values.js";
import { type Contents, type Front, type Place } from "./contents.js";
import { carriedFrame, packMeta, seqOf } from "./frames.js";
import type { Log } from "./log.js";

/** Of what a segment holds at the most. Below, a compaction saves less than its syncs cost. */
const DEAD_SEGMENTS_MIN = 2;
/** What one append of a compaction holds: callers wait for it as for a batch of their own. */
const PIECE_BYTES_MAX = 256 << 10;
const PIECE_STREAMS_MAX = 512;

export class Compactor {
  #isOff = false;
  #running: Promise<void> | null = null;

  constructor(
    private readonly log: Log,
    private readonly contents: Contents,
    private readonly segmentBytesMax: number,
    private readonly nowMs: () => number,
  ) {}

  /** Whether enough is dead. */
  get isWorthIt(): boolean {
    if (this.#isOff) return false;
    return this.contents.deadBytes >= Math.max(DEAD_SEGMENTS_MIN * this.segmentBytesMax, this.contents.pendingBytes);
  }

  /**
   * Make one pass, or join the one that is under way.
   *
   * @throws DurabilityError The log is fenced; nothing that is needed is gone.
   */
  run(): Promise<void> {
    this.#running ??= this.#pass()
      .catch((error: unknown) => {
        // A window that waits cannot be read: its segment is evidence, and stays.
        if (error instanceof CorruptionError) this.#isOff = true;
        // What was copied is there twice; another pass follows when there is room.
        else if (!(error instanceof FullError)) throw error;
      })
      .finally(() => {
        this.#running = null;
      });
    return this.#running;
  }

  /** Return when no pass is under way. */
  async idle(): Promise<void> {
    await this.#running?.catch(() => undefined);
  }

  async #pass(): Promise<void> {
    const front = this.contents.front(this.segmentBytesMax);
    if (front === null) return;
    await this.#carry(front);
    await this.#restate(front);
    let cursor = 0n;
    await this.log.appendLast(
      () => [packMeta(this.contents.totals(front.keptFrom), this.nowMs())],
      ([placed]) => {
        cursor = (placed as Placed).seq;
      },
    );
    await this.log.exclusively(() => this.log.stream.retainFrom(BigInt(front.keptFrom), cursor));
    this.contents.drop(front);
  }

  /** Copy what waits in these segments. */
  async #carry(front: Front): Promise<void> {
    let piece: [number, Place][] = [];
    let size = 0;
    for (const [seq, place] of [...this.contents.pending]) {
      if (!front.ordinals.has(place.position.segment)) continue;
      piece.push([seq, place]);
      size += place.size;
      if (size < PIECE_BYTES_MAX) continue;
      await this.#carryPiece(piece);
      [piece, size] = [[], 0];
    }
    await this.#carryPiece(piece);
  }

  async #carryPiece(piece: readonly [number, Place][]): Promise<void> {
    const read: [number, Place, Frame][] = [];
    for (const [seq, place] of piece) {
      if (this.contents.pending.has(seq)) read.push([seq, place, await this.log.stream.read(place.position)]);
    }
    if (read.length === 0) return;
    let carried: [number, Place][] = [];
    await this.log.appendLast(
      () => {
        // What was answered meanwhile must not stand behind its acknowledgement.
        const waiting = read.filter(([seq]) => this.contents.pending.has(seq));
        const frames = waiting.map(([seq, , frame]) => carriedFrame(seq, frame));
        carried = waiting.map(([seq, place], index) => [seq, { ...place, size: frameSize(frames[index] as NewFrame) }]);
        return frames;
      },
      (placed) => {
        for (const [index, [seq, place]] of carried.entries()) {
          const { position } = placed[index] as Placed;
          if (this.contents.pending.has(seq)) this.contents.keep(seq, { ...place, position });
        }
      },
    );
  }

  /** Say again of each stream how it goes on, where only these segments do. */
  async #restate(front: Front): Promise<void> {
    for (;;) {
      let stale = this.contents.statedBefore(front.keptFrom).slice(0, PIECE_STREAMS_MAX);
      if (stale.length === 0) return;
      await this.log.appendLast(
        () => {
          stale = this.contents.statedBefore(front.keptFrom).slice(0, PIECE_STREAMS_MAX);
          return stale.map((stream) => packMeta(stream, this.nowMs()));
        },
        (placed) => {
          for (const [index, { seq }] of placed.entries()) {
            const stream = stale[index];
            if (stream !== undefined) this.contents.restate(stream, seqOf(seq));
          }
        },
      );
    }
  }
}
