/**
 * Recover a stream: one way for a crash, a power loss and a fence.
 *
 * `specs/storage.md` section 4 has the steps and what a crash between any two leaves. Bytes read
 * from the page cache may never have reached the disk, so nothing is served from them before they
 * are copied and synced, into a fresh segment whose header says where the old one ended.
 */

import { basename, dirname } from "node:path";

import type { Disk } from "./disk.js";
import { CUT_SUFFIX, type Folder, NEW_SUFFIX, type Segment, readFolder, segmentName } from "./folder.js";
import { NO_ID, type NewFrame, type SegmentHeader, frameOf } from "./framing.js";
import { firstSeqOf, gapDamage, headerDamage, readSegment, scanRange } from "./scan.js";
import { type SegmentWriter, createSegment } from "./segment.js";
import { examine } from "./tail.js";
import { type Damage, type Recovery, lastSeqOf } from "./values.js";

/** A stream ready to be written to: the segments before the fresh one, and its writer. */
export interface Recovered {
  readonly older: readonly Segment[];
  readonly active: SegmentWriter;
  readonly recovery: Recovery;
}

/** What is to be done about the last segment, and what was seen of it. */
interface Plan {
  readonly previousId: Buffer;
  readonly previousEnd: number;
  /** Of a segment that is passed over itself: what it says goes on to be said. */
  readonly passedFrom: bigint | null;
  readonly nextSeq: bigint;
  readonly copied: readonly NewFrame[];
  readonly torn: Buffer;
  readonly damage: readonly Damage[];
}

const NOTHING: Plan = {
  previousId: NO_ID,
  previousEnd: 0,
  passedFrom: null,
  nextSeq: 1n,
  copied: [],
  torn: Buffer.alloc(0),
  damage: [],
};

/** Make a stream's folder sound and open a fresh segment in it; the caller holds its lock. */
export async function recover(disk: Disk, folder: string, stream: string): Promise<Recovered> {
  const found = await readFolder(disk, folder, stream);
  const damage = await damageBetween(disk, found);
  for (const path of found.unfinished) await disk.unlink(path);
  const last = found.segments.at(-1);
  const plan = last === undefined ? NOTHING : await planOf(disk, found, last);
  const cutFiles = last !== undefined && plan.torn.length > 0 ? [await keepTorn(disk, last.path, plan.torn)] : [];
  const [createdNs, segmentId] = disk.stamp();
  const firstSeq = plan.nextSeq - BigInt(plan.copied.length);
  const header: SegmentHeader = {
    stream,
    ordinal: last === undefined ? 1 : last.ordinal + 1,
    segmentId,
    firstSeq,
    previousId: plan.previousId,
    previousEnd: plan.previousEnd,
    createdNs,
    keptFrom: found.keptFrom,
    passedFrom: plan.passedFrom ?? firstSeq,
  };
  const active = await createSegment(disk, folder, header, plan.copied);
  let older: Segment[];
  try {
    older = await tidy(disk, folder, stream, header);
  } catch (error) {
    await active.close();
    throw error;
  }
  const recovery = {
    copied: plan.copied.length,
    tornBytes: plan.torn.length,
    cutFiles,
    damage: [...damage, ...plan.damage],
  };
  return { older, active, recovery };
}

async function planOf(disk: Disk, found: Folder, last: Segment): Promise<Plan> {
  const data = await readSegment(disk, last);
  const expected = last.header === null ? await nextSeqAfter(disk, found) : null;
  const tail = examine(data, last.key, firstSeqOf(last, data, expected));
  const damage: Damage[] = [];
  const damagedHeader = headerDamage(last);
  if (damagedHeader !== null) damage.push(damagedHeader);
  for (const item of tail.kept) if (item.kind === "gap") damage.push(gapDamage(last, item));
  const copied = tail.survivors
    // What an older segment still holds too, because a crash came before it was cut, is not new.
    .filter((survivor) => expected === null || survivor.seq >= expected)
    .map((survivor) => frameOf(data, survivor));
  // A segment without a frame or damage below its durable end is passed over and removed.
  const header = tail.kept.length === tail.survivors.length ? last.header : null;
  return {
    previousId: header === null ? last.key.segmentId : header.previousId,
    previousEnd: header === null ? tail.durableEnd : header.previousEnd,
    passedFrom: header === null ? null : header.passedFrom,
    nextSeq: later(tail.nextSeq ?? 1n, expected ?? 1n),
    copied,
    torn: data.subarray(tail.tornAt),
    damage,
  };
}

/** Return the number after all segments but the last, for where its damaged header is silent. */
async function nextSeqAfter(disk: Disk, found: Folder): Promise<bigint> {
  const segments = found.segments.slice(0, -1);
  const start = Math.max(0, segments.findLastIndex((segment) => segment.header !== null));
  let nextSeq = segments[start]?.header?.firstSeq ?? found.keptFrom;
  for await (const item of scanRange(disk, found, start, segments.length)) {
    const last = lastSeqOf(item);
    if (last !== null) nextSeq = later(nextSeq, last + 1n);
  }
  return nextSeq;
}

/**
 * Return what is wrong with the older segments as far as names, lengths and headers tell.
 *
 * Only where something is wrong segments are read, to tell which frames are lost.
 */
async function damageBetween(disk: Disk, found: Folder): Promise<Damage[]> {
  const { segments } = found;
  const damage: Damage[] = [];
  let stop = 0;
  for (let start = 0; start < segments.length; start = Math.max(stop, start + 1)) {
    stop = start;
    while (stop < segments.length && isSuspect(found, stop)) stop += 1;
    for await (const item of scanRange(disk, found, start, stop)) {
      if (item.kind === "damage" && item.segment !== segments.at(-1)?.name) damage.push(item);
    }
  }
  return damage;
}

function isSuspect(found: Folder, index: number): boolean {
  const { segments } = found;
  const segment = segments[index] as Segment;
  if (segment.header === null || (segment.end !== null && segment.size < segment.end)) return true;
  if (index === 0 && segment.header.firstSeq > found.keptFrom) return true;
  const isAfterABreak = index > 0 && segments[index - 1]?.end === null;
  return isAfterABreak || (segment.end === null && index < segments.length - 1);
}

/** Make a torn tail durable in a file of its own and return its name. */
async function keepTorn(disk: Disk, segment: string, torn: Buffer): Promise<string> {
  const path = segment + CUT_SUFFIX;
  const file = await disk.create(path + NEW_SUFFIX);
  try {
    await file.writeAt(0, torn);
    await file.datasync();
  } finally {
    await file.close();
  }
  await disk.rename(path + NEW_SUFFIX, path);
  await disk.syncFolder(dirname(path));
  return basename(path);
}

/** Cut off what is superseded and return the segments before the fresh one. */
async function tidy(disk: Disk, folder: string, stream: string, fresh: SegmentHeader): Promise<Segment[]> {
  const found = await readFolder(disk, folder, stream);
  for (const segment of found.segments) {
    if (segment.end === null || segment.size <= segment.end) continue;
    const file = await disk.open(segment.path, { isWritable: true });
    try {
      await file.truncate(segment.end);
      await file.datasync();
    } finally {
      await file.close();
    }
  }
  for (const path of found.removable) await disk.unlink(path);
  const freshName = segmentName(fresh.ordinal, fresh.segmentId);
  return found.segments.filter((segment) => segment.name !== freshName);
}

function later(one: bigint, other: bigint): bigint {
  return one > other ? one : other;
}
