//! A stream of frames that survives what may happen to the process, the power and the disk.
//!
//! What `append` returned is durable. Any failure of the disk fences the stream: the state of what
//! was being written is unknown, so nothing more is written before it is opened again and recovered
//! on fresh files. Frames are numbered from 1 on, without gaps, over all segments.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::disk::{Disk, Held};
use super::folder::{BAD_SUFFIX, Folder, Segment, disk_error, lock_folder, make_folder};
use super::footer::FOOTER_BYTES;
use super::framing::{
    BATCH_BYTES, FRAME_BYTES, Frame, HEADER_BYTES, META_BYTES_MAX, NewFrame, SegmentHeader,
    frame_at, frame_of,
};
use super::recovery::{Recovered, Recovery, recover};
use super::scan::{Position, Scanned, scan_range};
use super::segment::{Writer, create_segment};
use crate::{Error, Result};

/// A batch's length is 32 bits wide; recovery may have to copy a whole segment as one batch.
const SEGMENT_BYTES_LIMIT: u64 = 1 << 30;

/// What a stream takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// A segment is closed before it grows beyond this.
    pub segment_bytes_max: u64,
    /// The longest frame, with its meta block and what frames it.
    pub frame_bytes_max: usize,
    /// A segment with frames is closed before an append when it is older.
    pub segment_age_max: Option<Duration>,
}

/// Where an appended frame went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub seq: u64,
    pub position: Position,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Fenced,
    Closed,
}

/// A stream, held by this process until it is dropped.
pub(crate) struct Stream {
    pub recovery: Recovery,
    name: String,
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    bounds: Bounds,
    lock: Option<Box<dyn Held>>,
    damaged: HashSet<String>,
    older: Vec<Segment>,
    active: Writer,
    state: State,
}

/// What a segment takes with frames of this size, a mark and its footer.
fn segment_bytes_for(frame_bytes: usize) -> u64 {
    (HEADER_BYTES + 2 * BATCH_BYTES + frame_bytes + FOOTER_BYTES) as u64
}

impl Stream {
    /// Lock a stream's folder, made when missing, recover it and open a fresh segment.
    ///
    /// # Errors
    ///
    /// `Contract` and `Newer`: bounds or segments it does not take, nothing was changed. `Locked`.
    /// `Disk` and `Full`: nothing acknowledged is lost.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        name: &str,
        bounds: Bounds,
    ) -> Result<Self> {
        let least = segment_bytes_for(bounds.frame_bytes_max);
        if !(least..=SEGMENT_BYTES_LIMIT).contains(&bounds.segment_bytes_max) {
            return Err(Error::contract(format!(
                "stream {name}: expected segments of {least} to {SEGMENT_BYTES_LIMIT} bytes, got {}",
                bounds.segment_bytes_max
            )));
        }
        let what = format!("stream {name}");
        make_folder(disk.as_ref(), folder).map_err(disk_error(what.clone()))?;
        let lock = lock_folder(disk.as_ref(), folder, &what)?;
        let Recovered { older, active, recovery } = recover(disk.as_ref(), folder, name)?;
        let damaged = recovery.damage.iter().map(|each| each.segment.clone()).collect();
        Ok(Self {
            recovery,
            name: name.to_owned(),
            disk,
            folder: folder.to_path_buf(),
            bounds,
            lock: Some(lock),
            damaged,
            older,
            active,
            state: State::Open,
        })
    }

    /// The number of the frame to be appended next.
    pub(crate) fn next_seq(&self) -> u64 {
        self.active.next_seq
    }

    /// Whether a failure keeps the stream from writing.
    pub(crate) fn is_fenced(&self) -> bool {
        self.state == State::Fenced
    }

    /// Write frames as one batch and return where each went, once all are durable.
    ///
    /// # Errors
    ///
    /// `Contract`, `Fenced` and `Full`: nothing was written. `Disk`: any first part of the batch may
    /// or may not survive, and the stream is fenced.
    pub(crate) fn append(&mut self, frames: &[NewFrame]) -> Result<Vec<Placed>> {
        if frames.is_empty() {
            return Ok(Vec::new());
        }
        let size = self.check(frames)?;
        self.writing(|stream| {
            stream.rotate_for(size)?;
            if !stream.active.finds_room(size)? {
                return Err(Error::Full {
                    message: format!(
                        "stream {}: expected room for {size} bytes, got a full disk",
                        stream.name
                    ),
                });
            }
            let first_seq = stream.active.next_seq;
            let offsets = stream.active.append(frames)?;
            let segment = stream.active.header.ordinal;
            let placed = (first_seq..)
                .zip(offsets)
                .map(|(seq, offset)| Placed { seq, position: Position { segment, offset } });
            Ok(placed.collect())
        })
    }

    /// Make it durable that what was appended is, unless that stands on disk already.
    pub(crate) fn mark(&mut self) -> Result<()> {
        self.writing(|stream| stream.active.mark())
    }

    /// Close the active segment if it holds a frame and is older than it may be.
    pub(crate) fn rotate_aged(&mut self) -> Result<()> {
        if self.state == State::Open && self.is_aged()? {
            self.writing(|stream| stream.rotate(0, 0, false))?;
        }
        Ok(())
    }

    /// Go on with a later number. Those before it are missed by every scan where they were given; else
    /// they are passed over, the fresh header says so, and no scan misses them. A number that is not
    /// later changes nothing.
    pub(crate) fn skip_to(&mut self, seq: u64, were_given: bool) -> Result<()> {
        if seq <= self.next_seq() {
            return Ok(());
        }
        self.writing(|stream| stream.rotate(seq, 0, were_given))
    }

    /// Remove the segments that hold only frames before `seq`.
    ///
    /// The stream itself must say durably that they are not needed: the frame `cursor_seq` does, and
    /// is kept itself. The active segment stays, and segments known as damaged are set aside as
    /// `NAME.bad`.
    ///
    /// # Errors
    ///
    /// `Contract`: there is no such cursor, nothing was done. Otherwise as for `append`; whatever was
    /// removed was not needed, and recovery goes on with the rest.
    pub(crate) fn retain_from(&mut self, seq: u64, cursor_seq: u64) -> Result<()> {
        if cursor_seq < seq || cursor_seq >= self.next_seq() {
            return Err(Error::contract(format!(
                "stream {}: expected a cursor that was appended, from {seq} to {}, got {cursor_seq}",
                self.name,
                self.next_seq() - 1
            )));
        }
        let starts_by = |segment: &Segment| {
            let header = segment.header.as_ref();
            header.map(|header| header.first_seq).filter(|first| *first <= seq)
        };
        let segments = self.segments();
        let Some(count) = (1..segments.len()).rev().find(|at| starts_by(&segments[*at]).is_some())
        else {
            return Ok(());
        };
        let kept_from = starts_by(&segments[count]).unwrap_or(1);
        self.writing(|stream| {
            stream.rotate(0, kept_from, false)?;
            let removed: Vec<Segment> = stream.older.drain(..count).collect();
            stream.remove(&removed)
        })
    }

    fn remove(&self, removed: &[Segment]) -> Result<()> {
        let failed = |error| disk_error(format!("stream {}", self.name))(error);
        for segment in removed.iter().filter(|each| self.damaged.contains(&each.name)) {
            let aside = self.folder.join(format!("{}{BAD_SUFFIX}", segment.name));
            self.disk.rename(&segment.path, &aside).map_err(failed)?;
        }
        for segment in removed.iter().filter(|each| !self.damaged.contains(&each.name)) {
            self.disk.unlink(&segment.path).map_err(failed)?;
        }
        Ok(())
    }

    /// The frame at a position.
    ///
    /// # Errors
    ///
    /// `Damaged`: what stands there does not verify, or nothing does. `Disk`; fences nothing.
    pub(crate) fn read(&mut self, position: Position) -> Result<Frame> {
        let Position { segment: ordinal, offset } = position;
        let place = format!("stream {}, segment {ordinal}, offset {offset}", self.name);
        let damaged =
            || Error::Damaged { message: format!("{place}: expected a frame, got something else") };
        let active = self.active.segment();
        let mut segments = self.older.iter().chain([&active]);
        let segment = segments.find(|each| each.ordinal == ordinal).ok_or_else(damaged)?;
        let file = self.disk.open(&segment.path, false);
        let frame_bytes = |head: &[u8]| -> u64 {
            if head.len() < FRAME_BYTES { 0 } else { super::framing::claimed_size(head, 0) }
        };
        let end = segment.end.unwrap_or(segment.size);
        let data = file
            .and_then(|file| {
                let head = file.read_at(offset, FRAME_BYTES as u64)?;
                // A length is a claim until the checksum agrees: never beyond what is there.
                let size = frame_bytes(&head).min(end.saturating_sub(offset));
                file.read_at(offset, size)
            })
            .map_err(disk_error(place.clone()))?;
        if let Some(frame) = frame_at(&data, 0, data.len(), &segment.key) {
            return Ok(frame_of(&data, &frame));
        }
        self.damaged.insert(segment.name.clone());
        Err(damaged())
    }

    /// Give `see` every durable frame with its position, and damage, in order; one segment at a time
    /// is in memory.
    pub(crate) fn scan(&mut self, see: &mut dyn FnMut(Scanned) -> Result<()>) -> Result<()> {
        let found = Folder {
            segments: self.segments(),
            kept_from: self.active.header.kept_from,
            removable: Vec::new(),
            unfinished: Vec::new(),
        };
        let damaged = &mut self.damaged;
        scan_range(self.disk.as_ref(), &found, 0, found.segments.len(), &mut |item| {
            if let Scanned::Damage(damage) = &item {
                damaged.insert(damage.segment.clone());
            }
            see(item)
        })
    }

    /// Mark what was appended, end the segment and let the stream go. Idempotent.
    ///
    /// The end of the last segment is written into the header of an empty one after it: that this
    /// segment was cut short later is noticed.
    pub(crate) fn close(&mut self) -> Result<()> {
        let mut closed = Ok(());
        if self.state == State::Open && self.active.has_frames() {
            // On a full disk without: every frame is durable, and opening makes one.
            closed = match self.writing(|stream| stream.rotate(0, 0, false)) {
                Err(Error::Full { .. }) => Ok(()),
                other => other,
            };
        }
        self.state = State::Closed;
        self.lock = None;
        closed
    }

    /// Fence the stream unless what is done succeeds or found no room.
    fn writing<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let got = match self.state {
            State::Open => {
                // Also where it does not return: what was being written is in doubt then.
                self.state = State::Fenced;
                let done = act(self);
                if matches!(done, Ok(_) | Err(Error::Full { .. })) {
                    self.state = State::Open;
                }
                return done;
            }
            State::Fenced => "a fenced one",
            State::Closed => "a closed one",
        };
        Err(Error::Fenced {
            message: format!("stream {}: expected an open stream, got {got}", self.name),
        })
    }

    fn check(&self, frames: &[NewFrame]) -> Result<usize> {
        let frame_bytes_max = self.bounds.frame_bytes_max;
        for frame in frames {
            let (size, meta) = (frame.size(), frame.meta.len());
            if size > frame_bytes_max || meta > META_BYTES_MAX {
                return Err(Error::contract(format!(
                    "stream {}: expected a frame of at most {frame_bytes_max} bytes with a meta \
                     block of at most {META_BYTES_MAX}, got {size} bytes with {meta}",
                    self.name
                )));
            }
        }
        let size = BATCH_BYTES + frames.iter().map(NewFrame::size).sum::<usize>();
        let batch_bytes_max =
            self.bounds.segment_bytes_max - segment_bytes_for(0) + BATCH_BYTES as u64;
        if size as u64 > batch_bytes_max {
            return Err(Error::contract(format!(
                "stream {}: expected a batch of at most {batch_bytes_max} bytes, got {size}",
                self.name
            )));
        }
        Ok(size)
    }

    /// Make room for a batch of this size, a mark behind it and the segment's footer.
    fn rotate_for(&mut self, size: usize) -> Result<()> {
        let end = self.active.end + (size + BATCH_BYTES + FOOTER_BYTES) as u64;
        let is_full = self.active.has_frames() && end > self.bounds.segment_bytes_max;
        if is_full || self.active.is_sealed || self.is_aged()? {
            self.rotate(0, 0, false)?;
        }
        Ok(())
    }

    fn is_aged(&self) -> Result<bool> {
        let Some(age_max) = self.bounds.segment_age_max.filter(|_| self.active.has_frames()) else {
            return Ok(false);
        };
        let failed = disk_error(format!("stream {}", self.name));
        let (now_ns, _) = self.disk.stamp().map_err(failed)?;
        let age_ns = now_ns.saturating_sub(self.active.header.created_ns);
        Ok(u128::from(age_ns) > age_max.as_nanos())
    }

    fn rotate(&mut self, first_seq: u64, kept_from: u64, were_given: bool) -> Result<()> {
        let failed = disk_error(format!("stream {}", self.name));
        let (created_ns, segment_id) = self.disk.stamp().map_err(failed)?;
        self.active.seal(created_ns)?;
        let old = &self.active;
        let first_seq = first_seq.max(old.next_seq);
        let header = SegmentHeader {
            stream: self.name.clone(),
            ordinal: old.header.ordinal + 1,
            segment_id,
            first_seq,
            previous_id: old.header.segment_id,
            previous_end: old.end,
            created_ns,
            kept_from: kept_from.max(old.header.kept_from),
            passed_from: if were_given { first_seq } else { old.next_seq },
        };
        let fresh = create_segment(self.disk.as_ref(), &self.folder, header, &[])?;
        self.older.push(self.active.segment());
        self.active = fresh;
        Ok(())
    }

    fn segments(&self) -> Vec<Segment> {
        let mut segments = self.older.clone();
        segments.push(self.active.segment());
        segments
    }
}
