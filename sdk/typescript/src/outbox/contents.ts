/**
 * Contents: what the frames of an outbox add up to. No effects.
 *
 * Read from a stream, and kept up to date by the outbox that writes it. In memory is one place for
 * each pending window; bodies are on disk.
 */

import { isAccepted } from "../client/answer.js";
import { type Frame, frameSize } from "../wal/framing.js";
import { type Damage, type Position, type Scanned } from "../wal/values.js";
import {
  type AckMeta,
  type SourcePosition,
  type StreamMeta,
  type TotalsMeta,
  type WindowMeta,
  readMeta,
  seqOf,
} from "./frames.js";

/** Where a pending window stands, and what its frame takes. */
export interface Place {
  readonly position: Position;
  readonly size: number;
  readonly receivedMs: number;
  readonly shardId: string;
}

/** What a segment holds: its frames, and how much of it still waits. */
interface SegmentUse {
  readonly firstSeq: number;
  size: number;
  live: number;
}

/** The oldest segments, which are to be given up: all before the frame `keptFrom`. */
export interface Front {
  readonly ordinals: ReadonlySet<number>;
  readonly keptFrom: number;
}

interface StreamState {
  readonly source: string;
  readonly shardId: string;
  position: SourcePosition;
  /** The number of the frame that says how it goes on. */
  stated: number;
}

const NS_PER_MS = 1_000_000n;
const ESCALATED = 202;

export class Contents {
  /** The windows without a final answer, oldest first. */
  readonly pending = new Map<number, Place>();
  pendingBytes = 0;
  /** Windows submitted, and what became of them. */
  counts = { windows: 0, accepted: 0, escalated: 0, dead: 0, repeats: 0, lost: 0, compactions: 0 };
  /** What could not be read, for people. */
  readonly damage: string[] = [];
  readonly #segments = new Map<number, SegmentUse>();
  readonly #streams = new Map<string, StreamState>();
  readonly #nextEpochs = new Map<string, number>();
  readonly #lostSince = new Map<string, number>();
  #nextSeq: number | null = null;
  #passedTo = 0;

  /** Add up a stream whose next frame gets the number `nextSeq`. */
  static async read(stream: AsyncIterable<Scanned>, nextSeq: number): Promise<Contents> {
    const contents = new Contents();
    for await (const item of stream) {
      if (item.kind === "damage") contents.#note(item);
      else contents.#add(item.position, item.frame);
    }
    contents.#skipTo(nextSeq);
    contents.#sort();
    return contents;
  }

  /** The number the next frame gets at least. */
  get nextSeq(): number {
    return this.#nextSeq ?? 1;
  }

  /** Note that the frames of one batch are on disk. */
  wrote(segment: number, firstSeq: number, size: number): void {
    const use = this.#segments.get(segment) ?? { firstSeq, size: 0, live: 0 };
    use.size += size;
    this.#segments.set(segment, use);
  }

  /** Note that a window is on disk: its stream goes on behind it. */
  submit(meta: WindowMeta, seq: number, place: Place): void {
    this.counts.windows += 1;
    this.#goOn(meta, seq);
    this.#lostSince.set(meta.shard_id, 0);
    this.keep(seq, place);
  }

  /** Add a pending window, or note that it stands elsewhere now. */
  keep(seq: number, place: Place): void {
    this.#release(seq);
    this.pending.set(seq, place);
    this.#live(place, 1);
  }

  /** Add an acknowledgement; one for a window already ended counts once. */
  acknowledge(meta: AckMeta): boolean {
    if (!this.#release(meta.seq)) return false;
    this.pending.delete(meta.seq);
    this.counts[meta.status === ESCALATED ? "escalated" : isAccepted(meta.status) ? "accepted" : "dead"] += 1;
    if (meta.replayed) this.counts.repeats += 1;
    return true;
  }

  /** Note that no frame from here on has a number up to this one, and that none is missing. */
  passOver(to: number): void {
    this.#passedTo = to;
    this.#nextSeq = Math.max(this.nextSeq, to + 1);
  }

  /** Bytes in sealed segments that nothing waits for. */
  get deadBytes(): number {
    const sealed = [...this.#segments.values()].slice(0, -1);
    return sealed.reduce((sum, segment) => sum + segment.size - segment.live, 0);
  }

  /**
   * Return the oldest segments that can be given up at once; `null` when none is sealed.
   *
   * At least one, and further ones as long as half of each is dead and the bytes to be carried stay
   * within the bound.
   */
  front(carryBytesMax: number): Front | null {
    const segments = [...this.#segments];
    let live = 0;
    let count = 0;
    for (const [, segment] of segments.slice(0, -1)) {
      const isMore = 2 * segment.live <= segment.size && live + segment.live <= carryBytesMax;
      if (count > 0 && !isMore) break;
      count += 1;
      live += segment.live;
    }
    const following = segments[count];
    if (count === 0 || following === undefined) return null;
    return {
      ordinals: new Set(segments.slice(0, count).map(([ordinal]) => ordinal)),
      keptFrom: following[1].firstSeq,
    };
  }

  /** Forget segments that are gone. */
  drop(front: Front): void {
    for (const ordinal of front.ordinals) this.#segments.delete(ordinal);
    this.counts.compactions += 1;
  }

  /** Return how those streams go on that no frame from this one on says anything of. */
  statedBefore(seq: number): StreamMeta[] {
    return [...this.#streams.values()]
      .filter((stream) => stream.stated < seq)
      .map(({ source, shardId, position }) => ({
        kind: "stream",
        source,
        shard_id: shardId,
        next_epoch: this.#nextEpochs.get(shardId) ?? 0,
        position,
        lost_since: this.#lostSince.get(shardId) ?? 0,
      }));
  }

  /** Note which frame says how a stream goes on. */
  restate(meta: StreamMeta, seq: number): void {
    const stream = this.#streams.get(streamKey(meta));
    if (stream !== undefined) stream.stated = Math.max(stream.stated, seq);
  }

  /** Return the counts of everything on disk, for a compaction that keeps what follows. */
  totals(keptFrom: number): TotalsMeta {
    const { compactions, ...counts } = this.counts;
    return { kind: "totals", kept_from: keptFrom, ...counts, compactions: compactions + 1 };
  }

  #note(damage: Damage): void {
    this.#nextSeq ??= damage.firstSeq === null ? null : seqOf(damage.firstSeq);
    // Numbers that were passed over are missing from nothing; what was never durable is no loss.
    const isPassed = damage.length === 0 && damage.lastSeq !== null && damage.lastSeq <= BigInt(this.#passedTo);
    if (damage.isLoss && !isPassed) {
      this.damage.push(`${damage.segment} at byte ${damage.offset}: ${damage.what}`);
    }
  }

  #add(position: Position, frame: Frame): void {
    const seq = seqOf(frame.seq);
    this.#skipTo(seq);
    this.#nextSeq = seq + 1;
    const meta = readMeta(frame);
    const size = frameSize(frame);
    this.wrote(position.segment, seq, size);
    const receivedMs = Number(frame.receivedNs / NS_PER_MS);
    const placeIn = (shardId: string): Place => ({ position, size, receivedMs, shardId });
    switch (meta.kind) {
      case "window":
        this.submit(meta, seq, placeIn(meta.shard_id));
        break;
      case "again":
        // Observed before, and counted as dead, unless that outbox was removed.
        if (this.counts.dead > 0) this.counts.dead -= 1;
        else this.counts.windows += 1;
        this.keep(seq, placeIn(meta.shard_id));
        break;
      case "carried":
        this.keep(meta.seq, placeIn(meta.shard_id));
        break;
      case "ack":
        this.acknowledge(meta);
        break;
      case "stream":
        this.#goOn(meta, seq);
        this.#lostSince.set(meta.shard_id, meta.lost_since);
        break;
      case "totals":
        this.#count(meta);
        break;
      case "skipped":
        this.passOver(meta.to);
        break;
    }
  }

  #goOn(meta: WindowMeta | StreamMeta, seq: number): void {
    const { source, shard_id: shardId, position } = meta;
    this.#nextEpochs.set(shardId, Math.max(meta.next_epoch, this.#nextEpochs.get(shardId) ?? 0));
    this.#streams.set(streamKey(meta), { source, shardId, position, stated: seq });
  }

  #count(meta: TotalsMeta): void {
    const { windows, accepted, escalated, dead, repeats, compactions } = meta;
    // What was found lost on the way here may be counted there already, or be new.
    const lost = Math.max(this.counts.lost, meta.lost);
    this.counts = { windows, accepted, escalated, dead, repeats, lost, compactions };
  }

  /** Note the frames between the last one and this as unreadable. */
  #skipTo(seq: number): void {
    const gap = this.#nextSeq === null ? 0 : seq - this.#nextSeq;
    this.#nextSeq = Math.max(seq, this.nextSeq);
    if (gap <= 0) return;
    this.counts.lost += gap;
    for (const [shardId, lost] of this.#lostSince) this.#lostSince.set(shardId, lost + gap);
  }

  #release(seq: number): boolean {
    const before = this.pending.get(seq);
    if (before !== undefined) this.#live(before, -1);
    return before !== undefined;
  }

  #live(place: Place, sign: 1 | -1): void {
    this.pendingBytes += sign * place.size;
    const segment = this.#segments.get(place.position.segment);
    if (segment !== undefined) segment.live += sign * place.size;
  }

  /** Let the oldest be the first again, where copies of old windows stood behind others. */
  #sort(): void {
    const sorted = [...this.pending].sort(([one], [other]) => one - other);
    this.pending.clear();
    for (const [seq, place] of sorted) this.pending.set(seq, place);
  }
}

function streamKey(stream: WindowMeta | StreamMeta): string {
  return JSON.stringify([stream.source, stream.shard_id]);
}
