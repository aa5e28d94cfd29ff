//! Segments of the outbox: what each takes on disk, how much of it still waits, what stands in it.
//!
//! From this the outbox tells when old segments are worth giving up, and which windows it has to
//! carry over first.

use std::collections::BTreeMap;

#[derive(Debug, Default)]
struct Segment {
    first_seq: u64,
    size: u64,
    /// Bytes of frames that are pending windows.
    live: u64,
}

/// The oldest segments, which are to be given up: their last ordinal, and the number of the first
/// frame behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Front {
    pub last_ordinal: u64,
    pub kept_from: u64,
}

/// All segments of an outbox that hold a frame, by ordinal; the last one is written to.
#[derive(Debug, Default)]
pub(crate) struct Segments(BTreeMap<u64, Segment>);

impl Segments {
    /// Note a frame at the end of a segment.
    pub(crate) fn write(&mut self, ordinal: u64, seq: u64, size: u64) {
        let segment = self
            .0
            .entry(ordinal)
            .or_insert_with(|| Segment { first_seq: seq, ..Segment::default() });
        segment.size += size;
    }

    /// Note that so many bytes of a segment wait from now on.
    pub(crate) fn wake(&mut self, ordinal: u64, size: u64) {
        if let Some(segment) = self.0.get_mut(&ordinal) {
            segment.live += size;
        }
    }

    /// Note that so many bytes of a segment wait no longer.
    pub(crate) fn end(&mut self, ordinal: u64, size: u64) {
        if let Some(segment) = self.0.get_mut(&ordinal) {
            segment.live = segment.live.saturating_sub(size);
        }
    }

    /// Forget segments that are gone.
    pub(crate) fn drop_front(&mut self, front: Front) {
        self.0 = self.0.split_off(&(front.last_ordinal + 1));
    }

    /// The bytes in sealed segments that nothing waits for.
    pub(crate) fn dead(&self) -> u64 {
        let sealed = self.0.values().rev().skip(1);
        sealed.map(|segment| segment.size.saturating_sub(segment.live)).sum()
    }

    /// The oldest segments that can be given up at once; `None` when none is sealed.
    ///
    /// At least one, and further ones as long as half of each is dead and the bytes to be carried
    /// stay within the bound.
    pub(crate) fn front(&self, carry_bytes_max: u64) -> Option<Front> {
        let mut front = None;
        let mut live = 0;
        for ((ordinal, segment), behind) in self.0.iter().zip(self.0.values().skip(1)) {
            live += segment.live;
            let is_more = 2 * segment.live <= segment.size && live <= carry_bytes_max;
            if front.is_some() && !is_more {
                break;
            }
            front = Some(Front { last_ordinal: *ordinal, kept_from: behind.first_seq });
        }
        front
    }
}
