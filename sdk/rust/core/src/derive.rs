//! What follows from a record's own numbers: D̂, the regime and the budget.
//!
//! Producer and verifier must get the same bits, so every formula is written one double operation at
//! a time, in the order of `specs/pcs.md` section 5, and rounded in one place.

use alloc::vec::Vec;

/// How the points of a window lie: along one thing, or all over, or between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Regime {
    /// Most points in one slab, and along a curve.
    Sticky,
    /// Neither of the others.
    Mixed,
    /// All over the cube.
    NonSticky,
}

impl Regime {
    /// Returns the regime as it is written on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sticky => "sticky",
            Self::Mixed => "mixed",
            Self::NonSticky => "non_sticky",
        }
    }

    pub(crate) fn named(text: &str) -> Option<Self> {
        [Self::Sticky, Self::Mixed, Self::NonSticky].into_iter().find(|each| each.as_str() == text)
    }
}

/// Returns a finite number rounded to 9 decimals, half away from zero, and never `-0`.
#[must_use]
pub fn rounded(x: f64) -> f64 {
    let magnitude = libm::floor(x.abs() * 1e9 + 0.5) / 1e9;
    if x < 0.0 && magnitude != 0.0 {
        -magnitude
    } else {
        magnitude
    }
}

/// Returns D̂: the rounded median of the slopes of log2 N(s) over log2 s, over all pairs of scales.
///
/// `counts` holds (scale, occupied cells), scales ascending, each at least 1; 0 where there are fewer
/// than two, which no record has.
///
/// Source: Sen (1968), doi:10.1080/01621459.1968.10480934; the mean of the middle two if even.
#[must_use]
pub fn d_hat(counts: &[(u64, u64)]) -> f64 {
    let slopes = slopes(counts);
    let middle = slopes.len() / 2;
    match slopes.len() {
        0 => 0.0,
        even if even % 2 == 0 => rounded((slopes[middle - 1] + slopes[middle]) / 2.0),
        _ => rounded(slopes[middle]),
    }
}

/// Returns D̂ as old agents computed it: the upper median, rounded.
pub(crate) fn legacy_d_hat(counts: &[(u64, u64)]) -> f64 {
    let slopes = slopes(counts);
    slopes.get(slopes.len() / 2).copied().map_or(0.0, rounded)
}

/// Returns the slope of each pair of scales, ascending.
fn slopes(counts: &[(u64, u64)]) -> Vec<f64> {
    let logs: Vec<(f64, f64)> = counts
        .iter()
        .map(|(scale, cells)| (libm::log2(*scale as f64), libm::log2(*cells as f64)))
        .collect();
    let mut slopes = Vec::with_capacity(logs.len() * logs.len() / 2);
    for (place, (xa, ya)) in logs.iter().enumerate() {
        slopes.extend(logs[place + 1..].iter().map(|(xb, yb)| (yb - ya) / (xb - xa)));
    }
    slopes.sort_unstable_by(f64::total_cmp);
    slopes
}

/// Returns the regime of two rounded values.
#[must_use]
pub fn regime(d_hat: f64, coh_star: f64) -> Regime {
    if coh_star >= 0.70 && d_hat <= 1.5 {
        Regime::Sticky
    } else if d_hat >= 2.6 {
        Regime::NonSticky
    } else {
        Regime::Mixed
    }
}

/// Returns the rounded share of attention a window deserves, 0 … 1, from rounded values.
#[must_use]
pub fn budget(d_hat: f64, coh_star: f64, r: f64) -> f64 {
    let share = ((0.10 + 0.30 * (1.0 - r)) + 0.50 * (d_hat - 2.2).max(0.0)) + 0.20 * coh_star;
    rounded(share.clamp(0.0, 1.0))
}
