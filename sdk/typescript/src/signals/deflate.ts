/**
 * How long the zlib stream of some bytes is: one call, level 6, window bits 15, memory level 8,
 * default strategy (RFC 1950, RFC 1951). The stream itself is not made, since nobody asks for it.
 *
 * Why not the platform's: deflate may match as it likes, and on small windows of few values the zlib
 * of Node and of browsers, tuned for speed, differs from the original by more than the 0.02 that
 * `r` may differ. This is the original's matcher (`deflate_slow`), and so its length to the byte.
 */

import { BlockCounts } from "./huffman.js";

const WINDOW = 32_768;
const MATCH_MIN = 3;
const MATCH_MAX = 258;
// The original keeps room for one more match before a window's end.
const DISTANCE_MAX = WINDOW - (MATCH_MAX + MATCH_MIN + 1);
// A match of three bytes from farther away costs more than three literals.
const SHORT_DISTANCE_MAX = 4_096;
const BLOCK_SYMBOLS = 16_383;
const HASH_MASK = 0x7fff;

// What level 6 means.
const GOOD_LENGTH = 8;
const LAZY_LENGTH = 16;
const NICE_LENGTH = 128;
const CHAIN_MAX = 128;

const HEADER_BYTES = 2;
const CHECKSUM_BYTES = 4;

/** Returns the bytes of the zlib stream of the data, header and checksum counted. */
export function deflatedLength(data: Uint8Array): number {
  const matcher = new Matcher(data);
  let counts = new BlockCounts();
  let [end, blockStart] = [0, 0];
  const closeBlock = (at: number): void => {
    end = counts.endOf(end, at - blockStart);
    counts = new BlockCounts();
    blockStart = at;
  };

  let at = 0;
  let length = MATCH_MIN - 1;
  let isPending = false; // whether the byte before is neither a literal nor in a match yet
  while (at < data.length) {
    const candidate = matcher.insert(at);
    const [lengthBefore, startBefore] = [length, matcher.start];
    length = MATCH_MIN - 1;
    if (candidate > 0 && lengthBefore < LAZY_LENGTH && at - candidate <= DISTANCE_MAX) {
      length = matcher.longest(at, candidate, lengthBefore);
      if (length === MATCH_MIN && at - matcher.start > SHORT_DISTANCE_MAX) length = MATCH_MIN - 1;
    }
    if (lengthBefore >= MATCH_MIN && length <= lengthBefore) {
      // The match one byte before is no shorter: it is taken.
      counts.match(lengthBefore, at - 1 - startBefore);
      const behind = at - 1 + lengthBefore;
      for (at += 1; at < behind; at++) matcher.insert(at);
      isPending = false;
      length = MATCH_MIN - 1;
      if (counts.symbols === BLOCK_SYMBOLS) closeBlock(at);
      continue;
    }
    if (isPending) {
      counts.literal(data[at - 1] as number);
      if (counts.symbols === BLOCK_SYMBOLS) closeBlock(at);
    }
    isPending = true;
    at += 1;
  }
  if (isPending) counts.literal(data[at - 1] as number);
  closeBlock(at);
  return HEADER_BYTES + ((end + 7) >> 3) + CHECKSUM_BYTES;
}

/** The places of each three bytes, newest first, and the longest match among them. */
class Matcher {
  /** Where the last longest match begins. */
  start = 0;
  // Place 0 stands for none, and so is never matched, as in the original.
  private readonly heads = new Int32Array(HASH_MASK + 1);
  private readonly before = new Int32Array(WINDOW);

  constructor(private readonly data: Uint8Array) {}

  /** Enters a place; returns the newest one before it of the same hash, 0 for none. */
  insert(at: number): number {
    const { data } = this;
    if (at + MATCH_MIN > data.length) return 0;
    const [a, b, c] = [data[at] as number, data[at + 1] as number, data[at + 2] as number];
    const hash = ((a << 10) ^ (b << 5) ^ c) & HASH_MASK;
    const head = this.heads[hash] as number;
    this.before[at & (WINDOW - 1)] = head;
    this.heads[hash] = at;
    return head;
  }

  /** Returns the length of the longest match that is longer than `best`, else `best`. */
  longest(at: number, candidate: number, best: number): number {
    const { data } = this;
    const left = data.length - at;
    const most = Math.min(MATCH_MAX, left);
    const nice = Math.min(NICE_LENGTH, left);
    const limit = Math.max(0, at - DISTANCE_MAX);
    let longest = best;
    let tries = best >= GOOD_LENGTH ? CHAIN_MAX >> 2 : CHAIN_MAX;
    for (let from = candidate; ; ) {
      let length = 0;
      while (length < most && data[from + length] === data[at + length]) length++;
      if (length > longest) {
        this.start = from;
        longest = length;
        if (length >= nice) break;
      }
      from = this.before[from & (WINDOW - 1)] as number;
      tries -= 1;
      if (from <= limit || tries === 0) break;
    }
    return Math.min(longest, left);
  }
}
