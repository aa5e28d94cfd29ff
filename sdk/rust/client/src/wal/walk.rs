//! Walk through a segment's bytes and past damage, in time linear in their length.
//!
//! Nothing is trusted before its checksum. Where bytes do not verify, the walk goes on at the next
//! batch header or frame that does: batch headers are found by their magic, frames by the numbers
//! that are still missing, as they are stored. Everything that could not be read is a [`Gap`].

use memchr::memmem;

use super::footer::{FooterAt, footer_before};
use super::framing::{
    BATCH_BYTES, BATCH_MAGIC, BatchAt, FRAME_BYTES, FRAME_SEQ_AT, FrameAt, HEADER_BYTES,
    SegmentKey, batch_at, claimed_size, frame_at,
};

/// A search sums at most this many times the bytes it searches. Only who knows the segment's id can
/// place more than a few false starts; the bound keeps even that from stopping a recovery.
const SEARCH_FACTOR: u64 = 8;
const SEARCH_FLOOR_BYTES: u64 = 1 << 16;
/// Numbers that differ only in their lowest bits share the bytes that are searched for.
const BLOCK_BITS: u32 = 16;
const NEEDLE_AHEAD: usize = FRAME_SEQ_AT + BLOCK_BITS as usize / 8;

/// Bytes that do not verify, and the frames lost in them.
///
/// `length` is 0 where frames are missing and no bytes are. The numbers are `None` where no frame is
/// lost or nothing tells which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub offset: usize,
    pub length: u64,
    pub first_seq: Option<u64>,
    pub last_seq: Option<u64>,
    pub what: &'static str,
}

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walked {
    Batch(BatchAt),
    Footer(FooterAt),
    Frame(FrameAt),
    Gap(Gap),
}

/// Bytes in which frames should stand: `expected` is the first number it may hold (`None`: unknown,
/// it cannot be searched), `until` the first one beyond it, where that is known.
#[derive(Clone, Copy)]
struct Region {
    offset: usize,
    stop: usize,
    expected: Option<u64>,
    until: Option<u64>,
}

/// What a segment holds between its header and `end`, in the order of offsets.
///
/// `data` is the segment from its first byte on; an `end` beyond it means that bytes are missing.
/// `first_seq` is of its first frame, `None` where nothing tells; `next_seq` of the first frame after
/// `end`, where that is known.
pub(crate) fn walk(
    data: &[u8],
    key: &SegmentKey,
    end: u64,
    first_seq: Option<u64>,
    next_seq: Option<u64>,
) -> Vec<Walked> {
    let stop = usize::try_from(end).map_or(data.len(), |end| end.min(data.len()));
    let mut walker = Walker { data, key, found: Vec::new() };
    // Nothing follows a footer: it stands at the end or nowhere.
    let footer = footer_before(data, stop, key);
    let region = Region {
        offset: HEADER_BYTES,
        stop: footer.map_or(stop, |footer| footer.offset),
        expected: first_seq,
        until: footer.map_or(next_seq, |footer| Some(footer.next_seq)),
    };
    let mut expected = walker.batches(region);
    if let Some(footer) = footer {
        if expected.is_some_and(|expected| expected < footer.next_seq) {
            walker.missing(footer.offset, 0, expected, Some(footer.next_seq));
        }
        walker.found.push(Walked::Footer(footer));
        expected = Some(footer.next_seq);
    }
    let is_short = next_seq.is_some_and(|next| expected.is_none_or(|expected| expected < next));
    if is_short || end > stop as u64 {
        walker.missing(stop, end.saturating_sub(stop as u64), expected, next_seq);
    }
    walker.found
}

struct Walker<'a> {
    data: &'a [u8],
    key: &'a SegmentKey,
    found: Vec<Walked>,
}

impl Walker<'_> {
    /// Note the batches of a region with what is in them; return the number that follows.
    fn batches(&mut self, region: Region) -> Option<u64> {
        let Region { mut offset, stop, mut expected, until: next_seq } = region;
        while offset < stop {
            let sound = batch_at(self.data, offset, stop, self.key)
                .filter(|batch| expected.is_none_or(|expected| batch.first_seq >= expected));
            let Some(batch) = sound else {
                let later = self.find_batch(Region { offset, stop, expected, until: next_seq });
                let region_end = later.map_or(stop, |batch| batch.offset);
                let until = later.map_or(next_seq, |batch| Some(batch.first_seq));
                if let (None, Some(batch)) = (expected, later) {
                    let room = frames_max(region_end - offset);
                    expected = Some(batch.first_seq.saturating_sub(room).max(1));
                }
                expected = self.salvage(Region { offset, stop: region_end, expected, until });
                offset = region_end;
                continue;
            };
            if expected.is_some_and(|expected| batch.first_seq > expected) {
                self.missing(offset, 0, expected, Some(batch.first_seq));
            }
            self.found.push(Walked::Batch(batch));
            expected = self.salvage(Region {
                offset: offset + BATCH_BYTES,
                stop: batch.end.min(stop),
                expected: Some(batch.first_seq),
                until: Some(batch.first_seq.saturating_add(u64::from(batch.frames))),
            });
            offset = batch.end;
        }
        expected
    }

    /// Note the sound frames in a region and the gaps between; return the number that follows.
    fn salvage(&mut self, region: Region) -> Option<u64> {
        let Region { mut offset, stop, mut expected, until } = region;
        while offset < stop {
            let next = self.next_frame(Region { offset, stop, expected, until });
            let start = next.map_or(stop, |frame| frame.offset);
            let following = next.map_or(until, |frame| Some(frame.seq));
            if start > offset {
                let (first_seq, last_seq) = lost(expected, following);
                self.found.push(Walked::Gap(Gap {
                    offset,
                    length: (start - offset) as u64,
                    first_seq,
                    last_seq,
                    what: "bytes do not verify",
                }));
            } else if is_before(expected, following) {
                self.missing(offset, 0, expected, following);
            }
            let Some(frame) = next else {
                return until.or(expected);
            };
            self.found.push(Walked::Frame(frame));
            expected = Some(frame.seq.saturating_add(1));
            offset = frame.end;
        }
        if is_before(expected, until) {
            self.missing(stop, 0, expected, until);
            return until;
        }
        expected
    }

    /// The first sound batch header after a region's first byte that can follow.
    fn find_batch(&self, region: Region) -> Option<BatchAt> {
        let from = region.offset + 1;
        memmem::find_iter(self.data.get(from..region.stop)?, BATCH_MAGIC)
            .filter_map(|at| batch_at(self.data, from + at, region.stop, self.key))
            .find(|batch| {
                region.expected.is_none_or(|expected| {
                    let room = frames_max(batch.offset - region.offset);
                    (expected..=expected.saturating_add(room)).contains(&batch.first_seq)
                })
            })
    }

    /// The first sound frame of a region.
    fn next_frame(&self, region: Region) -> Option<FrameAt> {
        let Region { offset, stop, until, .. } = region;
        let expected = region.expected?;
        let mut last = expected.saturating_add(frames_max(stop - offset));
        if let Some(until) = until {
            last = last.min(until.saturating_sub(1));
        }
        let fits = |frame: &FrameAt| (expected..=last).contains(&frame.seq);
        if let Some(frame) = frame_at(self.data, offset, stop, self.key).filter(fits) {
            return Some(frame);
        }
        let from = offset + 1 + NEEDLE_AHEAD;
        let searched = self.data.get(from..stop)?;
        let mut budget = SEARCH_FACTOR * (stop - offset) as u64 + SEARCH_FLOOR_BYTES;
        // Later frames have higher numbers, so the first block with a hit has the first frame.
        for block in expected >> BLOCK_BITS..=last >> BLOCK_BITS {
            let stored = self.key.stored(block << BLOCK_BITS);
            for at in memmem::find_iter(searched, &stored[BLOCK_BITS as usize / 8..]) {
                let start = from + at - NEEDLE_AHEAD;
                if stop - start < FRAME_BYTES {
                    continue;
                }
                let size = claimed_size(self.data, start);
                if size > (stop - start) as u64 {
                    continue;
                }
                budget = budget.checked_sub(size)?;
                if let Some(frame) = frame_at(self.data, start, stop, self.key).filter(fits) {
                    return Some(frame);
                }
            }
        }
        None
    }

    fn missing(&mut self, offset: usize, length: u64, expected: Option<u64>, until: Option<u64>) {
        let (first_seq, last_seq) = lost(expected, until);
        self.found.push(Walked::Gap(Gap {
            offset,
            length,
            first_seq,
            last_seq,
            what: "bytes are missing",
        }));
    }
}

fn is_before(expected: Option<u64>, until: Option<u64>) -> bool {
    matches!((expected, until), (Some(expected), Some(until)) if expected < until)
}

/// How many frames could stand in this many bytes.
fn frames_max(length: usize) -> u64 {
    (length / FRAME_BYTES) as u64
}

/// The range of lost numbers as a gap has it.
fn lost(expected: Option<u64>, until: Option<u64>) -> (Option<u64>, Option<u64>) {
    match (expected, until) {
        (Some(expected), Some(until)) if expected >= until => (None, None),
        (expected, until) => (expected, until.map(|until| until.saturating_sub(1))),
    }
}
