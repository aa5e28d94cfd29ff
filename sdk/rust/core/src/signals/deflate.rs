//! How long zlib makes some bytes: one call, level 6, window bits 15, memory level 8, the default
//! strategy, header and checksum counted (RFC 1950, RFC 1951).
//!
//! Deflate may match as it likes, and on short windows implementations differ by more than the 0.02
//! that `r` may. So the matches are those that the original finds (`deflate_slow`) and the codes those
//! that it builds, and the length is its length to the byte. The stream itself is not made, since
//! nobody asks for it.

use alloc::vec;
use alloc::vec::Vec;

use huffman::Block;

mod huffman;
#[cfg(test)]
mod tests;

const WINDOW: usize = 32_768;
const MATCH_MIN: usize = 3;
const MATCH_MAX: usize = 258;
/// The original keeps so many bytes ahead where there are as many.
const LOOKAHEAD_MIN: usize = MATCH_MAX + MATCH_MIN + 1;
const DISTANCE_MAX: usize = WINDOW - LOOKAHEAD_MIN;
/// A match of three bytes from farther away costs more than three literals.
const SHORT_DISTANCE_MAX: usize = 4_096;
/// A block ends when so many literals and matches are in it.
const BLOCK_SYMBOLS: usize = 16_383;
const HASHES: usize = 1 << 15;

// What level 6 stands for.
const GOOD_LENGTH: usize = 8;
const LAZY_LENGTH: usize = 16;
const NICE_LENGTH: usize = 128;
const CHAIN_MAX: usize = 128;

const HEADER_BYTES: usize = 2;
const CHECKSUM_BYTES: usize = 4;

/// Returns the length of the compressed bytes, header and checksum counted.
///
/// At most the 196,608 bytes of a window come here; 256 KiB are held beside them.
pub(crate) fn zlib_len(data: &[u8]) -> usize {
    let mut places = Places::new(data);
    let mut stream = Stream { bits: 0, start: 0, block: Block::new() };
    let mut found = Match { length: MATCH_MIN - 1, start: 0 };
    // Whether the byte before is neither counted as a literal nor in a match yet.
    let mut is_pending = false;
    let mut at = 0;
    while at < data.len() {
        places.slide(at);
        let candidate = places.insert(at);
        let before = found;
        found.length = MATCH_MIN - 1;
        if before.length < LAZY_LENGTH && places.reaches(candidate, at) {
            found = places.longest(at, candidate, before);
            if found.length == MATCH_MIN && at - found.start > SHORT_DISTANCE_MAX {
                found.length = MATCH_MIN - 1;
            }
        }
        if before.length >= MATCH_MIN && found.length <= before.length {
            // The match one byte before is no shorter: it is taken.
            stream.block.count_match(before.length, at - 1 - before.start);
            let behind = at - 1 + before.length;
            for inside in at + 1..behind {
                places.insert(inside);
            }
            at = behind;
            found.length = MATCH_MIN - 1;
            is_pending = false;
            stream.end_full_block(at, places.slid);
            continue;
        }
        if is_pending {
            stream.block.count_literal(data[at - 1]);
            stream.end_full_block(at, places.slid);
        }
        is_pending = true;
        at += 1;
    }
    if is_pending {
        stream.block.count_literal(data[at - 1]);
    }
    stream.end_block(at, places.slid);
    HEADER_BYTES + stream.bits.div_ceil(8) + CHECKSUM_BYTES
}

#[derive(Clone, Copy)]
struct Match {
    length: usize,
    start: usize,
}

/// What was written so far, and the block that is not written yet.
struct Stream {
    bits: usize,
    /// Where the block begins in the data.
    start: usize,
    block: Block,
}

impl Stream {
    fn end_full_block(&mut self, at: usize, slid: usize) {
        if self.block.symbols() == BLOCK_SYMBOLS {
            self.end_block(at, slid);
        }
    }

    /// Ends the block before `at`, in the shortest of its three forms.
    fn end_block(&mut self, at: usize, slid: usize) {
        let stored = at - self.start;
        let cost = self.block.cost();
        let (own, fixed) = ((3 + cost.own).div_ceil(8), (3 + cost.fixed).div_ceil(8));
        self.bits += if stored + 4 <= own.min(fixed) && self.start >= slid {
            // From a whole byte on, behind four bytes of its length.
            let header = (self.bits + 3).next_multiple_of(8) - self.bits;
            header + 8 * (4 + stored)
        } else if fixed <= own {
            3 + cost.fixed
        } else {
            3 + cost.own
        };
        self.start = at;
        self.block = Block::new();
    }
}

/// The places of each three bytes, newest first, and the longest match among them.
///
/// The original holds twice its window and slides it. A place at `slid` or before has slid out, and the
/// first one that is held is never matched: its number is that which stands for none.
struct Places<'a> {
    data: &'a [u8],
    slid: usize,
    heads: Vec<u32>,
    /// The place before of the same hash, by place modulo the window.
    before: Vec<u32>,
}

impl<'a> Places<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { data, slid: 0, heads: vec![0; HASHES], before: vec![0; WINDOW] }
    }

    /// Slides the window where the original does before it looks at a place.
    fn slide(&mut self, at: usize) {
        let held = self.data.len().min(self.slid + 2 * WINDOW);
        if held - at < LOOKAHEAD_MIN && at - self.slid >= WINDOW + DISTANCE_MAX {
            self.slid += WINDOW;
        }
    }

    /// Enters a place; returns the newest one before it of the same hash. The last two bytes of the data
    /// begin no three, and have none.
    fn insert(&mut self, at: usize) -> usize {
        let Some(&[a, b, c]) = self.data.get(at..).and_then(<[u8]>::first_chunk) else {
            return 0;
        };
        let hash = (usize::from(a) << 10) ^ (usize::from(b) << 5) ^ usize::from(c);
        let head = &mut self.heads[hash % HASHES];
        let before = *head;
        *head = at as u32;
        self.before[at % WINDOW] = before;
        before as usize
    }

    fn reaches(&self, candidate: usize, at: usize) -> bool {
        candidate > self.slid && at - candidate <= DISTANCE_MAX
    }

    /// Returns the longest match at a place that is longer than `best`, else `best`; no longer than the
    /// data.
    fn longest(&self, at: usize, mut candidate: usize, best: Match) -> Match {
        let ahead = &self.data[at..];
        let scan = &ahead[..ahead.len().min(MATCH_MAX)];
        let limit = self.slid.max(at.saturating_sub(DISTANCE_MAX));
        let mut longest = best;
        let mut tries = if best.length >= GOOD_LENGTH { CHAIN_MAX / 4 } else { CHAIN_MAX };
        while longest.length < scan.len() {
            let there = &self.data[candidate..];
            // Most candidates are told by the byte that would make the match longer.
            if there[longest.length] == scan[longest.length] {
                let length = scan.iter().zip(there).take_while(|(one, other)| one == other).count();
                if length > longest.length {
                    longest = Match { length, start: candidate };
                    if length >= NICE_LENGTH {
                        break;
                    }
                }
            }
            candidate = self.before[candidate % WINDOW] as usize;
            tries -= 1;
            if tries == 0 || candidate <= limit {
                break;
            }
        }
        Match { length: longest.length.min(ahead.len()), ..longest }
    }
}
