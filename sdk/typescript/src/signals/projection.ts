/**
 * Three columns from any number of them, and the unit cube they are measured in.
 *
 * The rule: every addition happens in the order of the columns, one at a time, so that all languages
 * get the same bits.
 */

import { sha256 } from "#platform";
import { utf8 } from "../protocol/text.js";
import type { Table } from "./window.js";

// Below this the division would blow noise up to structure; such a window is one point.
const RANGE_MIN = 1e-300;
const BLOCK_BYTES = 32;
const DOMAIN = "fractal-lba/projection/1";

/** P points, one array of P for each coordinate. */
export type Points = readonly [Float64Array, Float64Array, Float64Array];

/**
 * Returns a window's points in three dimensions: one column becomes its delay embedding (Takens
 * 1981, doi:10.1007/BFb0091924) of n − 2 points, two get a zero, three stay, more are added up under
 * random signs (Achlioptas 2003, doi:10.1016/S0022-0000(03)00025-4).
 */
export function inSpace({ n, d, values }: Table, seed: number): Points {
  if (d === 1) return [values.slice(0, -2), values.slice(1, -1), values.slice(2)];
  const points = [new Float64Array(n), new Float64Array(n), new Float64Array(n)] as const;
  if (d > 3) {
    addUp({ n, d, values }, signs(seed, d), points);
    return points;
  }
  for (let k = 0; k < d; k++) {
    const column = points[k] as Float64Array;
    for (let row = 0; row < n; row++) column[row] = values[row * d + k] as number;
  }
  return points;
}

function addUp({ n, d, values }: Table, plus: Uint8Array, points: Points): void {
  const [xs, ys, zs] = points;
  for (let row = 0; row < n; row++) {
    let [x, y, z] = [0, 0, 0];
    for (let j = 0; j < d; j++) {
      const value = values[row * d + j] as number;
      x = plus[3 * j] === 1 ? x + value : x - value;
      y = plus[3 * j + 1] === 1 ? y + value : y - value;
      z = plus[3 * j + 2] === 1 ? z + value : z - value;
    }
    xs[row] = x;
    ys[row] = y;
    zs[row] = z;
  }
}

/** Returns the bits of the seed's stream, 1 for plus; that of (column j, k) is bit 3j + k. */
function signs(seed: number, columns: number): Uint8Array {
  const plus = new Uint8Array(3 * columns);
  let block = new Uint8Array();
  for (let bit = 0; bit < plus.length; bit++) {
    const byte = bit >> 3;
    if (bit % (8 * BLOCK_BYTES) === 0) block = streamBlock(DOMAIN, seed, byte / BLOCK_BYTES);
    plus[bit] = ((block[byte % BLOCK_BYTES] as number) >> (7 - (bit % 8))) & 1;
  }
  return plus;
}

/** Returns SHA-256 of a domain, the seed as eight bytes and further numbers as four, big-endian. */
export function streamBlock(domain: string, seed: number, ...places: number[]): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(8 + 4 * places.length));
  view.setBigUint64(0, BigInt(seed));
  for (const [index, place] of places.entries()) view.setUint32(8 + 4 * index, place);
  return new Uint8Array(sha256(utf8(domain), new Uint8Array(view.buffer)));
}

/**
 * Moves and scales points, alike in all directions, into the unit cube.
 *
 * The column of the largest range fills 0 … 1; the others keep their proportion to it. A largest
 * range below 1e-300 makes all zeros.
 */
export function toUnitCube(points: Points): void {
  const lows: number[] = [];
  let range = 0;
  for (const column of points) {
    const [low, high] = extremes(column);
    lows.push(low);
    range = Math.max(range, high - low);
  }
  for (const [k, column] of points.entries()) {
    const low = lows[k] as number;
    for (let i = 0; i < column.length; i++) {
      column[i] = range < RANGE_MIN ? 0 : ((column[i] as number) - low) / range;
    }
  }
}

/** Returns the least and the greatest of finite values. */
export function extremes(values: Float64Array): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/**
 * Returns how many of the `scale`³ cells of the unit cube hold a point.
 *
 * @param scale cells along each axis, 2 … 1,024, so that a cell's number fits in 30 bits.
 */
export function occupiedCells([xs, ys, zs]: Points, scale: number): number {
  const last = scale - 1;
  const cells = new Int32Array(xs.length);
  for (let i = 0; i < cells.length; i++) {
    // The upper edge belongs to the last cell.
    const x = Math.min(Math.floor((xs[i] as number) * scale), last);
    const y = Math.min(Math.floor((ys[i] as number) * scale), last);
    const z = Math.min(Math.floor((zs[i] as number) * scale), last);
    cells[i] = (x * scale + y) * scale + z;
  }
  cells.sort();
  let count = 0;
  for (let i = 0; i < cells.length; i++) if (i === 0 || cells[i] !== cells[i - 1]) count++;
  return count;
}
