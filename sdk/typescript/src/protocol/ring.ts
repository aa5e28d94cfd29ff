/**
 * The ring: which shard a record belongs to, the same for every program and every release.
 *
 * Ring version 1, to the byte, stands in `specs/server.md`. It is consistent hashing: a shard more
 * takes its share from each of the others, and no record moves between those that were there.
 */

import { sha256 } from "#platform";
import { RingError } from "./errors.js";
import { hex, utf8 } from "./text.js";

/** Virtual nodes of a shard for each unit of its weight. */
export const NODES_PER_WEIGHT = 150;
/** Of a shard, beside the others'. */
export const WEIGHT_MAX = 16;

/** A shard: its name, and its weight of 1 to 16 (1 where it is absent). */
export interface Shard {
  readonly name: string;
  readonly weight?: number;
}

/** Where the keys of one set of shards belong. */
export class Ring {
  private readonly points: Uint32Array;
  private readonly owners = new Map<number, string>();

  /**
   * @param shards in any order: it does not matter to any key.
   * @throws RingError There is none, two have one name, or a weight is out of range.
   */
  constructor(shards: readonly Shard[]) {
    checkSet(shards);
    // In the order of names as bytes, each leaving what is taken: of two at one point the first has it.
    const named = shards.map((shard) => ({ ...shard, order: hex(utf8(shard.name)) }));
    for (const shard of named.sort((a, b) => (a.order < b.order ? -1 : 1))) {
      for (const point of pointsOf(shard)) {
        if (!this.owners.has(point)) this.owners.set(point, shard.name);
      }
    }
    this.points = Uint32Array.from(this.owners.keys()).sort();
  }

  /** Returns the name of the shard that a record belongs to. */
  ownerOf(tenant: string, pcsId: string): string {
    const wanted = pointOf(tenant, pcsId);
    let low = 0;
    let high = this.points.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.points[middle] as number) < wanted) low = middle + 1;
      else high = middle;
    }
    return this.owners.get(this.points[low % this.points.length] as number) as string;
  }
}

/** Returns the point of a key on the ring, 0 … 2^32−1. */
export function pointOf(tenant: string, pcsId: string): number {
  return wordsOf(sha256(utf8(`fractal-lba/ring/1/key\n${tenant}\n${pcsId}`))).getUint32(0);
}

function checkSet(shards: readonly Shard[]): void {
  if (shards.length === 0) throw new RingError("no_shard", "ring: expected a shard, got none");
  if (new Set(shards.map((shard) => shard.name)).size < shards.length) {
    throw new RingError("shard_twice", "ring: expected each shard once, got one twice");
  }
  for (const { weight = 1 } of shards) {
    if (!(Number.isInteger(weight) && weight >= 1 && weight <= WEIGHT_MAX)) {
      const message = `ring: expected a weight of 1 to ${WEIGHT_MAX}, got another`;
      throw new RingError("weight_out_of_range", message);
    }
  }
}

function pointsOf({ name, weight = 1 }: Shard): number[] {
  // Eight points for each virtual node, all of its digest: one alone leaves shards of 64 more than
  // a fifth over their share.
  const points: number[] = [];
  for (let node = 0; node < NODES_PER_WEIGHT * weight; node++) {
    const words = wordsOf(sha256(utf8(`fractal-lba/ring/1/node\n${name}\n${node}`)));
    for (let place = 0; place < words.byteLength; place += 4) points.push(words.getUint32(place));
  }
  return points;
}

function wordsOf(digest: Uint8Array): DataView {
  return new DataView(digest.buffer, digest.byteOffset, digest.byteLength);
}
