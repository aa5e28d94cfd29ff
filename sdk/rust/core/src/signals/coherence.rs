//! Coherence: how much of a window falls into one thin slab, over 100 fixed directions.
//!
//! Directions come from `+ − × √` of hashed words alone, because sine and cosine differ between
//! machines, and shares are compared as counts, never as rounded quotients.

use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use crate::signals::cube::Point;

const DIRECTIONS: u32 = 100;
const BINS: usize = 20;
/// A projection narrower than this (the cube's side is 1) lies in one bin: its spread is rounding.
const SPAN_MIN: f64 = 1e-9;
const DIRECTION_DOMAIN: &[u8] = b"fractal-lba/direction/1";
/// 2^−52.
const WORD_UNIT: f64 = 1.0 / (1_u64 << 52) as f64;

/// Returns the largest share of points in one bin, and the first direction that reaches it; neither is
/// rounded.
pub(crate) fn coherence(cube: &[Point], seed: u64) -> (f64, Point) {
    let mut best = (0, [0.0; 3]);
    let mut along = Vec::with_capacity(cube.len());
    for index in 0..DIRECTIONS {
        let [v0, v1, v2] = direction(seed, index);
        along.clear();
        along.extend(cube.iter().map(|[x, y, z]| (x * v0 + y * v1) + z * v2));
        let fullest = fullest_bin(&along);
        if fullest > best.0 {
            best = (fullest, [v0, v1, v2]);
        }
    }
    (best.0 as f64 / cube.len() as f64, best.1)
}

fn fullest_bin(along: &[f64]) -> usize {
    let low = along.iter().copied().fold(f64::INFINITY, f64::min);
    let high = along.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let span = high - low;
    if span < SPAN_MIN {
        return along.len();
    }
    let mut counts = [0_usize; BINS];
    for value in along {
        // No value is below the lowest, so truncation is the floor.
        let bin = ((20.0 * (value - low)) / span) as usize;
        counts[bin.min(BINS - 1)] += 1;
    }
    counts.into_iter().max().unwrap_or_default()
}

/// Returns direction `index` of the seed, a point of the unit sphere.
///
/// Source: Marsaglia (1972), doi:10.1214/aoms/1177692644.
fn direction(seed: u64, index: u32) -> Point {
    let mut words = words(seed, index);
    let mut coordinate = || (words.next().unwrap_or_default() >> 11) as f64 * WORD_UNIT - 1.0;
    loop {
        let (u, v) = (coordinate(), coordinate());
        let s = u * u + v * v;
        if s >= 1.0 || s == 0.0 {
            continue;
        }
        let q = libm::sqrt(1.0 - s);
        return [2.0 * u * q, 2.0 * v * q, 1.0 - 2.0 * s];
    }
}

/// Big-endian words of SHA-256 blocks, without end.
fn words(seed: u64, index: u32) -> impl Iterator<Item = u64> {
    (0_u32..).flat_map(move |block| {
        let hasher = Sha256::new().chain_update(DIRECTION_DOMAIN).chain_update(seed.to_be_bytes());
        let hasher = hasher.chain_update(index.to_be_bytes()).chain_update(block.to_be_bytes());
        let digest: [u8; 32] = hasher.finalize().into();
        [0, 8, 16, 24].map(|at| {
            let mut word = [0; 8];
            word.copy_from_slice(&digest[at..at + 8]);
            u64::from_be_bytes(word)
        })
    })
}
