//! The verdict on a record whose signature holds: pure, the same everywhere and at any time.
//!
//! A record is checked against itself under a parameter set, which the outcome names.

use alloc::vec::Vec;

use crate::canonical::{write_number, write_string};
use crate::derive::{budget, d_hat, regime, Regime};
use crate::record::Record;

/// Of a decision's body without reasons, and room for some.
const DECISION_BYTES: usize = 320;

/// The failed checks an outcome can name, in the order they are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// D̂ is not what `N_j` says.
    DHatMismatch,
    /// The counts cannot come from points in a cube.
    NJInconsistent,
    /// Version 0.1: `coh_star` outside 0 … 1.05.
    CohStarBounds,
    /// Version 0.1: `r` outside 0 … 1.
    RBounds,
    /// The regime is not what `D_hat` and `coh_star` say.
    RegimeMismatch,
    /// The budget is not what `D_hat`, `coh_star` and `r` say.
    BudgetDeviation,
    /// The agent says that something was lost or substituted.
    Degraded,
}

impl Reason {
    /// Returns the reason as it is written on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DHatMismatch => "d_hat_mismatch",
            Self::NJInconsistent => "n_j_inconsistent",
            Self::CohStarBounds => "coh_star_bounds",
            Self::RBounds => "r_bounds",
            Self::RegimeMismatch => "regime_mismatch",
            Self::BudgetDeviation => "budget_deviation",
            Self::Degraded => "degraded",
        }
    }
}

/// What a verdict depends on beside the record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    /// What an outcome calls this set.
    pub version: &'static str,
    /// How far D̂ may be from the recomputed one.
    pub tol_d: f64,
    /// How far the budget may be from the recomputed one.
    pub tol_budget: f64,
}

/// What records of version 1.0 are judged by today.
pub const CURRENT_PARAMS: Params = Params { version: "1", tol_d: 1e-6, tol_budget: 1e-6 };
/// What records of version 0.1 are judged by.
pub const LEGACY_PARAMS: Params = Params { version: "legacy/1", tol_d: 0.15, tol_budget: 0.01 };

/// A verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// No check failed that says the record contradicts itself.
    pub accepted: bool,
    /// Accepted, but someone should look.
    pub escalated: bool,
    /// Every failed check, in the order of [`Reason`].
    pub reasons: Vec<Reason>,
    /// None for version 0.1, whose answer must not say what is not signed.
    pub recomputed_d_hat: Option<f64>,
    /// The budget as recomputed.
    pub recomputed_budget: f64,
    /// The set of parameters it was judged by.
    pub params_version: &'static str,
}

impl Outcome {
    /// Returns the HTTP status that says the same: 200, 202 or 422.
    #[must_use]
    pub fn status(&self) -> u16 {
        match (self.accepted, self.escalated) {
            (false, _) => 422,
            (true, true) => 202,
            (true, false) => 200,
        }
    }

    /// Returns the canonical JSON an agent gets, the same in every region.
    #[must_use]
    pub fn decision_body(&self, pcs_id: &str, record_digest: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(DECISION_BYTES);
        let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
        put(if self.accepted { "{\"accepted\":true" } else { "{\"accepted\":false" });
        put(if self.escalated { ",\"escalated\":true" } else { ",\"escalated\":false" });
        put(",\"params_version\":\"");
        put(self.params_version);
        put("\",\"pcs_id\":");
        write_string(&mut out, pcs_id);
        out.extend_from_slice(b",\"reasons\":[");
        for (place, reason) in self.reasons.iter().enumerate() {
            out.extend_from_slice(if place > 0 { b",\"" } else { b"\"" });
            out.extend_from_slice(reason.as_str().as_bytes());
            out.push(b'"');
        }
        out.extend_from_slice(b"],\"recomputed_D_hat\":");
        // Both numbers are finite: they were recomputed from finite ones in their ranges.
        match self.recomputed_d_hat {
            Some(d_hat) => write_number(&mut out, d_hat),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"recomputed_budget\":");
        write_number(&mut out, self.recomputed_budget);
        out.extend_from_slice(b",\"record_digest\":");
        write_string(&mut out, record_digest);
        out.push(b'}');
        out
    }
}

/// What of a record is judged.
#[derive(Clone, Copy)]
pub(crate) struct Judged<'a> {
    /// (scale, occupied cells) of each scale, ascending.
    pub(crate) counts: &'a [(u64, u64)],
    pub(crate) d_hat: f64,
    pub(crate) coh_star: f64,
    pub(crate) r: f64,
    pub(crate) budget: f64,
    pub(crate) regime: Regime,
    pub(crate) is_degraded: bool,
}

/// Returns the verdict on a record under a parameter set; every check is run.
///
/// Source: `specs/pcs.md` section 6.
#[must_use]
pub fn judge(record: &Record, params: Params) -> Outcome {
    let said = &record.said;
    let judged = Judged {
        counts: &said.counts(),
        d_hat: said.d_hat,
        coh_star: said.coh_star,
        r: said.r,
        budget: said.budget,
        regime: said.regime,
        is_degraded: said.ft.degraded,
    };
    judged.outcome(params)
}

impl Judged<'_> {
    /// Returns the verdict.
    pub(crate) fn outcome(self, params: Params) -> Outcome {
        let recomputed_d_hat = d_hat(self.counts);
        // The next two start from the record's own values, so that one wrong number is one reason.
        let recomputed_budget = budget(self.d_hat, self.coh_star, self.r);
        let spoiled = listed([
            ((recomputed_d_hat - self.d_hat).abs() > params.tol_d, Reason::DHatMismatch),
            (!is_consistent(self.counts), Reason::NJInconsistent),
        ]);
        let odd = listed([
            (regime(self.d_hat, self.coh_star) != self.regime, Reason::RegimeMismatch),
            ((recomputed_budget - self.budget).abs() > params.tol_budget, Reason::BudgetDeviation),
            (self.is_degraded, Reason::Degraded),
        ]);
        Outcome {
            accepted: spoiled.is_empty(),
            escalated: spoiled.is_empty() && !odd.is_empty(),
            reasons: [spoiled, odd].concat(),
            recomputed_d_hat: Some(recomputed_d_hat),
            recomputed_budget,
            params_version: params.version,
        }
    }
}

/// Returns the checks that failed, in their order.
pub(crate) fn listed<const N: usize>(checks: [(bool, Reason); N]) -> Vec<Reason> {
    checks.into_iter().filter(|(failed, _)| *failed).map(|(_, reason)| reason).collect()
}

/// Returns whether the counts can come from points in a cube at all.
///
/// A grid refines another when its scale is a multiple, and then occupies no fewer cells. The rule
/// holds in double arithmetic only where the coarser scale is a power of two, so it is asked only
/// there.
pub(crate) fn is_consistent(counts: &[(u64, u64)]) -> bool {
    let fit = counts.iter().all(|(scale, cells)| cells <= &scale.pow(3));
    let grow = counts.iter().enumerate().all(|(place, (coarse, few))| {
        !coarse.is_power_of_two()
            || counts[place + 1..].iter().all(|(fine, many)| fine % coarse != 0 || few <= many)
    });
    fit && grow
}
