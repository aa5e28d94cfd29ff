//! Group commit: what many threads append together is one write and one `fdatasync`.
//!
//! Whoever comes first writes, for everyone who came meanwhile; the others wait for their numbers,
//! or for why their windows are not on disk. One batch is on its way to the disk at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::frames::Meta;
use super::locked;
use super::log::Log;
use super::options::OutboxOptions;
use crate::wal::NewFrame;
use crate::{Error, Result};

/// Of one call and of one batch: written in milliseconds, and a few of them fit into memory.
const BATCH_RECORDS_MAX: usize = 4_096;
const BATCH_BYTES_MAX: usize = 1 << 20;
/// What may wait for a batch; beyond, appending waits.
const QUEUE_RECORDS_MAX: usize = 4 * BATCH_RECORDS_MAX;
const QUEUE_BYTES_MAX: usize = 16 * BATCH_BYTES_MAX;
/// The longest path there is; with a stream's name it fits into a meta block.
pub(crate) const SOURCE_BYTES_MAX: usize = 4_096;

type Windows = Vec<(Meta, NewFrame)>;

struct Entry {
    ticket: u64,
    windows: Windows,
    bytes: usize,
}

#[derive(Default)]
struct Queue {
    entries: VecDeque<Entry>,
    /// Of the entries.
    records: usize,
    bytes: usize,
    /// Of what waits for an answer, the entries included.
    held_records: usize,
    held_bytes: u64,
    next_ticket: u64,
    results: HashMap<u64, Result<Vec<u64>>>,
    is_writing: bool,
    is_closed: bool,
    /// Something was written that nothing behind it marks yet.
    is_restless: bool,
}

/// The queue of appends.
pub(crate) struct Commits {
    queue: Mutex<Queue>,
    changed: Condvar,
    options: OutboxOptions,
}

impl Commits {
    pub(crate) fn new(options: OutboxOptions, held_records: usize, held_bytes: u64) -> Self {
        let queue = Queue { held_records, held_bytes, is_restless: true, ..Queue::default() };
        Self { queue: Mutex::new(queue), changed: Condvar::new(), options }
    }

    /// Queue windows, write them with what else waits, and return their numbers.
    pub(crate) fn append(&self, log: &Mutex<Log>, windows: Windows) -> Result<Vec<u64>> {
        let records = windows.len();
        let bytes = windows.iter().map(|(_, frame)| frame.size()).sum();
        if records > BATCH_RECORDS_MAX || bytes > BATCH_BYTES_MAX {
            return Err(Error::contract(format!(
                "outbox: expected at most {BATCH_RECORDS_MAX} records of {BATCH_BYTES_MAX} bytes in \
                 one call, got {records} of {bytes}"
            )));
        }
        let mut queue = locked(&self.queue);
        while !queue.is_closed
            && (queue.records >= QUEUE_RECORDS_MAX || queue.bytes >= QUEUE_BYTES_MAX)
        {
            queue = self.wait(queue);
        }
        self.check(&queue, records)?;
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.records += records;
        queue.bytes += bytes;
        queue.held_records += records;
        queue.held_bytes += bytes as u64;
        queue.entries.push_back(Entry { ticket, windows, bytes });
        loop {
            if let Some(result) = queue.results.remove(&ticket) {
                return result;
            }
            if queue.is_writing {
                queue = self.wait(queue);
            } else {
                queue = self.write(log, queue);
            }
        }
    }

    fn check(&self, queue: &Queue, records: usize) -> Result<()> {
        if queue.is_closed {
            return Err(Error::Fenced {
                message: "outbox: expected an open one, got a closed one".to_owned(),
            });
        }
        let OutboxOptions { records_max, bytes_max, .. } = self.options;
        if queue.held_records + records > records_max || queue.held_bytes >= bytes_max {
            return Err(Error::Full {
                message: format!(
                    "outbox: expected at most {records_max} windows and {bytes_max} bytes to wait, \
                     got {} and {} with {records} more",
                    queue.held_records, queue.held_bytes
                ),
            });
        }
        Ok(())
    }

    /// Write the next batch for everyone in it.
    fn write<'a>(
        &'a self,
        log: &Mutex<Log>,
        mut queue: MutexGuard<'a, Queue>,
    ) -> MutexGuard<'a, Queue> {
        queue.is_writing = true;
        let mut tickets = Vec::new();
        let mut windows = Vec::new();
        let mut bytes = 0;
        while let Some(entry) = queue.entries.front() {
            let fits = windows.len() + entry.windows.len() <= BATCH_RECORDS_MAX
                && bytes + entry.bytes <= BATCH_BYTES_MAX;
            if !windows.is_empty() && !fits {
                break;
            }
            let Some(entry) = queue.entries.pop_front() else { break };
            tickets.push((entry.ticket, entry.windows.len(), entry.bytes));
            bytes += entry.bytes;
            windows.extend(entry.windows);
        }
        queue.records -= windows.len();
        queue.bytes -= bytes;
        drop(queue);
        // Set for everyone if the write should not return: nobody waits for ever.
        let mut ending = Ending { commits: self, tickets, written: None };
        ending.written = Some(locked(log).write_windows(windows));
        drop(ending);
        locked(&self.queue)
    }

    fn settle(&self, tickets: &[(u64, usize, usize)], written: Result<Vec<u64>>) {
        let mut queue = locked(&self.queue);
        let mut rest = match &written {
            Ok(seqs) => seqs.as_slice(),
            Err(_) => &[],
        };
        for (ticket, records, bytes) in tickets {
            let result = match &written {
                Ok(_) => {
                    let (own, others) = rest.split_at(*records);
                    rest = others;
                    Ok(own.to_vec())
                }
                Err(error) => {
                    queue.held_records -= records;
                    queue.held_bytes -= *bytes as u64;
                    Err(error.clone())
                }
            };
            queue.results.insert(*ticket, result);
        }
        queue.is_writing = false;
        queue.is_restless = true;
        drop(queue);
        self.changed.notify_all();
    }

    /// Note that so much waits no longer.
    pub(crate) fn release(&self, records: usize, bytes: u64) {
        let mut queue = locked(&self.queue);
        queue.held_records = queue.held_records.saturating_sub(records);
        queue.held_bytes = queue.held_bytes.saturating_sub(bytes);
        queue.is_restless = true;
        drop(queue);
        self.changed.notify_all();
    }

    /// Note that what waits takes so much now, and took so much before.
    pub(crate) fn resize(&self, before: u64, now: u64) {
        let mut queue = locked(&self.queue);
        queue.held_bytes = (queue.held_bytes + now).saturating_sub(before);
    }

    /// Take no more; what is queued is still written.
    pub(crate) fn close(&self) {
        locked(&self.queue).is_closed = true;
        self.changed.notify_all();
    }

    /// Wait until something was written, or so long; tells whether it was, `None` once closed.
    pub(crate) fn wait_for_news(&self, at_most: Option<Duration>) -> Option<bool> {
        let queue = locked(&self.queue);
        let is_calm = |queue: &mut Queue| !queue.is_restless && !queue.is_closed;
        let mut queue = match at_most {
            None => self.changed.wait_while(queue, is_calm).unwrap_or_else(PoisonError::into_inner),
            Some(at_most) => {
                let waited = self.changed.wait_timeout_while(queue, at_most, is_calm);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        let is_restless = std::mem::take(&mut queue.is_restless);
        (!queue.is_closed).then_some(is_restless)
    }

    /// Wait so long; tells whether it is still open.
    pub(crate) fn pause(&self, length: Duration) -> bool {
        let waited =
            self.changed.wait_timeout_while(locked(&self.queue), length, |queue| !queue.is_closed);
        !waited.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }

    /// How many appends were queued since it was opened.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> u64 {
        locked(&self.queue).next_ticket
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a write, also where it panics: every caller is told.
struct Ending<'a> {
    commits: &'a Commits,
    tickets: Vec<(u64, usize, usize)>,
    written: Option<Result<Vec<u64>>>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let written = self.written.take().unwrap_or_else(|| {
            Err(Error::Fenced {
                message: "outbox: expected a write to end, got one that did not".to_owned(),
            })
        });
        self.commits.settle(&self.tickets, written);
    }
}
