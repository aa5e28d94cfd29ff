//! Tell corruption from a torn tail in the segment that was written last.
//!
//! The highest `durable_offset` of any sound batch header divides it, or its footer. Below,
//! everything was durable once: what does not verify there is corruption, is reported and is never
//! cut. Above, a write may have been under way: the frames that follow without a gap survive, what
//! comes after them is the torn tail.

use super::framing::{FrameAt, HEADER_BYTES, SegmentKey};
use super::walk::{Gap, Walked, walk};

/// What is kept of a last segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Gap(Gap),
    /// Below the division.
    Durable(FrameAt),
    /// Above it.
    Survivor(FrameAt),
}

/// A last segment, taken apart: `durable_end` divides it, `torn_at` is where the torn tail begins,
/// `kept` is everything before that. `next_seq` follows the last frame that counts.
#[derive(Debug)]
pub(crate) struct Tail {
    pub durable_end: u64,
    pub torn_at: usize,
    pub kept: Vec<Kept>,
    pub next_seq: Option<u64>,
}

impl Tail {
    pub(crate) fn survivors(&self) -> impl Iterator<Item = &FrameAt> {
        self.kept.iter().filter_map(|kept| match kept {
            Kept::Survivor(frame) => Some(frame),
            _ => None,
        })
    }
}

/// Take a last segment apart; `first_seq` is from its header, `None` when that is damaged.
pub(crate) fn examine(data: &[u8], key: &SegmentKey, first_seq: Option<u64>) -> Tail {
    let items = walk(data, key, data.len() as u64, first_seq, None);
    let mut durable_end = HEADER_BYTES as u64;
    let mut deciding = 0;
    let mut next_seq = first_seq;
    for (index, item) in items.iter().enumerate() {
        match item {
            Walked::Footer(footer) => {
                (durable_end, deciding) = (footer.offset as u64, index);
                next_seq = Some(footer.next_seq);
            }
            Walked::Batch(batch) if batch.durable_offset >= durable_end => {
                (durable_end, deciding) = (batch.durable_offset, index);
                next_seq = Some(batch.first_seq);
            }
            _ => {}
        }
    }
    let mut tail = Tail {
        durable_end,
        torn_at: usize::try_from(durable_end).map_or(data.len(), |end| end.min(data.len())),
        kept: Vec::new(),
        next_seq,
    };
    for (index, item) in items.iter().enumerate() {
        // A gap of length 0 right at the division stands before the batch that tells of it.
        let is_durable = |offset: usize, end: u64| {
            (offset as u64) < durable_end || (index < deciding && end <= durable_end)
        };
        match item {
            Walked::Gap(gap) => {
                if !is_durable(gap.offset, (gap.offset as u64).saturating_add(gap.length)) {
                    break;
                }
                tail.kept.push(Kept::Gap(*gap));
            }
            Walked::Frame(frame) if is_durable(frame.offset, frame.end as u64) => {
                tail.kept.push(Kept::Durable(*frame));
            }
            Walked::Frame(frame) => {
                tail.kept.push(Kept::Survivor(*frame));
                tail.torn_at = frame.end;
                tail.next_seq = Some(frame.seq.saturating_add(1));
            }
            Walked::Footer(_) => tail.torn_at = data.len(),
            Walked::Batch(batch) if batch.frames == 0 => tail.torn_at = tail.torn_at.max(batch.end),
            Walked::Batch(_) => {}
        }
    }
    tail
}
