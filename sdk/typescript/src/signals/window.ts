/**
 * Windows: what may be summarised at all, and the bytes the Merkle root commits to.
 *
 * The rule: a window is refused whole, naming the row, and nothing is returned of it. Messages name
 * rows, columns and types, never a value. Rows and columns count from 0.
 */

import { WindowError } from "../protocol/errors.js";
import { leafHash, merkleRootOfHashes } from "../protocol/merkle.js";

export const ROWS_MIN = 3; // the delay embedding of a series needs three values
export const ROWS_MAX = 65_536;
export const COLUMNS_MAX = 4_096;
// Sums of 4,096 such values, and differences of two, stay far below the largest double.
const MAGNITUDE_MAX = 1e300;
const TEXT_LEAF_BYTES = 64;

/** A table of numbers, row by row, or a series of one column. */
export type PointsWindow = ArrayLike<number> | ArrayLike<ArrayLike<number>>;

/** A window of doubles, row-major. */
export interface Table {
  readonly n: number;
  readonly d: number;
  readonly values: Float64Array;
}

/**
 * Returns a copy of a window as one table of doubles.
 *
 * @throws WindowError Another type or shape; or a value that is NaN, infinite or beyond 1e300 in
 *     magnitude: the error names the first one's row and column.
 */
export function tableOf(window: PointsWindow): Table {
  const n = (window as { length?: unknown } | null)?.length;
  if (typeof n !== "number" || typeof window === "string") {
    throw new WindowError("window: expected rows of numbers, got another type");
  }
  if (n < ROWS_MIN || n > ROWS_MAX) {
    throw new WindowError(`window: expected ${ROWS_MIN} to ${ROWS_MAX} rows, got ${n}`);
  }
  const isSeries = typeof window[0] === "number";
  const d = isSeries ? 1 : ((window[0] as ArrayLike<number> | null | undefined)?.length ?? 0);
  if (!(d >= 1 && d <= COLUMNS_MAX)) {
    throw new WindowError(`window: expected 1 to ${COLUMNS_MAX} columns, got ${d}`);
  }
  const values = new Float64Array(n * d);
  for (let row = 0; row < n; row++) {
    const given = isSeries ? [window[row]] : (window[row] as ArrayLike<unknown> | null | undefined);
    if (given?.length !== d) {
      throw new WindowError("window: expected rows of equal length, got a ragged one");
    }
    for (let column = 0; column < d; column++) {
      values[row * d + column] = double(given[column], row, column);
    }
  }
  return { n, d, values };
}

function double(value: unknown, row: number, column: number): number {
  if (typeof value === "number" && Math.abs(value) <= MAGNITUDE_MAX) return value;
  const expected = "a finite number of magnitude at most 1e300";
  const got = typeof value === "number" ? "another number" : "another type";
  const where = `window row ${row}, column ${column}`;
  throw new WindowError(`${where}: expected ${expected}, got ${got}`, row, column);
}

/** Returns the root over the rows, each as little-endian doubles, bit for bit (`-0` stays `-0`). */
export function rootOfTable({ n, d, values }: Table): Uint8Array {
  const hashes: Uint8Array[] = [];
  const view = new DataView(new ArrayBuffer(8 * d));
  for (let row = 0; row < n; row++) {
    for (let column = 0; column < d; column++) {
      view.setFloat64(8 * column, values[row * d + column] as number, true);
    }
    hashes.push(leafHash(new Uint8Array(view.buffer)));
  }
  return merkleRootOfHashes(hashes);
}

/** Returns the root over the chunks of 64 bytes, the last one shorter where it must be. */
export function rootOfBytes(data: Uint8Array): Uint8Array {
  const hashes: Uint8Array[] = [];
  for (let start = 0; start < data.length; start += TEXT_LEAF_BYTES) {
    hashes.push(leafHash(data.subarray(start, start + TEXT_LEAF_BYTES)));
  }
  return merkleRootOfHashes(hashes);
}
