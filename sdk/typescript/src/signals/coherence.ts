/**
 * Coherence: how much of a window falls into one thin slab, over 100 fixed directions.
 *
 * The rule: directions come from `+ − × √` of hashed words alone, because sine and cosine differ
 * between machines, and shares are compared as counts, never as rounded quotients.
 */

import { extremes, type Points, streamBlock } from "./projection.js";

const DIRECTIONS = 100;
const BINS = 20;
// A projection narrower than this (the cube's side is 1) lies in one bin: its spread is rounding.
const SPAN_MIN = 1e-9;
const DOMAIN = "fractal-lba/direction/1";

type Direction = readonly [number, number, number];

/** Returns direction `index` of a seed, a point of the unit sphere (Marsaglia 1972). */
export function direction(seed: number, index: number): Direction {
  for (let block = 0; ; block++) {
    const words = new DataView(streamBlock(DOMAIN, seed, index, block).buffer);
    // Four words to a block, two to a try, and so none is split over two blocks.
    for (const place of [0, 16]) {
      const [u, v] = [uniform(words, place), uniform(words, place + 8)];
      const s = u * u + v * v;
      if (s >= 1 || s === 0) continue;
      const q = Math.sqrt(1 - s);
      return [2 * u * q, 2 * v * q, 1 - 2 * s];
    }
  }
}

/** Returns the upper 53 bits of a word as a double of −1 … 1, below 1. */
function uniform(words: DataView, place: number): number {
  const bits = words.getUint32(place) * 2 ** 21 + (words.getUint32(place + 4) >>> 11);
  return bits * 2 ** -52 - 1;
}

/** Returns the largest share of points in one bin, and the first direction that reaches it. */
export function coherence(points: Points, seed: number): { share: number; direction: Direction } {
  const total = points[0].length;
  const along = new Float64Array(total);
  let best: Direction = [0, 0, 0];
  let most = 0;
  for (let index = 0; index < DIRECTIONS; index++) {
    const candidate = direction(seed, index);
    const count = fullestBin(points, candidate, along);
    if (count > most) [most, best] = [count, candidate];
  }
  return { share: most / total, direction: best };
}

function fullestBin([xs, ys, zs]: Points, [v0, v1, v2]: Direction, along: Float64Array): number {
  for (let i = 0; i < along.length; i++) {
    along[i] = (xs[i] as number) * v0 + (ys[i] as number) * v1 + (zs[i] as number) * v2;
  }
  const [low, high] = extremes(along);
  const span = high - low;
  if (span < SPAN_MIN) return along.length;
  const bins = new Int32Array(BINS);
  for (let i = 0; i < along.length; i++) {
    const bin = Math.min(BINS - 1, Math.floor((BINS * ((along[i] as number) - low)) / span));
    bins[bin] = (bins[bin] as number) + 1;
  }
  return Math.max(...bins);
}
