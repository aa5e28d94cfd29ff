//! Contents: what the frames of an outbox add up to, read from a stream and kept up to date.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::frames::{Counts, Meta, read_meta};
use super::segments::Segments;
use crate::Result;
use crate::wal::{Damage, FRAME_BYTES, Frame, Position};

/// Where a pending window stands, and what its frame takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub position: Position,
    pub size: u64,
}

/// How one stream of one source goes on, and in which frame that was said last.
#[derive(Debug)]
struct Stated {
    position: Option<Value>,
    seq: u64,
}

/// What an outbox holds, frame by frame.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub pending: BTreeMap<u64, Place>,
    pub pending_bytes: u64,
    pub segments: Segments,
    pub counts: Counts,
    /// Where something that was written cannot be read any more, for people.
    pub damage: Vec<String>,
    next_epochs: HashMap<String, u64>,
    lost_since: HashMap<String, u64>,
    streams: HashMap<(String, String), Stated>,
    next_seq: Option<u64>,
    passed_to: u64,
}

impl Contents {
    /// The number the next frame gets at least.
    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq.unwrap_or(1)
    }

    /// Note a damaged part; the frames it held show as a gap in the numbers.
    pub(crate) fn note(&mut self, damage: &Damage) {
        self.next_seq = self.next_seq.or(damage.first_seq);
        // Numbers that were passed over are missing from nothing.
        let is_passed =
            damage.length == 0 && damage.last_seq.is_some_and(|last| last <= self.passed_to);
        // What was never durable is no loss: recovery put it aside.
        if damage.is_loss && !is_passed {
            self.damage.push(damage.to_string());
        }
    }

    /// Add one frame.
    pub(crate) fn read(&mut self, position: Position, frame: &Frame) -> Result<()> {
        let size = (FRAME_BYTES + frame.meta.len() + frame.payload.len()) as u64;
        self.add(position, frame.seq, size, read_meta(frame)?);
        Ok(())
    }

    /// Add a frame by its meta block.
    pub(crate) fn add(&mut self, position: Position, seq: u64, size: u64, meta: Meta) {
        self.skip_to(seq);
        self.next_seq = Some(seq.saturating_add(1));
        self.segments.write(position.segment, seq, size);
        let place = Place { position, size };
        match meta {
            Meta::Window { source, shard_id, next_epoch, position } => {
                self.counts.windows += 1;
                let known = self.next_epochs.entry(shard_id.clone()).or_default();
                *known = next_epoch.max(*known);
                self.lost_since.insert(shard_id.clone(), 0);
                self.streams.insert((source, shard_id), Stated { position, seq });
                self.keep(seq, place);
            }
            Meta::Again { .. } => {
                // Observed before, and counted as dead, unless that outbox was removed.
                if self.counts.dead > 0 {
                    self.counts.dead -= 1;
                } else {
                    self.counts.windows += 1;
                }
                self.keep(seq, place);
            }
            Meta::Carried { seq, .. } => self.keep(seq, place),
            Meta::Ack { seq, status, replayed } => {
                self.acknowledge(seq, status, replayed);
            }
            Meta::Stream { source, shard_id, next_epoch, position, lost_since } => {
                let known = self.next_epochs.entry(shard_id.clone()).or_default();
                *known = next_epoch.max(*known);
                self.lost_since.insert(shard_id.clone(), lost_since);
                self.streams.insert((source, shard_id), Stated { position, seq });
            }
            Meta::Totals { counts, .. } => {
                // What was found lost on the way here may be counted there already, or be new.
                let lost = self.counts.lost.max(counts.lost);
                self.counts = Counts { lost, ..counts };
            }
            Meta::Skipped { to } => self.pass_over(to),
        }
    }

    /// Note the end of a window; one that ended before counts once. Tells whether it was pending.
    pub(crate) fn acknowledge(&mut self, seq: u64, status: u64, replayed: bool) -> bool {
        let Some(place) = self.pending.remove(&seq) else {
            return false;
        };
        self.pending_bytes -= place.size;
        self.segments.end(place.position.segment, place.size);
        match status {
            202 => self.counts.escalated += 1,
            200..=299 => self.counts.accepted += 1,
            _ => self.counts.dead += 1,
        }
        self.counts.repeats += u64::from(replayed);
        true
    }

    /// Note that no frame from here on has a number up to this one, and that none is missing.
    pub(crate) fn pass_over(&mut self, to: u64) {
        self.passed_to = to;
        self.next_seq = Some(self.next_seq().max(to.saturating_add(1)));
    }

    /// Note the frames between the last one and this as unreadable.
    pub(crate) fn skip_to(&mut self, seq: u64) {
        let gap = self.next_seq.map_or(0, |next| seq.saturating_sub(next));
        self.next_seq = Some(seq.max(self.next_seq()));
        self.counts.lost += gap;
        for lost in self.lost_since.values_mut() {
            *lost += gap;
        }
    }

    /// What is said again of the streams that no frame from this one on says anything of.
    pub(crate) fn stated_before(&self, seq: u64) -> Vec<Meta> {
        let stale = self.streams.iter().filter(|(_, stated)| stated.seq < seq);
        let restated = stale.map(|((source, shard_id), stated)| Meta::Stream {
            source: source.clone(),
            shard_id: shard_id.clone(),
            next_epoch: self.next_epochs.get(shard_id).copied().unwrap_or(0),
            position: stated.position.clone(),
            lost_since: self.lost_since.get(shard_id).copied().unwrap_or(0),
        });
        restated.collect()
    }

    /// The counts for a compaction that keeps what follows.
    pub(crate) fn totals(&self, kept_from: u64) -> Meta {
        let compactions = self.counts.compactions + 1;
        Meta::Totals { kept_from, counts: Counts { compactions, ..self.counts } }
    }

    fn keep(&mut self, seq: u64, place: Place) {
        if let Some(before) = self.pending.insert(seq, place) {
            self.pending_bytes -= before.size;
            self.segments.end(before.position.segment, before.size);
        }
        self.pending_bytes += place.size;
        self.segments.wake(place.position.segment, place.size);
    }
}
