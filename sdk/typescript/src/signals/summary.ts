/**
 * Summaries: one window in, every computed member of its record out.
 *
 * The rule: signals are computed from the window, rounded once, and only the rounded ones are used
 * for what follows from them (regime and budget), so that a verifier who has the record alone gets
 * the same.
 */

import type { JsonValue } from "../protocol/canonical.js";
import { budget, type Counts, dHat, type Regime, regime, rounded } from "../protocol/derive.js";
import { ContractError, WindowError } from "../protocol/errors.js";
import type { Profile } from "../protocol/record.js";
import { hex } from "../protocol/text.js";
import { coherence } from "./coherence.js";
import { deflatedLength } from "./deflate.js";
import { inSpace, occupiedCells, type Points, toUnitCube } from "./projection.js";
import { type PointsWindow, rootOfBytes, rootOfTable, ROWS_MAX, ROWS_MIN, tableOf } from "./window.js";

export const DEFAULT_SEED = 42;
export const DEFAULT_SCALES: readonly number[] = [2, 4, 8, 16, 32];

/** What a summary depends on beside the window. */
export interface SignalOptions {
  /** Chooses the signs and the directions, 0 … 2^53−1. */
  readonly seed?: number;
  /** 2 … 10 integers of 2 … 1,024, each at least twice the one before: cells along each axis. */
  readonly scales?: readonly number[];
}

/** What a record says of its window. */
export interface Summary {
  readonly profile: Profile;
  /** Rows of the window as given, 3 … 65,536. */
  readonly n: number;
  /** Columns of the window as given, 1 … 4,096. */
  readonly d: number;
  readonly seed: number;
  readonly scales: readonly number[];
  /** Occupied cells at each scale. */
  readonly counts: Counts;
  /** The slope of log2 cells over log2 scale, a box-counting dimension. */
  readonly dHat: number;
  /** The largest share of points in one of 20 slabs, 0.05 … 1. */
  readonly cohStar: number;
  /** The direction across that slab, a unit vector. */
  readonly vStar: readonly [number, number, number];
  /** Compressed length over length, 0 … 1. */
  readonly r: number;
  readonly regime: Regime;
  /** The share of attention the window asks for, 0 … 1. */
  readonly budget: number;
  /** Lower-case hex, binds the window bit for bit. */
  readonly merkleRoot: string;
}

/**
 * Returns the summary of a table of numbers, profile `points/1`.
 *
 * @param window 3 … 65,536 rows of 1 … 4,096 finite numbers each, or a series; it is copied, so
 *     that beside it a summary takes as much again and some 40 bytes a row.
 * @throws WindowError The window cannot be summarised; the error names the row and the column.
 * @throws ContractError The seed or the scales are out of range; nothing was computed.
 */
export function summarisePoints(
  window: PointsWindow,
  options: SignalOptions = {},
): Summary {
  const { seed, scales } = checked(options);
  const table = tableOf(window);
  const points = inSpace(table, seed);
  toUnitCube(points);
  const shape = { profile: "points/1", n: table.n, d: table.d } as const;
  const root = rootOfTable(table);
  return summary({ ...shape, root, points, toPack: quantised(points) }, seed, scales);
}

/**
 * Returns the summary of a byte string (text, a log, a file), profile `bytes/1`.
 *
 * @param data 3 … 65,536 bytes; their values form a series of one column.
 * @throws WindowError Too short, too long, or no bytes.
 * @throws ContractError The seed or the scales are out of range; nothing was computed.
 */
export function summariseBytes(
  data: Uint8Array,
  options: SignalOptions = {},
): Summary {
  const { seed, scales } = checked(options);
  if (!(data instanceof Uint8Array)) {
    throw new WindowError("data: expected bytes, got another type");
  }
  const n = data.length;
  if (n < ROWS_MIN || n > ROWS_MAX) {
    throw new WindowError(`data: expected ${ROWS_MIN} to ${ROWS_MAX} bytes, got ${n}`);
  }
  const points = inSpace({ n, d: 1, values: Float64Array.from(data) }, seed);
  toUnitCube(points);
  const shape = { profile: "bytes/1", n, d: 1 } as const;
  return summary({ ...shape, root: rootOfBytes(data), points, toPack: data }, seed, scales);
}

/** Returns the record's members that come from the window, under their names on the wire. */
export function summaryMembers(summary: Summary): { [name: string]: JsonValue } {
  return {
    profile: summary.profile,
    n: summary.n,
    d: summary.d,
    seed: summary.seed,
    scales: summary.scales,
    N_j: Object.fromEntries([...summary.counts].map(([scale, count]) => [String(scale), count])),
    D_hat: summary.dHat,
    coh_star: summary.cohStar,
    r: summary.r,
    budget: summary.budget,
    v_star: summary.vStar,
    regime: summary.regime,
    merkle_root: summary.merkleRoot,
  };
}

interface Measured {
  readonly profile: Profile;
  readonly n: number;
  readonly d: number;
  readonly root: Uint8Array;
  readonly points: Points;
  /** The bytes that are compressed for `r`. */
  readonly toPack: Uint8Array;
}

function summary(
  { profile, n, d, root, points, toPack }: Measured,
  seed: number,
  scales: readonly number[],
): Summary {
  const counts = new Map(scales.map((scale) => [scale, occupiedCells(points, scale)]));
  const { share, direction } = coherence(points, seed);
  const slope = dHat(counts);
  const cohStar = rounded(share);
  const r = rounded(Math.min(1, deflatedLength(toPack) / toPack.length));
  const [v0, v1, v2] = direction;
  return {
    ...{ profile, n, d, seed, scales, counts, dHat: slope, cohStar, r },
    vStar: [rounded(v0), rounded(v1), rounded(v2)],
    regime: regime(slope, cohStar),
    budget: budget(slope, cohStar, r),
    merkleRoot: hex(root),
  };
}

/** Returns the coordinates point by point, each as the byte `floor(255·x + 0.5)`. */
function quantised(points: Points): Uint8Array {
  const data = new Uint8Array(3 * points[0].length);
  for (const [k, column] of points.entries()) {
    for (let i = 0; i < column.length; i++) {
      data[3 * i + k] = Math.floor(255 * (column[i] as number) + 0.5);
    }
  }
  return data;
}

function checked(options: SignalOptions): { seed: number; scales: readonly number[] } {
  const { seed = DEFAULT_SEED, scales = DEFAULT_SCALES } = options;
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new ContractError("seed: expected an integer of 0 … 2^53−1, got another");
  }
  const areSound =
    scales.length >= 2 &&
    scales.length <= 10 &&
    scales.every((scale, i) => {
      const least = i === 0 ? 2 : 2 * (scales[i - 1] as number);
      return Number.isInteger(scale) && scale >= least && scale <= 1_024;
    });
  if (!areSound) {
    const expected = "2 to 10 integers of 2 … 1,024, each at least twice the one before";
    throw new ContractError(`scales: expected ${expected}, got others`);
  }
  return { seed, scales: [...scales] };
}
