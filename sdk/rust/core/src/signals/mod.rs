//! Summaries: one window in, every computed member of its record out.
//!
//! All arithmetic is IEEE-754 double, one correctly rounded operation at a time, in the order that
//! `specs/pcs.md` section 5 writes: every language gets the same bits. Signals are rounded once, and
//! only the rounded ones are used for what follows from them, so that a verifier who has the record
//! alone gets the same.

use alloc::vec::Vec;

use crate::derive::{budget, d_hat, regime, rounded, Regime};
use crate::error::WindowError;
use crate::hex::hex;
use crate::merkle::{leaf_hash, merkle_root};
use crate::record::{Draft, FaultTolerance, Profile};
use cube::{occupied_cells, unit_cube, Point};

mod coherence;
mod cube;
mod deflate;
mod window;

/// The seed that producers use where none is chosen.
pub const DEFAULT_SEED: u64 = 42;
/// The scales that producers use where none are chosen.
pub const DEFAULT_SCALES: [u32; 5] = [2, 4, 8, 16, 32];

const LEAF_BYTES: usize = 64;

/// What a record says of its window; the names are those of [`Draft`].
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Summary {
    pub profile: Profile,
    pub n: u32,
    pub d: u32,
    pub seed: u64,
    pub scales: Vec<u32>,
    pub n_j: Vec<u32>,
    pub d_hat: f64,
    pub coh_star: f64,
    pub v_star: [f64; 3],
    pub r: f64,
    pub regime: Regime,
    pub budget: f64,
    pub merkle_root: alloc::string::String,
}

impl Summary {
    /// Returns the draft of this window's record, nothing in it weakened and without `meta`.
    #[must_use]
    pub fn draft(self, shard_id: &str, epoch: u64, created_at_ms: u64) -> Draft {
        Draft {
            merkle_root: self.merkle_root,
            epoch,
            shard_id: shard_id.into(),
            created_at_ms,
            profile: self.profile,
            n: self.n,
            d: self.d,
            seed: self.seed,
            scales: self.scales,
            n_j: self.n_j,
            d_hat: self.d_hat,
            coh_star: self.coh_star,
            r: self.r,
            budget: self.budget,
            v_star: self.v_star,
            regime: self.regime,
            ft: FaultTolerance::default(),
            meta: None,
        }
    }
}

/// Returns the summary of a table of numbers, profile `points/1`.
///
/// `values` holds the rows one after the other, each of `columns` doubles in raw data units.
///
/// # Errors
///
/// Not 3 … 65,536 rows of 1 … 4,096 columns, a value that is NaN, infinite or beyond 1e300 in size
/// (the error names the first, by rows), or the seed or the scales are out of range; nothing was
/// computed.
///
/// # Examples
///
/// ```
/// use fractal_lba_core::{summarise_points, DEFAULT_SCALES, DEFAULT_SEED};
///
/// let line: Vec<f64> = (0..300).map(f64::from).collect();
/// let summary = summarise_points(&line, 3, DEFAULT_SEED, &DEFAULT_SCALES)?;
/// assert_eq!((summary.n, summary.d), (100, 3));
/// assert_eq!(summary.n_j, [2, 4, 8, 16, 32]);
/// assert_eq!(summary.d_hat, 1.0);
/// # Ok::<(), fractal_lba_core::WindowError>(())
/// ```
pub fn summarise_points(
    values: &[f64],
    columns: usize,
    seed: u64,
    scales: &[u32],
) -> Result<Summary, WindowError> {
    let (rows, columns) = window::check_points(values, columns)?;
    window::check_seed(seed)?;
    window::check_scales(scales)?;
    let width = columns as usize;
    let mut row_bytes = Vec::with_capacity(8 * width);
    let leaves = values.chunks_exact(width).map(|row| {
        row_bytes.clear();
        row_bytes.extend(row.iter().flat_map(|value| value.to_le_bytes()));
        leaf_hash(&row_bytes)
    });
    let root = merkle_root(leaves);
    let cube = unit_cube(cube::in_space(values, width, seed));
    // Rounding to the nearest byte; no coordinate is negative, so truncation is the floor.
    let packed: Vec<u8> = cube.iter().flatten().map(|x| (255.0 * x + 0.5) as u8).collect();
    let window = Window { profile: Profile::Points, n: rows, d: columns, seed, root };
    Ok(summary(&window, &cube, &packed, scales))
}

/// Returns the summary of a byte string, profile `bytes/1`.
///
/// # Errors
///
/// Not 3 … 65,536 bytes, or the seed or the scales are out of range; nothing was computed.
pub fn summarise_bytes(data: &[u8], seed: u64, scales: &[u32]) -> Result<Summary, WindowError> {
    let n = window::check_bytes(data)?;
    window::check_seed(seed)?;
    window::check_scales(scales)?;
    let root = merkle_root(data.chunks(LEAF_BYTES).map(leaf_hash));
    let series: Vec<f64> = data.iter().map(|byte| f64::from(*byte)).collect();
    let cube = unit_cube(cube::in_space(&series, 1, seed));
    let window = Window { profile: Profile::Bytes, n, d: 1, seed, root };
    Ok(summary(&window, &cube, data, scales))
}

struct Window {
    profile: Profile,
    n: u32,
    d: u32,
    seed: u64,
    root: [u8; 32],
}

fn summary(window: &Window, cube: &[Point], compressed: &[u8], scales: &[u32]) -> Summary {
    let n_j: Vec<u32> = scales.iter().map(|scale| occupied_cells(cube, *scale)).collect();
    let counts: Vec<(u64, u64)> =
        scales.iter().zip(&n_j).map(|(scale, cells)| ((*scale).into(), (*cells).into())).collect();
    let d_hat = d_hat(&counts);
    let (share, direction) = coherence::coherence(cube, window.seed);
    let coh_star = rounded(share);
    let packed = deflate::zlib_len(compressed);
    let r = rounded((packed as f64 / compressed.len() as f64).min(1.0));
    Summary {
        profile: window.profile,
        n: window.n,
        d: window.d,
        seed: window.seed,
        scales: scales.to_vec(),
        n_j,
        d_hat,
        coh_star,
        v_star: direction.map(rounded),
        r,
        regime: regime(d_hat, coh_star),
        budget: budget(d_hat, coh_star, r),
        merkle_root: hex(&window.root),
    }
}
