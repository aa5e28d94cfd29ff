/**
 * What follows from a record's own numbers: D̂, the regime and the budget.
 *
 * Producer and verifier must get the same bits, so every formula is written one double operation at
 * a time, in the order of `specs/pcs.md` section 5, and rounded in one place.
 */

import { ContractError } from "./errors.js";

/** How the points of a window lie: along one thing, or all over, or between. */
export type Regime = "sticky" | "mixed" | "non_sticky";

/** Every regime. */
export const REGIMES: readonly Regime[] = ["sticky", "mixed", "non_sticky"];

/** Scale (cells along each axis) to occupied cells, ascending. */
export type Counts = ReadonlyMap<number, number>;

/** Returns a finite number rounded to 9 decimals, half away from zero, and never `-0`. */
export function rounded(x: number): number {
  const magnitude = Math.floor(Math.abs(x) * 1e9 + 0.5) / 1e9;
  return x < 0 && magnitude !== 0 ? -magnitude : magnitude;
}

/**
 * Returns the slopes of log2 N(s) over log2 s of all pairs of scales, ascending.
 *
 * @param counts scales (≥ 2) with their occupied cells (≥ 1).
 * @throws ContractError Fewer than two scales; nothing was computed.
 */
export function slopes(counts: Counts): readonly number[] {
  if (counts.size < 2) {
    throw new ContractError(`N_j: expected at least 2 scales, got ${counts.size}`);
  }
  const points = [...counts].sort(([a], [b]) => a - b).map(([s, n]) => [Math.log2(s), Math.log2(n)]);
  const found: number[] = [];
  for (const [index, [xa, ya]] of (points as [number, number][]).entries()) {
    for (const [xb, yb] of points.slice(index + 1) as [number, number][]) {
      found.push((yb - ya) / (xb - xa));
    }
  }
  return found.sort((a, b) => a - b);
}

/**
 * Returns D̂ as a record carries it: the median slope (Sen 1968, doi:10.1080/01621459.1968.10480934;
 * the mean of the middle two if even), rounded.
 *
 * @throws ContractError Fewer than two scales; nothing was computed.
 */
export function dHat(counts: Counts): number {
  const sorted = slopes(counts);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return rounded(sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2);
}

/** Returns the regime of two rounded values. */
export function regime(dHat: number, cohStar: number): Regime {
  if (cohStar >= 0.7 && dHat <= 1.5) return "sticky";
  return dHat >= 2.6 ? "non_sticky" : "mixed";
}

/** Returns the rounded share of attention a window deserves, 0 … 1, of three rounded values. */
export function budget(dHat: number, cohStar: number, r: number): number {
  const share = 0.1 + 0.3 * (1 - r) + 0.5 * Math.max(0, dHat - 2.2) + 0.2 * cohStar;
  return rounded(Math.min(1, Math.max(0, share)));
}
