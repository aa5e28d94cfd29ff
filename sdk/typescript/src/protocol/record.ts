/**
 * The PCS record, version 1.0: bytes in, a value whose every member was checked out.
 *
 * The order of refusals is part of the contract, so that every implementation gives the same code
 * for the same body: size, JSON, version, the members in the order of the table in `specs/pcs.md`
 * (inside an object its known members first), unknown members, pcs_id.
 */

import {
  canonical,
  canonicalWithout,
  type JsonObject,
  type JsonValue,
  requireUnicode,
} from "./canonical.js";
import { type Counts, type Regime, REGIMES } from "./derive.js";
import { readDocument, requireVersion, SCHEMA } from "./document.js";
import { ContractError } from "./errors.js";
import { pcsId } from "./identity.js";
import { RECORD_DEPTH_MAX } from "./strict-json.js";
import * as structure from "./structure.js";
import { HASH, KID, type Members } from "./structure.js";
import { utf8 } from "./text.js";

export const VERSION = "1.0";

/** How a window became points. */
export type Profile = "points/1" | "bytes/1";

/** What the agent had to weaken. */
export interface FaultTolerance {
  /** Something was lost or substituted. */
  readonly degraded: boolean;
  /** 0 … 8 reasons of at most 64 bytes each. */
  readonly fallbacks: readonly string[];
  /** The agent's estimate, any safe integer, in milliseconds. */
  readonly clockSkewMs: number;
}

/** One attempt to send a record: unsigned, and different on every retry. */
export interface Delivery {
  /** 1 … 2^53−1. */
  readonly attempt: number;
  /** A timestamp in the spelling of `formatTimestamp`. */
  readonly sentAt: string;
  /** 1 … 2^53−1. */
  readonly outboxSeq: number;
}

/** A record whose structure and pcs_id are right; its signature is not checked by that. */
export interface PcsRecord {
  readonly version: typeof VERSION;
  readonly kid: string;
  readonly pcsId: string;
  readonly merkleRoot: string;
  readonly epoch: number;
  readonly shardId: string;
  readonly createdAt: string;
  /** `createdAt` in milliseconds since 1970. */
  readonly createdAtMs: number;
  readonly profile: Profile;
  /** Rows of the window as given, 3 … 65,536. */
  readonly n: number;
  /** Its columns, 1 … 4,096. */
  readonly d: number;
  readonly seed: number;
  readonly scales: readonly number[];
  readonly counts: Counts;
  readonly dHat: number;
  readonly cohStar: number;
  readonly r: number;
  readonly budget: number;
  /** A unit vector. */
  readonly vStar: readonly [number, number, number];
  readonly regime: Regime;
  readonly ft: FaultTolerance;
  readonly meta: ReadonlyMap<string, string | number | boolean> | null;
  readonly delivery: Delivery | null;
  /** 32 or 64 bytes, or none where `sig` is absent or empty. */
  readonly signature: Uint8Array;
  /** The members under their names on the wire: what canonical bytes are made of. */
  readonly members: JsonObject;
}

const SHARD_ID = /^[A-Za-z0-9._:-]{1,128}$/;
const META_NAME = /^[a-z0-9_.]{1,64}$/;
const PROFILES = ["points/1", "bytes/1"] as const satisfies readonly Profile[];
const MEMBERS: ReadonlySet<string> = new Set(
  (
    "schema version kid pcs_id merkle_root epoch shard_id created_at profile n d seed scales N_j " +
    "D_hat coh_star r budget v_star regime ft meta delivery sig"
  ).split(" "),
);
const FT_MEMBERS: ReadonlySet<string> = new Set(["degraded", "fallbacks", "clock_skew_ms"]);
const DELIVERY_MEMBERS: ReadonlySet<string> = new Set(["attempt", "sent_at", "outbox_seq"]);
const NOT_STORED: ReadonlySet<string> = new Set(["delivery"]);
const { MAX_SAFE_INTEGER } = Number;

/**
 * Returns the record of version 1.0 a body holds.
 *
 * @throws Refusal `too_large`, `bad_encoding`, `malformed_json`, `unsupported_version`,
 *     `invalid_record` with the member, or `pcs_id_mismatch`, in this order.
 */
export function parseRecord(body: Uint8Array): PcsRecord {
  const document = readDocument(body);
  requireVersion(document, [VERSION]);
  return recordOf(document);
}

/**
 * Returns the record with these members, which are copied: the rules of {@link parseRecord}, for
 * producers. A member that is `undefined` is absent.
 *
 * @throws Refusal as `parseRecord`.
 * @throws ContractError A text holds a lone surrogate, or more than 8 levels are open.
 */
export function recordFromMembers(members: { readonly [name: string]: unknown }): PcsRecord {
  const document = copied(members) as JsonObject;
  requireVersion(document, [VERSION]);
  return recordOf(document);
}

/** Returns the canonical bytes with `sig` and without `delivery`: what a ledger keeps. */
export function storedBytes(record: PcsRecord): Uint8Array {
  return utf8(canonicalWithout(record.members, NOT_STORED));
}

/**
 * Returns the canonical bytes with `sig` and this delivery: what goes over the wire.
 *
 * @throws Refusal `invalid_record`: the delivery is out of range.
 */
export function sentBytes(record: PcsRecord, delivery: Delivery): Uint8Array {
  const unsigned = {
    attempt: delivery.attempt,
    sent_at: delivery.sentAt,
    outbox_seq: delivery.outboxSeq,
  };
  deliveryOf(unsigned);
  return canonical({ ...record.members, delivery: unsigned });
}

/**
 * Returns the record a document of this version holds.
 *
 * @throws Refusal `invalid_record` with the member, or `pcs_id_mismatch`, in this order.
 */
export function recordOf(members: JsonObject): PcsRecord {
  const get = (name: string): unknown => structure.member(members, name);
  structure.requireOneOf(get("schema"), "schema", [SCHEMA]);
  const kid = structure.requireMatch(get("kid"), "kid", KID);
  const id = structure.requireMatch(get("pcs_id"), "pcs_id", HASH);
  const merkleRoot = structure.requireMatch(get("merkle_root"), "merkle_root", HASH);
  const epoch = structure.requireInteger(get("epoch"), "epoch", 0, MAX_SAFE_INTEGER);
  const shardId = structure.requireMatch(get("shard_id"), "shard_id", SHARD_ID);
  const createdAt = structure.requireTimestamp(get("created_at"), "created_at");
  const profile = structure.requireOneOf(get("profile"), "profile", PROFILES);
  const n = structure.requireInteger(get("n"), "n", 3, 65_536);
  const d = structure.requireInteger(get("d"), "d", 1, profile === "bytes/1" ? 1 : 4_096);
  const seed = structure.requireInteger(get("seed"), "seed", 0, MAX_SAFE_INTEGER);
  const scales = scalesOf(get("scales"));
  // A delay embedding of three loses two points.
  const counts = countsOf(get("N_j"), scales, d === 1 ? n - 2 : n);
  const dHat = structure.requireNumber(get("D_hat"), "D_hat", -16, 16);
  // One of 20 bins always holds a twentieth of the points.
  const cohStar = structure.requireNumber(get("coh_star"), "coh_star", 0.05, 1);
  const r = structure.requireNumber(get("r"), "r", 0, 1);
  const budget = structure.requireNumber(get("budget"), "budget", 0, 1);
  const vStar = vStarOf(get("v_star"));
  const regime = structure.requireOneOf(get("regime"), "regime", REGIMES);
  const ft = ftOf(get("ft"));
  const meta = metaOf(get("meta"));
  const delivery = deliveryOf(get("delivery"));
  const signature = structure.requireSignature(get("sig"));
  structure.refuseUnknown(members, MEMBERS);
  structure.requireOwnId(id, pcsId(merkleRoot, epoch, shardId));
  return {
    version: VERSION,
    kid,
    pcsId: id,
    merkleRoot,
    epoch,
    shardId,
    createdAt: createdAt.text,
    createdAtMs: createdAt.ms,
    profile,
    n,
    d,
    seed,
    scales,
    counts,
    dHat,
    cohStar,
    r,
    budget,
    vStar,
    regime,
    ft,
    meta,
    delivery,
    signature,
    members,
  };
}

function scalesOf(value: unknown): readonly number[] {
  const scales: number[] = [];
  for (const [index, item] of structure.requireArray(value, "scales", 2, 10).entries()) {
    const path = `scales.${index}`;
    const scale = structure.requireInteger(item, path, 2, 1_024);
    if (scale < 2 * (scales.at(-1) ?? 0)) {
      structure.refuse("not_doubled", path, "at least twice the one before", "less");
    }
    scales.push(scale);
  }
  return scales;
}

function countsOf(value: unknown, scales: readonly number[], points: number): Counts {
  const members = structure.requireObject(value, "N_j");
  const counts = new Map<number, number>();
  for (const scale of scales) {
    const count = structure.member(members, String(scale));
    counts.set(scale, structure.requireInteger(count, `N_j.${scale}`, 1, points));
  }
  structure.refuseUnknown(members, new Set(scales.map(String)), "N_j.");
  return counts;
}

function vStarOf(value: unknown): readonly [number, number, number] {
  const [v0, v1, v2] = structure
    .requireArray(value, "v_star", 3, 3)
    .map((item, index) => structure.requireNumber(item, `v_star.${index}`, -1, 1)) as [
    number,
    number,
    number,
  ];
  if (Math.abs(v0 * v0 + v1 * v1 + v2 * v2 - 1) > 1e-6) {
    structure.refuse("not_a_unit_vector", "v_star", "length 1", "another length");
  }
  return [v0, v1, v2];
}

function ftOf(value: unknown): FaultTolerance {
  const members: Members = structure.requireObject(value, "ft");
  const get = (name: string): unknown => structure.member(members, name);
  const degraded = structure.requireBoolean(get("degraded"), "ft.degraded");
  const fallbacks = structure
    .requireArray(get("fallbacks"), "ft.fallbacks", 0, 8)
    .map((item, index) => structure.requireText(item, `ft.fallbacks.${index}`, 64));
  const clockSkewMs = structure.requireSafeInteger(get("clock_skew_ms"), "ft.clock_skew_ms");
  structure.refuseUnknown(members, FT_MEMBERS, "ft.");
  return { degraded, fallbacks, clockSkewMs };
}

function metaOf(value: unknown): PcsRecord["meta"] {
  if (value === undefined) return null;
  const members = structure.requireObject(value, "meta");
  const names = Object.keys(members).sort();
  if (names.length > 16) structure.refuse("wrong_count", "meta", "at most 16 members", "more");
  const meta = new Map<string, string | number | boolean>();
  for (const name of names) {
    const path = `meta.${structure.shown(name)}`;
    structure.requireMatch(name, path, META_NAME);
    const item = members[name];
    if (typeof item === "boolean") meta.set(name, item);
    else if (typeof item === "string") meta.set(name, structure.requireText(item, path, 256));
    else meta.set(name, structure.requireSafeInteger(item, path));
  }
  return meta;
}

function deliveryOf(value: unknown): Delivery | null {
  if (value === undefined) return null;
  const members = structure.requireObject(value, "delivery");
  const ordinal = (name: string): number =>
    structure.requireInteger(structure.member(members, name), `delivery.${name}`, 1, MAX_SAFE_INTEGER);
  const attempt = ordinal("attempt");
  const sentAt = structure.requireTimestamp(members["sent_at"], "delivery.sent_at").text;
  const outboxSeq = ordinal("outbox_seq");
  structure.refuseUnknown(members, DELIVERY_MEMBERS, "delivery.");
  return { attempt, sentAt, outboxSeq };
}

/** Returns a value of its own, so that what a caller changes later is not in the record. */
function copied(value: unknown, levels = RECORD_DEPTH_MAX): JsonValue {
  if (typeof value === "string") requireUnicode(value);
  if (typeof value !== "object" || value === null) return value as JsonValue;
  if (levels === 0) throw new ContractError("record: expected fewer nested objects and arrays, got too many");
  if (Array.isArray(value)) return value.map((item) => copied(item, levels - 1));
  const members: { [name: string]: JsonValue } = {};
  // In the order of canonical bytes, which are written more than once.
  for (const name of Object.keys(value).sort()) {
    requireUnicode(name);
    const member = (value as Members)[name];
    if (member !== undefined) setMember(members, name, copied(member, levels - 1));
  }
  return members;
}

/** Sets a member of an object of its own, whatever its name: to assign `__proto__` does not. */
function setMember(
  members: { [name: string]: JsonValue },
  name: string,
  value: JsonValue,
): void {
  if (name !== "__proto__") members[name] = value;
  else Object.defineProperty(members, name, { value, enumerable: true, configurable: true, writable: true });
}
