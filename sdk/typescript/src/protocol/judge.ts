/**
 * The verdict on a record whose signature holds: pure, the same everywhere and at any time.
 *
 * A record is checked against itself under a parameter set. The outcome names the set's version,
 * and every set that ever judged stays here, so that an old outcome can be checked again.
 */

import { canonical } from "./canonical.js";
import { budget, type Counts, dHat, regime } from "./derive.js";
import type { PcsRecord } from "./record.js";

/** The failed checks an outcome can name, in the order they are listed. */
export const REASONS = [
  "d_hat_mismatch",
  "n_j_inconsistent",
  "coh_star_bounds",
  "r_bounds",
  "regime_mismatch",
  "budget_deviation",
  "degraded",
] as const;
export type Reason = (typeof REASONS)[number];

/** What a verdict depends on beside the record. */
export interface Params {
  /** What an outcome calls this set. */
  readonly version: string;
  /** How far D̂ may be from the recomputed one. */
  readonly tolD: number;
  /** How far the budget may be from the recomputed one. */
  readonly tolBudget: number;
}

/** What records of version 1.0 are judged by. */
export const CURRENT_PARAMS: Params = { version: "1", tolD: 1e-6, tolBudget: 1e-6 };
/** What records of version 0.1 are judged by. */
export const LEGACY_PARAMS: Params = { version: "legacy/1", tolD: 0.15, tolBudget: 0.01 };

/** A verdict. */
export interface Outcome {
  /** No check failed that says the record contradicts itself. */
  readonly accepted: boolean;
  /** Accepted, but someone should look. */
  readonly escalated: boolean;
  /** Every failed check, in the order of {@link REASONS}. */
  readonly reasons: readonly Reason[];
  /** `null` for version 0.1, whose answer must not say what is not signed. */
  readonly recomputedDHat: number | null;
  readonly recomputedBudget: number;
  readonly paramsVersion: string;
  /** The HTTP status that says the same. */
  readonly status: 200 | 202 | 422;
}

/** Returns the verdict on a record under a parameter set; every check is run. */
export function judge(record: PcsRecord, params: Params = CURRENT_PARAMS): Outcome {
  const recomputedDHat = dHat(record.counts);
  // The next two start from the record's own values, so that one wrong number is one reason.
  const recomputedBudget = budget(record.dHat, record.cohStar, record.r);
  const reasons = listed({
    d_hat_mismatch: Math.abs(recomputedDHat - record.dHat) > params.tolD,
    n_j_inconsistent: !isConsistent(record.counts),
    regime_mismatch: regime(record.dHat, record.cohStar) !== record.regime,
    budget_deviation: Math.abs(recomputedBudget - record.budget) > params.tolBudget,
    degraded: record.ft.degraded,
  });
  const accepted = !reasons.includes("d_hat_mismatch") && !reasons.includes("n_j_inconsistent");
  return outcome(accepted, reasons, { recomputedDHat, recomputedBudget }, params);
}

/** Returns the outcome that follows from what failed. */
export function outcome(
  accepted: boolean,
  reasons: readonly Reason[],
  recomputed: Pick<Outcome, "recomputedDHat" | "recomputedBudget">,
  params: Params,
): Outcome {
  const escalated = accepted && reasons.length > 0;
  const status = accepted ? (escalated ? 202 : 200) : 422;
  return { accepted, escalated, reasons, ...recomputed, paramsVersion: params.version, status };
}

/** Returns the checks that failed, in the order an outcome lists them. */
export function listed(failed: Partial<Record<Reason, boolean>>): readonly Reason[] {
  return REASONS.filter((reason) => failed[reason] === true);
}

/**
 * Returns whether the counts can come from points in a cube at all.
 *
 * A grid refines another when its scale is a multiple, and then occupies no fewer cells. The rule
 * holds in double arithmetic only where the coarser scale is a power of two, so it is asked only
 * there.
 */
export function isConsistent(counts: Counts): boolean {
  for (const [coarse, few] of counts) {
    if (few > coarse ** 3) return false;
    if ((coarse & (coarse - 1)) !== 0) continue;
    for (const [fine, many] of counts) {
      if (fine > coarse && fine % coarse === 0 && few > many) return false;
    }
  }
  return true;
}

/** Returns the canonical JSON an agent gets, the same in every region. */
export function decisionBody(pcsId: string, recordDigest: string, outcome: Outcome): Uint8Array {
  return canonical({
    pcs_id: pcsId,
    record_digest: recordDigest,
    accepted: outcome.accepted,
    escalated: outcome.escalated,
    reasons: outcome.reasons,
    recomputed_D_hat: outcome.recomputedDHat,
    recomputed_budget: outcome.recomputedBudget,
    params_version: outcome.paramsVersion,
  });
}
