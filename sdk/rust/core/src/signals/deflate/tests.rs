//! Lengths that Python's `zlib` (1.2.13, the original) gives at level 6, window bits 15, memory level 8,
//! stated here: whoever has another zlib is held to them all the same.

use alloc::vec::Vec;

use super::huffman::Block;
use super::{zlib_len, DISTANCE_MAX, WINDOW};

/// How a byte comes from the next number of a small generator.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// One of so many values.
    Noise,
    /// The byte before, up or down by less than half of so many.
    Walk,
    /// Each value half as often as that before it, so far apart.
    Skewed,
}

const WHOLE: usize = usize::MAX;

/// What the bytes are, of how many values, how many, after how many they begin again, and zlib's length.
#[rustfmt::skip]
const LENGTHS: &[(Kind, u32, usize, usize, usize)] = &[
    (Kind::Noise, 1, 0, WHOLE, 8),
    (Kind::Noise, 1, 1, WHOLE, 9),
    (Kind::Noise, 1, 2, WHOLE, 10),
    (Kind::Noise, 1, 3, WHOLE, 11),
    (Kind::Noise, 1, 4, WHOLE, 12),
    (Kind::Noise, 1, 259, WHOLE, 12),
    (Kind::Noise, 1, 5_000, WHOLE, 28),
    (Kind::Noise, 1, 196_608, WHOLE, 213),
    (Kind::Noise, 2, 3, WHOLE, 11),
    (Kind::Noise, 2, 68, WHOLE, 36),
    (Kind::Noise, 2, 204, WHOLE, 65),
    (Kind::Noise, 2, 40_000, WHOLE, 6_432),
    (Kind::Noise, 5, 300, WHOLE, 139),
    (Kind::Noise, 5, 5_000, WHOLE, 1_885),
    (Kind::Noise, 5, 70_000, WHOLE, 24_212),
    (Kind::Noise, 5, 196_608, WHOLE, 66_789),
    (Kind::Noise, 40, 204, WHOLE, 163),
    (Kind::Noise, 40, 30_000, WHOLE, 20_669),
    (Kind::Noise, 40, 196_608, WHOLE, 135_766),
    (Kind::Noise, 150, 300, WHOLE, 309),
    (Kind::Noise, 150, 600, WHOLE, 587),
    (Kind::Noise, 150, 20_000, WHOLE, 18_245),
    (Kind::Noise, 256, 100, WHOLE, 111),
    (Kind::Noise, 256, 16_383, WHOLE, 16_394),
    (Kind::Noise, 256, 16_384, WHOLE, 16_395),
    (Kind::Noise, 256, 65_536, WHOLE, 65_562),
    (Kind::Noise, 256, 196_608, WHOLE, 196_674),
    (Kind::Noise, 256, 2_000, 1_000, 1_071),
    (Kind::Noise, 256, 3_000, 17, 51),
    (Kind::Noise, 256, 9_000, 4_100, 4_213),
    (Kind::Noise, 256, 196_608, 32_500, 34_001),
    (Kind::Noise, 256, 196_608, 32_506, 35_165),
    (Kind::Noise, 256, 196_608, 32_507, 196_674),
    (Kind::Noise, 3, 60_000, 20_000, 14_341),
    (Kind::Walk, 3, 68, WHOLE, 49),
    (Kind::Walk, 3, 204, WHOLE, 105),
    (Kind::Walk, 3, 3_000, WHOLE, 1_362),
    (Kind::Walk, 3, 65_535, WHOLE, 27_929),
    (Kind::Walk, 3, 196_608, WHOLE, 81_528),
    (Kind::Walk, 9, 900, WHOLE, 797),
    (Kind::Walk, 9, 100_000, WHOLE, 79_707),
    (Kind::Walk, 40, 65_536, WHOLE, 65_439),
    (Kind::Walk, 40, 196_608, 40_000, 196_277),
    (Kind::Skewed, 1, 500, WHOLE, 187),
    (Kind::Skewed, 1, 20_000, WHOLE, 6_485),
    (Kind::Skewed, 17, 20_000, WHOLE, 6_500),
    (Kind::Skewed, 17, 196_608, WHOLE, 63_206),
    (Kind::Skewed, 19, 100, WHOLE, 61),
];

fn numbers() -> impl Iterator<Item = u32> {
    let next = |x: &u32| Some(x.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0x7fff_ffff);
    core::iter::successors(Some(1), next).skip(1).map(|x| x >> 16)
}

fn generated(kind: Kind, values: u32, size: usize, period: usize) -> Vec<u8> {
    let mut level = 0_u32;
    let byte = |number: u32| match kind {
        Kind::Noise => (number % values) as u8,
        Kind::Walk => {
            level = level.wrapping_add(number % values).wrapping_sub(values / 2);
            level as u8
        }
        Kind::Skewed => ((number | 1 << 14).trailing_zeros() * values) as u8,
    };
    let once: Vec<u8> = numbers().map(byte).take(size.min(period)).collect();
    once.iter().copied().cycle().take(size).collect()
}

#[test]
fn lengths_are_those_of_zlib_to_the_byte() {
    for (kind, values, size, period, length) in LENGTHS.iter().copied() {
        let found = zlib_len(&generated(kind, values, size, period));
        assert_eq!(found, length, "{kind:?} of {values}, {size} bytes, period {period}");
    }
}

/// Each count is the sum of the two before, that of the end of the block among them, which makes a code
/// as deep as its symbols are many. A short input comes to that only where nothing is matched.
#[test]
fn a_code_that_would_be_too_deep_is_cut_as_zlib_cuts_it() {
    // The lengths of zlib with the strategy Z_HUFFMAN_ONLY.
    for (literals, length) in [(14, 554), (15, 878), (16, 1_402), (17, 2_248), (18, 3_618)] {
        let mut block = Block::new();
        let (mut count, mut next) = (1, 2);
        for literal in 0..literals {
            (0..count).for_each(|_| block.count_literal(9 * literal));
            (count, next) = (next, count + next);
        }
        assert_eq!(2 + (3 + block.cost().own).div_ceil(8) + 4, length, "{literals} literals");
    }
}

/// Before its last bytes are looked at the window slides, and the first place it then holds is none.
#[test]
fn the_first_place_of_a_window_that_slid_is_not_matched() {
    for (copied, length) in [(4, 63_051), (5, 63_051), (8, 63_055), (100, 62_966)] {
        let mut data = generated(Kind::Noise, 200, 65_400, WHOLE);
        data.copy_within(WINDOW..WINDOW + copied, WINDOW + DISTANCE_MAX);
        assert_eq!(zlib_len(&data), length, "{copied} bytes of the window's first");
    }
}
