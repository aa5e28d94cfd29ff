//! The stream of an outbox with what it adds up to: what one thread at a time does to both.

use std::path::Path;
use std::sync::Arc;

use super::contents::Contents;
use super::deadletters::DeadLetters;
use super::frames::Meta;
use super::options::OutboxOptions;
use crate::wal::disk::{Disk, now_ns};
use crate::wal::{Bounds, FRAME_BYTES, Frame, NewFrame, Scanned, Stream};
use crate::{Error, Result};

/// The stream, and its folder in the data folder: where the agent has its own.
const STREAM: &str = "outbox";
/// A record of 64 KiB and a meta block of as many, and some.
pub(crate) const FRAME_BYTES_MAX: usize = 256 << 10;
/// So many acknowledgements are written by themselves, without waiting for a window.
const ACKS_MAX: usize = 256;
/// What one append of a compaction holds: producers wait for it as for a batch of their own.
const PIECE_BYTES_MAX: u64 = 256 << 10;
const PIECE_STREAMS_MAX: usize = 512;
/// Of what a segment holds at the most. Below, a compaction saves less than its syncs cost.
const DEAD_SEGMENTS_MIN: u64 = 2;
/// How far the dead letters may be ahead, as where the outbox was removed and they stayed: a thousand
/// frames a second for five centuries. A number beyond was never given.
const AHEAD_MAX: u64 = 1 << 44;

pub(crate) struct Log {
    pub contents: Contents,
    pub letters: DeadLetters,
    /// Batches written since it was opened.
    pub syncs: u64,
    stream: Stream,
    acks: Vec<Meta>,
    segment_bytes_max: u64,
    is_compacting: bool,
}

impl Log {
    /// Lock, recover and read an outbox, and pass over every number that may have been seen.
    pub(crate) fn open(disk: Arc<dyn Disk>, data: &Path, options: &OutboxOptions) -> Result<Self> {
        let bounds = Bounds {
            segment_bytes_max: options.segment_bytes_max,
            frame_bytes_max: FRAME_BYTES_MAX,
            segment_age_max: options.segment_age_max,
        };
        let mut stream = Stream::open(Arc::clone(&disk), &data.join(STREAM), STREAM, bounds)?;
        let mut contents = Contents::default();
        stream.scan(&mut |item| match item {
            Scanned::Frame(position, frame) => contents.read(position, &frame),
            Scanned::Damage(damage) => {
                contents.note(&damage);
                Ok(())
            }
        })?;
        contents.skip_to(stream.next_seq());
        let letter_seq_max = contents.next_seq().saturating_add(AHEAD_MAX);
        let letters = DeadLetters::open(disk, data, &contents.pending, letter_seq_max)?;
        contents.damage.extend(letters.damage.iter().cloned());
        // An outbox may have been removed while its dead letters stayed.
        let (letter_seq, were_given) = (letters.last_seq, letters.last_seq >= stream.next_seq());
        // A batch that was damaged after its sync looks like a torn one, and its windows may have been
        // sent: each had as many bytes as a frame has at least.
        let torn_seq = stream.next_seq() - 1 + stream.recovery.torn_bytes / FRAME_BYTES as u64;
        let seen = torn_seq.max(letter_seq);
        let mut log = Self {
            contents,
            letters,
            syncs: 0,
            stream,
            acks: Vec::new(),
            segment_bytes_max: options.segment_bytes_max,
            is_compacting: true,
        };
        if seen >= log.contents.next_seq() {
            // This frame first: numbers that are missing without it would be a loss.
            log.write(&[(Meta::Skipped { to: seen }, now_ns(), Vec::new())])?;
        }
        let next_seq = log.contents.next_seq();
        log.stream.skip_to(next_seq, were_given)?;
        Ok(log)
    }

    pub(crate) fn is_fenced(&self) -> bool {
        self.stream.is_fenced()
    }

    /// Whether acknowledgements wait to be written.
    pub(crate) fn has_acks(&self) -> bool {
        !self.acks.is_empty()
    }

    /// Write windows as one batch, with the acknowledgements that wait in front; return the number
    /// of each.
    pub(crate) fn write_windows(&mut self, windows: Vec<(Meta, NewFrame)>) -> Result<Vec<u64>> {
        let acks = std::mem::take(&mut self.acks);
        let written = self.append(&acks, windows);
        if written.is_err() {
            // Where there was no room they are tried again, else closing says that they are not kept.
            self.acks = acks;
        }
        written
    }

    /// Note the final answer to a window: its acknowledgement is written with what comes next.
    ///
    /// Tells how many bytes wait no longer, `None` where it does not wait. Where nothing is written
    /// any more it is an error: the window is sent again by the next opening.
    pub(crate) fn acknowledge(
        &mut self,
        seq: u64,
        status: u16,
        replayed: bool,
    ) -> Result<Option<u64>> {
        let size = self.contents.pending.get(&seq).map(|place| place.size);
        let status = u64::from(status);
        if !self.contents.acknowledge(seq, status, replayed) {
            return Ok(None);
        }
        self.acks.push(Meta::Ack { seq, status, replayed });
        if self.is_fenced() {
            return Err(self.acks_left());
        }
        if self.acks.len() >= ACKS_MAX {
            match self.flush_acks() {
                // They wait for room.
                Err(Error::Full { .. }) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(size)
    }

    /// Write the acknowledgements that wait.
    pub(crate) fn flush_acks(&mut self) -> Result<()> {
        if self.acks.is_empty() {
            return Ok(());
        }
        self.write_windows(Vec::new()).map(drop)
    }

    /// The frame of a pending window; `None` where none waits under that number.
    pub(crate) fn read(&mut self, seq: u64) -> Result<Option<Frame>> {
        let Some(place) = self.contents.pending.get(&seq) else {
            return Ok(None);
        };
        self.stream.read(place.position).map(Some)
    }

    pub(crate) fn mark(&mut self) -> Result<()> {
        self.stream.mark()
    }

    pub(crate) fn rotate_aged(&mut self) -> Result<()> {
        self.stream.rotate_aged()
    }

    /// Whether enough is dead that the oldest segments are worth giving up.
    pub(crate) fn is_compaction_due(&self) -> bool {
        let dead_min = DEAD_SEGMENTS_MIN * self.segment_bytes_max;
        self.is_compacting
            && self.contents.segments.dead() >= dead_min.max(self.contents.pending_bytes)
    }

    /// Give up the oldest segments: copy what waits there, state its streams again, write the
    /// totals, which are the cursor, and remove the segments. A crash in between leaves both, and
    /// reading them gives the same as either.
    pub(crate) fn compact(&mut self) -> Result<()> {
        let done = self.compact_once();
        match done {
            // A window that waits cannot be read: its segment is evidence, and stays.
            Err(Error::Damaged { .. }) => self.is_compacting = false,
            // What was copied is there twice; another pass follows when there is room.
            Err(Error::Full { .. }) | Ok(()) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn compact_once(&mut self) -> Result<()> {
        let Some(front) = self.contents.segments.front(self.segment_bytes_max) else {
            return Ok(());
        };
        let waiting = self.contents.pending.iter();
        let carried: Vec<(u64, u64)> = waiting
            .filter(|(_, place)| place.position.segment <= front.last_ordinal)
            .map(|(seq, place)| (*seq, place.size))
            .collect();
        let mut piece = Vec::new();
        let mut size = 0;
        for (seq, bytes) in carried {
            piece.push(seq);
            size += bytes;
            if size >= PIECE_BYTES_MAX {
                self.carry(&std::mem::take(&mut piece))?;
                size = 0;
            }
        }
        self.carry(&piece)?;
        for stale in self.contents.stated_before(front.kept_from).chunks(PIECE_STREAMS_MAX) {
            let now = now_ns();
            let stated = stale.iter().map(|meta| (meta.clone(), now, Vec::new()));
            self.write(&stated.collect::<Vec<_>>())?;
        }
        self.flush_acks()?;
        let totals = self.contents.totals(front.kept_from);
        self.write(&[(totals, now_ns(), Vec::new())])?;
        let cursor_seq = self.stream.next_seq() - 1;
        self.stream.retain_from(front.kept_from, cursor_seq)?;
        self.contents.segments.drop_front(front);
        Ok(())
    }

    /// Copy windows that wait behind everything else, under their own numbers and times.
    fn carry(&mut self, piece: &[u64]) -> Result<()> {
        let mut copies = Vec::new();
        for seq in piece {
            let Some(frame) = self.read(*seq)? else {
                continue;
            };
            let (shard_id, next_epoch) = match super::frames::read_meta(&frame)? {
                Meta::Window { shard_id, next_epoch, .. }
                | Meta::Again { shard_id, next_epoch, .. }
                | Meta::Carried { shard_id, next_epoch, .. } => (shard_id, next_epoch),
                _ => {
                    return Err(Error::Damaged {
                        message: format!("outbox frame {seq}: expected a window, got another"),
                    });
                }
            };
            let meta = Meta::Carried { seq: *seq, shard_id, next_epoch };
            copies.push((meta, frame.received_ns, frame.payload));
        }
        self.write(&copies)
    }

    fn write(&mut self, frames: &[(Meta, u64, Vec<u8>)]) -> Result<()> {
        let frames = frames
            .iter()
            .map(|(meta, received_ns, payload)| (meta.clone(), meta.frame(*received_ns, payload)));
        self.append(&[], frames.collect()).map(drop)
    }

    /// Append acknowledgements and frames, in this order, and note what they add up to.
    fn append(&mut self, acks: &[Meta], frames: Vec<(Meta, NewFrame)>) -> Result<Vec<u64>> {
        let now = now_ns();
        let (metas, new): (Vec<Meta>, Vec<NewFrame>) = frames.into_iter().unzip();
        let batch: Vec<NewFrame> = acks.iter().map(|ack| ack.frame(now, b"")).chain(new).collect();
        let placed = self.stream.append(&batch)?;
        self.syncs += u64::from(!placed.is_empty());
        let metas = acks.iter().cloned().chain(metas);
        for ((meta, frame), at) in metas.zip(&batch).zip(&placed) {
            self.contents.add(at.position, at.seq, frame.size() as u64, meta);
        }
        Ok(placed[acks.len()..].iter().map(|at| at.seq).collect())
    }

    /// Make the acknowledgements durable and let the folder go.
    pub(crate) fn close(&mut self) -> Result<()> {
        let written = match self.is_fenced() {
            true if self.acks.is_empty() => Ok(()),
            true => Err(self.acks_left()),
            false => self.flush_acks(),
        };
        written.and(self.stream.close())
    }

    fn acks_left(&self) -> Error {
        Error::Fenced {
            message: format!(
                "outbox: expected {} acknowledgements on disk, got an earlier failure: their windows \
                 are sent again",
                self.acks.len()
            ),
        }
    }
}
