//! Read segments in order: frames where they verify, damage where they do not.
//!
//! One segment is in memory at a time, so memory is bounded by the longest segment file. A frame is
//! given once, even while a crash has left it both in an old segment and, copied, in the next.

use std::fmt;

use super::disk::Disk;
use super::folder::{Folder, Segment, disk_error};
use super::framing::{Frame, FrameAt, HEADER_BYTES, batch_at, frame_of};
use super::tail::{Kept, examine};
use super::walk::{Gap, Walked, walk};
use crate::Result;

/// Where a frame stands: the ordinal of its segment and the offset in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub segment: u64,
    pub offset: u64,
}

/// Bytes of a stream that are not what was written, or are not there.
///
/// `first_seq` to `last_seq` are the frames lost in it: both `None` where none is, or where nothing
/// tells which. `is_loss` is false for what was never acknowledged: a torn tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub segment: String,
    pub offset: u64,
    pub length: u64,
    pub first_seq: Option<u64>,
    pub last_seq: Option<u64>,
    pub what: &'static str,
    pub is_loss: bool,
}

impl fmt::Display for Damage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, offset, length, what, .. } = self;
        write!(out, "{segment} at {offset}, {length} bytes: {what}")?;
        let number = |seq: Option<u64>| seq.map_or("?".to_owned(), |seq| seq.to_string());
        if self.first_seq.is_some() || self.last_seq.is_some() {
            let (first, last) = (number(self.first_seq), number(self.last_seq));
            write!(out, "; frames {first} to {last} lost")?;
        }
        Ok(())
    }
}

/// What a scan meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scanned {
    Frame(Position, Frame),
    Damage(Damage),
}

impl Scanned {
    fn last_seq(&self) -> Option<u64> {
        match self {
            Self::Frame(_, frame) => Some(frame.seq),
            Self::Damage(damage) => damage.last_seq,
        }
    }
}

/// Give `see` what the segments from `start` to before `stop` hold, and what is missing between.
///
/// # Errors
///
/// The disk failed, or `see` did.
pub(crate) fn scan_range(
    disk: &dyn Disk,
    found: &Folder,
    start: usize,
    stop: usize,
    see: &mut dyn FnMut(Scanned) -> Result<()>,
) -> Result<()> {
    let mut expected = if start == 0 { Some(found.kept_from) } else { None };
    for index in start..stop {
        let segment = &found.segments[index];
        let before = index.checked_sub(1).map(|index| &found.segments[index]);
        expected = behind_passed_over(segment, expected);
        let from = expected;
        scan_segment(disk, segment, before, from, &mut |item| {
            if let Some(last_seq) = item.last_seq() {
                expected = Some(last_seq.saturating_add(1));
            }
            see(item)
        })?;
        expected = segment.next_seq.or(expected);
    }
    Ok(())
}

/// A segment's bytes, up to its end where that is known.
pub(crate) fn read_segment(disk: &dyn Disk, segment: &Segment) -> Result<Vec<u8>> {
    disk.open(&segment.path, false)
        .and_then(|file| file.read_at(0, segment.end.map_or_else(|| file.size(), Ok)?))
        .map_err(disk_error(format!("segment {}", segment.name)))
}

/// The number of a segment's first frame; its first batch tells when its header does not.
pub(crate) fn first_seq_of(segment: &Segment, data: &[u8], expected: Option<u64>) -> Option<u64> {
    match &segment.header {
        Some(header) => Some(header.first_seq),
        None => batch_at(data, HEADER_BYTES, data.len(), &segment.key)
            .map_or(expected, |batch| Some(batch.first_seq)),
    }
}

/// A segment's damaged header as damage.
pub(crate) fn header_damage(segment: &Segment) -> Option<Damage> {
    segment.header.is_none().then(|| Damage {
        segment: segment.name.clone(),
        offset: 0,
        length: segment.size.min(HEADER_BYTES as u64),
        first_seq: None,
        last_seq: None,
        what: "segment header does not verify",
        is_loss: true,
    })
}

/// A gap as damage of its segment.
pub(crate) fn gap_damage(segment: &Segment, gap: &Gap) -> Damage {
    Damage {
        segment: segment.name.clone(),
        offset: gap.offset as u64,
        length: gap.length,
        first_seq: gap.first_seq,
        last_seq: gap.last_seq,
        what: gap.what,
        is_loss: true,
    }
}

/// The loss of whole segments between two that should follow each other, if there is one.
fn missing_before(
    segment: &Segment,
    before: Option<&Segment>,
    expected: Option<u64>,
) -> Option<Damage> {
    let header = segment.header.as_ref()?;
    let before_id = before.map_or([0; 16], |before| before.key.segment_id);
    let expected = expected.filter(|expected| *expected < header.passed_from)?;
    if header.previous_id == before_id {
        return None;
    }
    let ordinal = before.map_or(1, |before| before.ordinal + 1);
    Some(Damage {
        segment: format!("{ordinal:010}"),
        offset: 0,
        length: 0,
        first_seq: Some(expected),
        last_seq: Some(header.passed_from - 1),
        what: "segments are missing",
        is_loss: true,
    })
}

/// The number that comes next, where a segment's header passes over the one expected.
fn behind_passed_over(segment: &Segment, expected: Option<u64>) -> Option<u64> {
    match (&segment.header, expected) {
        (Some(header), Some(expected)) if expected >= header.passed_from => {
            Some(expected.max(header.first_seq))
        }
        _ => expected,
    }
}

fn scan_segment(
    disk: &dyn Disk,
    segment: &Segment,
    before: Option<&Segment>,
    mut expected: Option<u64>,
    see: &mut dyn FnMut(Scanned) -> Result<()>,
) -> Result<()> {
    if let Some(missing) = missing_before(segment, before, expected) {
        see(Scanned::Damage(missing))?;
        expected = None;
    }
    if let Some(damaged) = header_damage(segment) {
        see(Scanned::Damage(damaged))?;
    }
    let data = read_segment(disk, segment)?;
    let first_seq = first_seq_of(segment, &data, expected);
    let (items, torn_at) = held(segment, &data, first_seq);
    expected = expected.or(first_seq);
    for item in items {
        match item {
            Item::Gap(gap) => {
                if let Some(last_seq) = gap.last_seq {
                    expected = Some(last_seq.saturating_add(1));
                }
                see(Scanned::Damage(gap_damage(segment, &gap)))?;
            }
            Item::Frame(frame) if expected.is_some_and(|expected| frame.seq < expected) => {}
            Item::Frame(frame) => {
                if let Some(missed) = expected.filter(|expected| frame.seq > *expected) {
                    see(Scanned::Damage(Damage {
                        segment: segment.name.clone(),
                        offset: frame.offset as u64,
                        length: 0,
                        first_seq: Some(missed),
                        last_seq: Some(frame.seq - 1),
                        what: "bytes are missing",
                        is_loss: true,
                    }))?;
                }
                let at = Position { segment: segment.ordinal, offset: frame.offset as u64 };
                see(Scanned::Frame(at, frame_of(&data, &frame)))?;
                expected = Some(frame.seq.saturating_add(1));
            }
        }
    }
    if torn_at < data.len() {
        see(Scanned::Damage(Damage {
            segment: segment.name.clone(),
            offset: torn_at as u64,
            length: (data.len() - torn_at) as u64,
            first_seq: None,
            last_seq: None,
            what: "torn tail",
            is_loss: false,
        }))?;
    }
    Ok(())
}

enum Item {
    Gap(Gap),
    Frame(FrameAt),
}

/// The frames and gaps of a segment, and where its torn tail begins.
fn held(segment: &Segment, data: &[u8], first_seq: Option<u64>) -> (Vec<Item>, usize) {
    if let Some(end) = segment.end {
        let walked = walk(data, &segment.key, end, first_seq, segment.next_seq);
        let items = walked.into_iter().filter_map(|item| match item {
            Walked::Gap(gap) => Some(Item::Gap(gap)),
            Walked::Frame(frame) => Some(Item::Frame(frame)),
            Walked::Batch(_) | Walked::Footer(_) => None,
        });
        return (items.collect(), data.len());
    }
    let tail = examine(data, &segment.key, first_seq);
    let items = tail.kept.into_iter().map(|kept| match kept {
        Kept::Gap(gap) => Item::Gap(gap),
        Kept::Durable(frame) | Kept::Survivor(frame) => Item::Frame(frame),
    });
    (items.collect(), tail.torn_at)
}
