/**
 * Frames of the outbox: what stands in its stream (`specs/agent.md` section 2, "The outbox").
 *
 * A frame's meta block is JSON with the format's version, its payload a record or nothing. The next
 * epoch of a stream is in the frame of the window it follows from: both are on disk or none is.
 */

import { ContractError, CorruptionError } from "../protocol/errors.js";
import type { Frame, NewFrame } from "../wal/framing.js";

const FORMAT = 1;
const MS_TO_NS = 1_000_000n;

/** Where a source goes on, as the agent keeps it; never looked into here. */
export type SourcePosition = Readonly<Record<string, unknown>> | null;

export interface WindowMeta {
  readonly kind: "window";
  readonly source: string;
  readonly shard_id: string;
  readonly next_epoch: number;
  readonly position: SourcePosition;
}

export interface AgainMeta {
  readonly kind: "again";
  readonly letter: number;
  readonly shard_id: string;
  readonly next_epoch: number;
}

export interface CarriedMeta {
  readonly kind: "carried";
  readonly seq: number;
  readonly shard_id: string;
  readonly next_epoch: number;
}

export interface AckMeta {
  readonly kind: "ack";
  readonly seq: number;
  readonly status: number;
  readonly replayed: boolean;
}

export interface StreamMeta {
  readonly kind: "stream";
  readonly source: string;
  readonly shard_id: string;
  readonly next_epoch: number;
  readonly position: SourcePosition;
  readonly lost_since: number;
}

export interface TotalsMeta {
  readonly kind: "totals";
  readonly kept_from: number;
  readonly windows: number;
  readonly accepted: number;
  readonly escalated: number;
  readonly dead: number;
  readonly repeats: number;
  readonly lost: number;
  readonly compactions: number;
}

export interface SkippedMeta {
  readonly kind: "skipped";
  readonly to: number;
}

export type Meta = WindowMeta | AgainMeta | CarriedMeta | AckMeta | StreamMeta | TotalsMeta | SkippedMeta;

/** The members of each kind, and what each is. */
const WHOLE = "whole";
const MEMBERS: { readonly [K in Meta["kind"]]: Readonly<Record<string, "text" | "whole" | "boolean" | "position">> } = {
  window: { source: "text", shard_id: "text", next_epoch: WHOLE, position: "position" },
  again: { letter: WHOLE, shard_id: "text", next_epoch: WHOLE },
  carried: { seq: WHOLE, shard_id: "text", next_epoch: WHOLE },
  ack: { seq: WHOLE, status: WHOLE, replayed: "boolean" },
  stream: { source: "text", shard_id: "text", next_epoch: WHOLE, position: "position", lost_since: WHOLE },
  totals: {
    kept_from: WHOLE,
    windows: WHOLE,
    accepted: WHOLE,
    escalated: WHOLE,
    dead: WHOLE,
    repeats: WHOLE,
    lost: WHOLE,
    compactions: WHOLE,
  },
  skipped: { to: WHOLE },
};
const NOTHING = new Uint8Array(0);

/** Return a frame as it is appended. */
export function packMeta(meta: Meta, receivedMs: number, payload: Uint8Array = NOTHING): NewFrame {
  const text = JSON.stringify({ ...meta, v: FORMAT });
  return { receivedNs: BigInt(receivedMs) * MS_TO_NS, meta: Buffer.from(text, "utf8"), payload };
}

/** Return a copy of the frame that holds the window `seq`, its own or an earlier copy. */
export function carriedFrame(seq: number, frame: Frame): NewFrame {
  const meta = readMeta(frame);
  if (meta.kind !== "window" && meta.kind !== "again" && meta.kind !== "carried") throw notOurs(frame);
  const carried: CarriedMeta = { kind: "carried", seq, shard_id: meta.shard_id, next_epoch: meta.next_epoch };
  const packed = packMeta(carried, 0, frame.payload);
  return { ...packed, receivedNs: frame.receivedNs };
}

/**
 * Return a frame's meta block.
 *
 * @throws ContractError A newer program wrote it.
 * @throws CorruptionError It is no frame of an outbox.
 */
export function readMeta(frame: Frame): Meta {
  let read: unknown;
  try {
    read = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(frame.meta));
  } catch {
    throw notOurs(frame);
  }
  if (typeof read !== "object" || read === null) throw notOurs(frame);
  const members = read as Record<string, unknown>;
  const version = members["v"];
  if (typeof version === "number" && version > FORMAT) {
    throw new ContractError(
      `outbox frame ${frame.seq}: expected format ${FORMAT}, got ${version}: read it with a version that knows it`,
    );
  }
  const kind = members["kind"];
  if (!isWhole(version) || typeof kind !== "string" || !Object.hasOwn(MEMBERS, kind)) throw notOurs(frame);
  for (const [name, what] of Object.entries(MEMBERS[kind as Meta["kind"]])) {
    const value = members[name];
    const isRight =
      what === "text" || what === "boolean"
        ? typeof value === (what === "text" ? "string" : "boolean")
        : what === "whole"
          ? isWhole(value)
          : value === null || (typeof value === "object" && !Array.isArray(value));
    if (!isRight) throw notOurs(frame);
  }
  return members as unknown as Meta;
}

/** Return the number of a frame of an outbox, where numbers are at most 2^53 − 1. */
export function seqOf(seq: bigint): number {
  if (seq > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new CorruptionError("outbox: expected numbers below 2^53, got a larger one");
  }
  return Number(seq);
}

/** Behind the last epoch there is, 2^53 − 1, stands one more number. */
const WHOLE_MAX = 2 ** 53;

function isWhole(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && Math.abs(value) <= WHOLE_MAX;
}

function notOurs(frame: Frame): CorruptionError {
  return new CorruptionError(`outbox frame ${frame.seq}: expected a frame of an outbox, got something else`);
}
