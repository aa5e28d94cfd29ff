/**
 * Merkle trees over the leaves of a window (RFC 6962, RFC 9162 section 2.1).
 *
 * A leaf is hashed behind `0x00` and a node behind `0x01`, so that neither can pass for the other.
 * A tree of n > 1 leaves splits at the largest power of two below n; an odd node is carried up as
 * it is, never doubled, so that two windows never share a root.
 */

import { sha256 } from "#platform";
import { ContractError } from "./errors.js";
import { areEqual } from "./text.js";

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);
const INCLUSION = "inclusion proof";
const CONSISTENCY = "consistency proof";

/** Returns the 32-byte hash of one leaf. */
export function leafHash(leaf: Uint8Array): Uint8Array {
  return sha256(LEAF, leaf);
}

/** Returns the 32-byte root over the leaves; over none it is the hash of the empty string. */
export function merkleRoot(leaves: readonly Uint8Array[]): Uint8Array {
  return merkleRootOfHashes(leaves.map(leafHash));
}

/** Returns the root over leaves of which only the hashes are at hand, as `leafHash` gives them. */
export function merkleRootOfHashes(hashes: readonly Uint8Array[]): Uint8Array {
  let level = hashes;
  while (level.length > 1) level = parents(level);
  return level[0] ?? sha256();
}

/**
 * Returns the hashes that lead from the leaf at `index` to the root, from the bottom up
 * (RFC 9162 section 2.1.3.1).
 *
 * @throws ContractError There is no such leaf.
 */
export function inclusionProof(leaves: readonly Uint8Array[], index: number): Uint8Array[] {
  const isThere = Number.isInteger(index) && index >= 0 && index < leaves.length;
  require(isThere, INCLUSION, "an index below the number of leaves");
  const proof: Uint8Array[] = [];
  let level: readonly Uint8Array[] = leaves.map(leafHash);
  let node = index;
  while (level.length > 1) {
    const sibling = level[node % 2 === 0 ? node + 1 : node - 1];
    if (sibling !== undefined) proof.push(sibling); // the last of an odd level is carried up
    level = parents(level);
    node = half(node);
  }
  return proof;
}

/** What is claimed of a leaf. */
export interface Inclusion {
  /** 32 bytes, from a place that is trusted, as the size is. */
  readonly root: Uint8Array;
  /** How many leaves the tree has, a safe integer. */
  readonly size: number;
  /** Where the leaf stands, from 0. */
  readonly index: number;
  readonly leafHash: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/**
 * Checks that a leaf stands at `index` of the tree of `size` leaves with this root
 * (RFC 9162 section 2.1.3.2).
 *
 * @throws ContractError It does not, or the proof is not exactly the one needed; nothing in it may
 *     be believed.
 */
export function verifyInclusion({ root, size, index, leafHash, proof }: Inclusion): void {
  const areSizes = Number.isSafeInteger(size) && Number.isSafeInteger(index);
  require(areSizes && index >= 0 && index < size, INCLUSION, "an index below the size");
  requireHashes(INCLUSION, [root, leafHash, ...proof]);
  const climb = new Climb(index, size - 1);
  let running = leafHash;
  for (const sibling of proof) {
    require(climb.last !== 0, INCLUSION, "no hash above the root");
    running = climb.isRight() ? nodeHash(sibling, running) : nodeHash(running, sibling);
    climb.up();
  }
  require(climb.last === 0, INCLUSION, "hashes up to the root");
  require(areEqual(running, root), INCLUSION, "the root");
}

/** What is claimed of two trees. */
export interface Consistency {
  /** Leaves of the first tree, a safe integer. */
  readonly size1: number;
  /** Leaves of the second, no fewer. */
  readonly size2: number;
  readonly root1: Uint8Array;
  readonly root2: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/**
 * Checks that the tree of `size2` leaves grew from the one of `size1` (RFC 9162 section 2.1.4.2).
 *
 * @throws ContractError It did not, or the proof is not exactly the one needed. Nothing follows from
 *     an empty first tree, so that `size1` = 0 is refused too.
 */
export function verifyConsistency({ size1, size2, root1, root2, proof }: Consistency): void {
  const areSizes = Number.isSafeInteger(size1) && Number.isSafeInteger(size2);
  const where = CONSISTENCY;
  require(areSizes && 0 < size1 && size1 <= size2, where, "two sizes, the first from 1 up");
  if (size1 === size2) {
    // Nothing is hashed here; the roots are whatever the caller trusts, compared as they are.
    require(proof.length === 0, where, "no hash between equal sizes");
    require(areEqual(root1, root2), where, "equal roots of equal sizes");
    return;
  }
  requireHashes(where, [root1, root2, ...proof]);
  // A whole first tree is a node of the second, and not in the proof.
  const path = isPowerOfTwo(size1) ? [root1, ...proof] : proof;
  const [start, ...siblings] = path;
  if (start === undefined) throw refusal(where, "at least one hash");
  const climb = new Climb(size1 - 1, size2 - 1);
  while (climb.node % 2 === 1) climb.up();
  let first = start;
  let second = start;
  for (const sibling of siblings) {
    require(climb.last !== 0, where, "no hash above the root");
    if (climb.isRight()) {
      first = nodeHash(sibling, first);
      second = nodeHash(sibling, second);
    } else second = nodeHash(second, sibling);
    climb.up();
  }
  require(climb.last === 0, where, "hashes up to the root");
  require(areEqual(first, root1), where, "the first root");
  require(areEqual(second, root2), where, "the second root");
}

/** A node's place and the last one's of its level, on the way up; sizes pass 32 bits. */
class Climb {
  constructor(
    public node: number,
    public last: number,
  ) {}

  /** Returns whether the sibling stands left; passes the levels on which there is none. */
  isRight(): boolean {
    if (this.node % 2 === 0 && this.node !== this.last) return false;
    while (this.node % 2 === 0 && this.node !== 0) this.up();
    return true;
  }

  up(): void {
    this.node = half(this.node);
    this.last = half(this.last);
  }
}

function half(node: number): number {
  return Math.floor(node / 2);
}

function isPowerOfTwo(size: number): boolean {
  let left = size;
  while (left % 2 === 0) left /= 2;
  return left === 1;
}

function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(NODE, left, right);
}

function parents(level: readonly Uint8Array[]): readonly Uint8Array[] {
  const above: Uint8Array[] = [];
  for (let i = 0; i < level.length; i += 2) {
    const [left, right] = [level[i] as Uint8Array, level[i + 1]];
    above.push(right === undefined ? left : nodeHash(left, right));
  }
  return above;
}

function requireHashes(where: string, hashes: readonly Uint8Array[]): void {
  require(hashes.every((each) => each.length === 32), where, "hashes of 32 bytes");
}

function require(holds: boolean, where: string, expected: string): void {
  if (!holds) throw refusal(where, expected);
}

function refusal(where: string, expected: string): ContractError {
  return new ContractError(`${where}: expected ${expected}, got something else`);
}
