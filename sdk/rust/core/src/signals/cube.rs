//! Three columns from any number of them, and the unit cube they are measured in.
//!
//! Every addition happens in the order of the columns, one at a time, so that all languages get the
//! same bits.

use alloc::vec::Vec;

use sha2::{Digest, Sha256};

/// A point in three dimensions.
pub(crate) type Point = [f64; 3];

/// Below this the division would blow noise up to structure; such a window is one point.
const RANGE_MIN: f64 = 1e-300;
const PROJECTION_DOMAIN: &[u8] = b"fractal-lba/projection/1";

/// Returns a window's points in three dimensions: of one column its delay embedding, of two with a
/// zero, of three as they are, of more their signed sums.
///
/// Source: Takens (1981), doi:10.1007/BFb0091924; Achlioptas (2003), doi:10.1016/S0022-0000(03)00025-4.
pub(crate) fn in_space(values: &[f64], columns: usize, seed: u64) -> Vec<Point> {
    let rows = values.chunks_exact(columns);
    match columns {
        1 => values.windows(3).map(|three| [three[0], three[1], three[2]]).collect(),
        2 => rows.map(|row| [row[0], row[1], 0.0]).collect(),
        3 => rows.map(|row| [row[0], row[1], row[2]]).collect(),
        _ => {
            let signs = projection_signs(seed, columns);
            rows.map(|row| project(row, &signs)).collect()
        }
    }
}

fn project(row: &[f64], signs: &[[f64; 3]]) -> Point {
    let mut sums = [0.0; 3];
    for (value, signs) in row.iter().zip(signs) {
        for (sum, sign) in sums.iter_mut().zip(signs) {
            // To multiply by ±1 is exact: this adds or subtracts.
            *sum += sign * value;
        }
    }
    sums
}

/// Returns the signs of each column: 1 where bit 3j + k of the seed's SHA-256 stream is 1, else −1.
fn projection_signs(seed: u64, columns: usize) -> Vec<[f64; 3]> {
    let mut stream: Vec<u8> = Vec::new();
    let mut block: u32 = 0;
    while stream.len() * 8 < 3 * columns {
        let hasher = Sha256::new().chain_update(PROJECTION_DOMAIN).chain_update(seed.to_be_bytes());
        stream.extend_from_slice(&hasher.chain_update(block.to_be_bytes()).finalize());
        block += 1;
    }
    let sign = |bit: usize| match stream[bit / 8] >> (7 - bit % 8) & 1 {
        1 => 1.0,
        _ => -1.0,
    };
    (0..columns).map(|column| [0, 1, 2].map(|k| sign(3 * column + k))).collect()
}

/// Returns the points moved and scaled, alike in all directions, into the unit cube.
pub(crate) fn unit_cube(mut points: Vec<Point>) -> Vec<Point> {
    let mut lows = [f64::INFINITY; 3];
    let mut highs = [f64::NEG_INFINITY; 3];
    for point in &points {
        for axis in 0..3 {
            lows[axis] = lows[axis].min(point[axis]);
            highs[axis] = highs[axis].max(point[axis]);
        }
    }
    let extent = (0..3).map(|axis| highs[axis] - lows[axis]).fold(0.0, f64::max);
    for point in &mut points {
        for axis in 0..3 {
            point[axis] =
                if extent < RANGE_MIN { 0.0 } else { (point[axis] - lows[axis]) / extent };
        }
    }
    points
}

/// Returns how many of the `scale`³ cells of the unit cube hold a point.
pub(crate) fn occupied_cells(cube: &[Point], scale: u32) -> u32 {
    let side = f64::from(scale);
    // No coordinate is negative, so truncation is the floor; the upper edge is the last cell's.
    let along = |x: f64| ((x * side) as u32).min(scale - 1);
    let cell =
        |point: &Point| (along(point[0]) * scale + along(point[1])) * scale + along(point[2]);
    let mut cells: Vec<u32> = cube.iter().map(cell).collect();
    cells.sort_unstable();
    cells.dedup();
    cells.len() as u32
}
