//! Recover a stream: one way for a crash, a power loss and a fence.
//!
//! The steps, in an order in which a crash between any two leaves what the next recovery finds:
//!
//! 1. Remove files that never got their name.
//! 2. Read the last segment and tell corruption from a torn tail.
//! 3. Keep the torn tail as `NAME.cut`, durable.
//! 4. Make the fresh segment, holding a copy of the frames that survived above the durable end, and
//!    give it its name. Bytes read from the page cache may never have reached the disk, so nothing is
//!    served from them before they are copied and synced.
//! 5. Cut the old segment to its durable end, and remove segments that hold no frame, or only such as
//!    a retention was about to remove.

use std::io;
use std::path::Path;

use super::disk::Disk;
use super::folder::{CUT_SUFFIX, Folder, NEW_SUFFIX, Segment, disk_error, read_folder};
use super::framing::{NewFrame, SegmentHeader, SegmentId, frame_of};
use super::scan::{
    Damage, Scanned, first_seq_of, gap_damage, header_damage, read_segment, scan_range,
};
use super::segment::{Writer, create_segment};
use super::tail::{Kept, examine};
use crate::{Error, Result};

/// What opening a stream found. `torn_bytes` are kept in a file beside the segment they stood in;
/// `damage` is what was seen on the way, a scan sees all of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recovery {
    pub torn_bytes: u64,
    pub damage: Vec<Damage>,
}

/// A stream ready to be written to: the segments before the fresh one, and its writer.
pub(crate) struct Recovered {
    pub older: Vec<Segment>,
    pub active: Writer,
    pub recovery: Recovery,
}

/// What is to be done about the last segment, and what was seen of it. `passed_from` is of a segment
/// that is passed over itself: what it says goes on to be said.
struct Plan {
    previous_id: SegmentId,
    previous_end: u64,
    passed_from: Option<u64>,
    next_seq: u64,
    copied: Vec<NewFrame>,
    torn: Vec<u8>,
    damage: Vec<Damage>,
}

/// Make a stream's folder sound and open a fresh segment in it. The caller holds its lock.
///
/// # Errors
///
/// A segment is another stream's, or of a format this release does not read: nothing was changed. Or
/// the disk failed: what was acknowledged is where it was, and recovering again starts over.
pub(crate) fn recover(disk: &dyn Disk, folder: &Path, stream: &str) -> Result<Recovered> {
    let place = || format!("stream {stream}");
    let found = read_folder(disk, folder, stream)?;
    let mut damage = damage_between(disk, &found)?;
    for path in &found.unfinished {
        disk.unlink(path).map_err(disk_error(place()))?;
    }
    let last = found.segments.last();
    let plan = make_plan(disk, &found)?;
    if let (Some(last), false) = (last, plan.torn.is_empty()) {
        keep_torn(disk, folder, last, &plan.torn).map_err(disk_error(place()))?;
    }
    let (created_ns, segment_id) = disk.stamp().map_err(disk_error(place()))?;
    let first_seq = plan.next_seq.saturating_sub(plan.copied.len() as u64);
    let header = SegmentHeader {
        stream: stream.to_owned(),
        ordinal: last.map_or(1, |last| last.ordinal + 1),
        segment_id,
        first_seq,
        previous_id: plan.previous_id,
        previous_end: plan.previous_end,
        created_ns,
        kept_from: found.kept_from,
        passed_from: plan.passed_from.unwrap_or(first_seq),
    };
    let active = create_segment(disk, folder, header, &plan.copied)?;
    let older = tidy(disk, folder, stream, &segment_id)?;
    damage.extend(plan.damage);
    let torn_bytes = plan.torn.len() as u64;
    Ok(Recovered { older, active, recovery: Recovery { torn_bytes, damage } })
}

fn make_plan(disk: &dyn Disk, found: &Folder) -> Result<Plan> {
    let Some(last) = found.segments.last() else {
        return Ok(Plan {
            previous_id: [0; 16],
            previous_end: 0,
            passed_from: None,
            next_seq: 1,
            copied: Vec::new(),
            torn: Vec::new(),
            damage: Vec::new(),
        });
    };
    let data = read_segment(disk, last)?;
    let expected = match last.header {
        Some(_) => None,
        None => Some(next_seq_after(disk, found)?),
    };
    let tail = examine(&data, &last.key, first_seq_of(last, &data, expected));
    let mut damage: Vec<Damage> = header_damage(last).into_iter().collect();
    damage.extend(tail.kept.iter().filter_map(|kept| match kept {
        Kept::Gap(gap) => Some(gap_damage(last, gap)),
        _ => None,
    }));
    let next_seq = tail.next_seq.unwrap_or(1).max(expected.unwrap_or(1));
    let copied = tail
        .survivors()
        // What an older segment still holds too, because a crash came before it was cut, is not new.
        .filter(|survivor| expected.is_none_or(|expected| survivor.seq >= expected))
        .map(|survivor| {
            let frame = frame_of(&data, survivor);
            NewFrame { received_ns: frame.received_ns, meta: frame.meta, payload: frame.payload }
        })
        .collect();
    // A segment without a frame or damage below its durable end is passed over and removed.
    let holds_nothing = tail.kept.len() == tail.survivors().count();
    let passed = last.header.as_ref().filter(|_| holds_nothing);
    Ok(Plan {
        previous_id: passed.map_or(last.key.segment_id, |header| header.previous_id),
        previous_end: passed.map_or(tail.durable_end, |header| header.previous_end),
        passed_from: passed.map(|header| header.passed_from),
        next_seq,
        copied,
        torn: data[tail.torn_at..].to_vec(),
        damage,
    })
}

/// The number after all segments but the last, for where its damaged header is silent.
fn next_seq_after(disk: &dyn Disk, found: &Folder) -> Result<u64> {
    let stop = found.segments.len() - 1;
    let older = &found.segments[..stop];
    let start = older.iter().rposition(|segment| segment.header.is_some()).unwrap_or(0);
    let header = older.get(start).and_then(|segment| segment.header.as_ref());
    let mut next_seq = header.map_or(found.kept_from, |header| header.first_seq);
    scan_range(disk, found, start, stop, &mut |item| {
        let last_seq = match &item {
            Scanned::Frame(_, frame) => Some(frame.seq),
            Scanned::Damage(damage) => damage.last_seq,
        };
        if let Some(last_seq) = last_seq {
            next_seq = next_seq.max(last_seq.saturating_add(1));
        }
        Ok(())
    })?;
    Ok(next_seq)
}

/// What is wrong with the older segments as far as names, lengths and headers tell. Only where
/// something is wrong segments are read, to tell which frames are lost.
fn damage_between(disk: &dyn Disk, found: &Folder) -> Result<Vec<Damage>> {
    let mut damage = Vec::new();
    let Some(last) = found.segments.last() else {
        return Ok(damage);
    };
    let mut start = 0;
    while start < found.segments.len() {
        let mut stop = start;
        while stop < found.segments.len() && is_suspect(found, stop) {
            stop += 1;
        }
        scan_range(disk, found, start, stop, &mut |item| {
            if let Scanned::Damage(seen) = item
                && seen.segment != last.name
            {
                damage.push(seen);
            }
            Ok(())
        })?;
        start = stop.max(start + 1);
    }
    Ok(damage)
}

fn is_suspect(found: &Folder, index: usize) -> bool {
    let segment = &found.segments[index];
    let Some(header) = &segment.header else {
        return true;
    };
    if segment.end.is_some_and(|end| segment.size < end) {
        return true;
    }
    if index == 0 && header.first_seq > found.kept_from {
        return true;
    }
    let is_after_a_break = index > 0 && found.segments[index - 1].end.is_none();
    is_after_a_break || (segment.end.is_none() && index + 1 < found.segments.len())
}

/// Make a torn tail durable in a file of its own.
fn keep_torn(disk: &dyn Disk, folder: &Path, segment: &Segment, torn: &[u8]) -> io::Result<()> {
    let path = folder.join(format!("{}{CUT_SUFFIX}", segment.name));
    let unfinished = folder.join(format!("{}{CUT_SUFFIX}{NEW_SUFFIX}", segment.name));
    let file = disk.create(&unfinished)?;
    file.write_at(0, torn)?;
    file.datasync()?;
    disk.rename(&unfinished, &path)?;
    disk.sync_dir(folder)
}

/// Cut off what is superseded and return the segments before the fresh one.
fn tidy(disk: &dyn Disk, folder: &Path, stream: &str, fresh: &SegmentId) -> Result<Vec<Segment>> {
    let mut found = read_folder(disk, folder, stream)?;
    let place = |error: io::Error| -> Error { disk_error(format!("stream {stream}"))(error) };
    for segment in &found.segments {
        if let Some(end) = segment.end.filter(|end| segment.size > *end) {
            let file = disk.open(&segment.path, true).map_err(place)?;
            file.truncate(end).map_err(place)?;
            file.datasync().map_err(place)?;
        }
    }
    for path in &found.removable {
        disk.unlink(path).map_err(place)?;
    }
    found.segments.retain(|segment| segment.key.segment_id != *fresh);
    Ok(found.segments)
}
