/**
 * The verdict on a record of version 0.1 whose signature holds: pure.
 *
 * Most of its members are not signed. An outcome that is accepted follows from the signed ones
 * alone; one that an unsigned member spoils is a refusal of this copy and says nothing of the
 * record, since whoever carried it may have changed it.
 */

import { budget, type Counts, regime, rounded, slopes } from "./derive.js";
import { Refusal } from "./errors.js";
import {
  isConsistent,
  LEGACY_PARAMS,
  listed,
  type Outcome,
  outcome,
  type Params,
  type Reason,
} from "./judge.js";
import type { LegacyRecord } from "./legacy-record.js";

const COH_STAR_MAX = 1.05;
/** The checks that ask an unsigned member, and which one. */
const UNSIGNED: Partial<Record<Reason, string>> = {
  d_hat_mismatch: "N_j",
  n_j_inconsistent: "N_j",
  regime_mismatch: "regime",
};

/** Returns the verdict on a record under a parameter set; every check is run. */
export function judgeLegacy(record: LegacyRecord, params: Params = LEGACY_PARAMS): Outcome {
  const { signed, counts } = record;
  const recomputedBudget = budget(signed.dHat, signed.cohStar, signed.r);
  const reasons = listed({
    d_hat_mismatch: Math.abs(legacyDHat(counts) - signed.dHat) > params.tolD,
    n_j_inconsistent: !isConsistent(counts),
    coh_star_bounds: !(signed.cohStar >= 0 && signed.cohStar <= COH_STAR_MAX),
    r_bounds: !(signed.r >= 0 && signed.r <= 1),
    regime_mismatch: regime(signed.dHat, signed.cohStar) !== record.regime,
    budget_deviation: Math.abs(recomputedBudget - signed.budget) > params.tolBudget,
  });
  const accepted = reasons.every((reason) => reason === "budget_deviation");
  return outcome(accepted, reasons, { recomputedDHat: null, recomputedBudget }, params);
}

/**
 * Refuses a copy in which an unsigned member disagrees with the signed ones.
 *
 * @throws Refusal `unsigned_member_mismatch`, with the first such check and the member it asked.
 */
export function refuseUnsigned(outcome: Outcome): void {
  for (const reason of outcome.reasons) {
    const member = UNSIGNED[reason];
    if (member !== undefined) {
      const message = `${member}: expected what agrees with the signed members, got another`;
      throw new Refusal("unsigned_member_mismatch", reason, message, member);
    }
  }
}

/**
 * Returns D̂ as old agents computed it: the upper median of all pairwise slopes, rounded.
 *
 * @param counts scales (≥ 2) with their occupied cells (≥ 1); at least two scales.
 */
export function legacyDHat(counts: Counts): number {
  const sorted = slopes(counts);
  return rounded(sorted[sorted.length >> 1] as number);
}
