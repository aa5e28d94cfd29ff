/**
 * The record of version 0.1: accepted from old agents, never made.
 *
 * Its signature covers eight members, {@link LegacySigned}, with the four numbers rounded; the
 * others can be changed by anyone on the way. They are read, since a verdict is checked against
 * them, and forgotten: what is kept, {@link storedLegacyBytes}, is what was signed.
 *
 * The order of refusals is that of the table in `specs/pcs.md` section 7.
 */

import { canonical, type JsonObject } from "./canonical.js";
import { type Counts, type Regime, REGIMES, rounded } from "./derive.js";
import { readDocument, requireVersion, SCHEMA } from "./document.js";
import { pcsId } from "./identity.js";
import * as structure from "./structure.js";
import { HASH } from "./structure.js";
import { encodeBase64 } from "./text.js";

export const LEGACY_VERSION = "0.1";

/** Of the signed numbers: nine decimals of it are exact in a double, so rounding twice is once. */
const NUMBER_MAX = 1_000_000;
// A control character in the name of a stream would be one in a log, and in a key on disk.
const SHARD_ID = /^[^\u0000-\u001f\u007f]+$/;
const { MAX_SAFE_INTEGER } = Number;

/** What the signature covers, and all that is remembered. */
export interface LegacySigned {
  readonly pcsId: string;
  readonly merkleRoot: string;
  readonly epoch: number;
  /** 1 … 128 bytes of UTF-8 without control characters. */
  readonly shardId: string;
  /** Rounded to nine decimals, as are the next three; ±1,000,000. */
  readonly dHat: number;
  readonly cohStar: number;
  readonly r: number;
  readonly budget: number;
}

/** A record whose structure and pcs_id are right; its signature is not checked by that. */
export interface LegacyRecord {
  readonly version: typeof LEGACY_VERSION;
  readonly pcsId: string;
  readonly signed: LegacySigned;
  /** Anyone's word. */
  readonly counts: Counts;
  /** Anyone's word too. */
  readonly regime: Regime;
  /** 32 or 64 bytes, or none where `sig` is absent or empty. */
  readonly signature: Uint8Array;
}

/**
 * Returns the record of version 0.1 a body holds.
 *
 * @throws Refusal as `parseRecord`, by the table of this version.
 */
export function parseLegacyRecord(body: Uint8Array): LegacyRecord {
  const document = readDocument(body);
  requireVersion(document, [LEGACY_VERSION]);
  return legacyRecordOf(document);
}

/**
 * Returns the record a document of this version holds; members it does not have are ignored.
 *
 * @throws Refusal `invalid_record` with the member, or `pcs_id_mismatch`, in this order.
 */
export function legacyRecordOf(members: JsonObject): LegacyRecord {
  const get = (name: string): unknown => structure.member(members, name);
  const id = structure.requireMatch(get("pcs_id"), "pcs_id", HASH);
  structure.requireOneOf(get("schema"), "schema", [SCHEMA]);
  const shardId = shardIdOf(get("shard_id"));
  const epoch = structure.requireInteger(get("epoch"), "epoch", 0, MAX_SAFE_INTEGER);
  structure.requireSafeInteger(get("attempt"), "attempt");
  structure.requireText(get("sent_at"), "sent_at", 64);
  structure.requireSafeInteger(get("seed"), "seed");
  const counts = countsOf(get("N_j"), scalesOf(get("scales")));
  const cohStar = numberOf(get("coh_star"), "coh_star");
  checkVStar(get("v_star"));
  const dHat = numberOf(get("D_hat"), "D_hat");
  const r = numberOf(get("r"), "r");
  const regime = structure.requireOneOf(get("regime"), "regime", REGIMES);
  const budget = numberOf(get("budget"), "budget");
  const merkleRoot = structure.requireMatch(get("merkle_root"), "merkle_root", HASH);
  const signature = structure.requireSignature(get("sig"));
  structure.requireOwnId(id, pcsId(merkleRoot, epoch, shardId));
  const signed = { pcsId: id, merkleRoot, epoch, shardId, dHat, cohStar, r, budget };
  return { version: LEGACY_VERSION, pcsId: id, signed, counts, regime, signature };
}

/**
 * Returns what a ledger keeps: the signed members, `schema`, `version` and `sig`.
 *
 * Nothing else, since whoever carried the record could have changed it: two copies of one record
 * that differ in what is not signed are stored alike.
 */
export function storedLegacyBytes({ signed, signature }: LegacyRecord): Uint8Array {
  return canonical({
    schema: SCHEMA,
    version: LEGACY_VERSION,
    pcs_id: signed.pcsId,
    merkle_root: signed.merkleRoot,
    epoch: signed.epoch,
    shard_id: signed.shardId,
    D_hat: signed.dHat,
    coh_star: signed.cohStar,
    r: signed.r,
    budget: signed.budget,
    sig: encodeBase64(signature),
  });
}

function numberOf(value: unknown, path: string): number {
  return rounded(structure.requireNumber(value, path, -NUMBER_MAX, NUMBER_MAX));
}

function shardIdOf(value: unknown): string {
  return structure.requireMatch(structure.requireText(value, "shard_id", 128), "shard_id", SHARD_ID);
}

function scalesOf(value: unknown): readonly number[] {
  const scales: number[] = [];
  for (const [index, item] of structure.requireArray(value, "scales", 2, 16).entries()) {
    const least = (scales.at(-1) ?? 1) + 1;
    scales.push(structure.requireInteger(item, `scales.${index}`, least, 65_536));
  }
  return scales;
}

function countsOf(value: unknown, scales: readonly number[]): Counts {
  const members = structure.requireObject(value, "N_j");
  const counts = new Map<number, number>();
  for (const scale of scales) {
    const count = structure.member(members, String(scale));
    counts.set(scale, structure.requireInteger(count, `N_j.${scale}`, 1, MAX_SAFE_INTEGER));
  }
  structure.refuseUnknown(members, new Set(scales.map(String)), "N_j.");
  return counts;
}

function checkVStar(value: unknown): void {
  for (const [index, item] of structure.requireArray(value, "v_star", 1, 4_096).entries()) {
    if (typeof item !== "number") structure.refuseType(item, `v_star.${index}`, "a number");
  }
}
