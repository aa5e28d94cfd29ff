//! The durable outbox: records are on disk before they are sent, until the server has answered.
//!
//! In its data folder, `DIR/outbox` is one stream of segments (`specs/storage.md`) with the frames of
//! the agent's outbox (`specs/agent.md`): each program of the project reads and recovers what the
//! others wrote, and `fractal-agent outbox inspect --data DIR` shows what waits.

mod commit;
mod contents;
pub(crate) mod deadletters;
mod frames;
pub(crate) mod letters;
pub(crate) mod log;
mod options;
mod record;
mod segments;
mod ship;
mod tend;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

pub use options::OutboxOptions;
pub use ship::Shipped;

use crate::wal::disk::{Disk, RealDisk, now_ns};
use crate::{Error, Result};
use commit::Commits;
pub(crate) use frames::Meta;
use log::Log;
#[cfg(test)]
pub(crate) use record::read_record;
use record::read_signed;

/// Lock, whatever became of who had it: what is inside is changed only in whole steps.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A record that waits for its final answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Window {
    /// Its number in the outbox: from 1, rising, with gaps, never given twice.
    pub seq: u64,
    /// When it was appended, nanoseconds since 1970.
    pub received_ns: u64,
    /// The signed record, as it was appended.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Window {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Window")
            .field("seq", &self.seq)
            .field("received_ns", &self.received_ns)
            .field("bytes", &self.body.len())
            .finish()
    }
}

pub(crate) struct Shared {
    pub(crate) log: Mutex<Log>,
    pub(crate) commits: Commits,
}

/// An outbox, held by this process until [`Outbox::close`] or until it is dropped.
///
/// Every method may be called from any thread. What several threads append together is one write
/// and one `fdatasync`. A thread of its own marks what is durable, writes acknowledgements and gives
/// up old segments.
///
/// ```
/// # fn main() -> fractal_lba_client::Result<()> {
/// use fractal_lba_client::{Outbox, OutboxOptions};
///
/// # let folder = std::env::temp_dir().join(format!("outbox-doc-{}", std::process::id()));
/// # let record = format!(
/// #     r#"{{"epoch":0,"pcs_id":"{}","shard_id":"plant-7","sig":"{}="}}"#, "0".repeat(64), "A".repeat(43));
/// let outbox = Outbox::open(&folder, OutboxOptions::default())?;
/// let seqs = outbox.append("api:", &[record.as_bytes()])?; // on disk when it returns
/// assert_eq!(outbox.pending(0, 10)?[0].seq, seqs[0]);
/// outbox.acknowledge(seqs[0], 200, false)?;
/// assert!(outbox.is_empty());
/// outbox.close()?;
/// # std::fs::remove_dir_all(&folder).ok();
/// # Ok(())
/// # }
/// ```
pub struct Outbox {
    pub(crate) shared: Arc<Shared>,
    tender: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Outbox").field("pending", &self.len()).finish_non_exhaustive()
    }
}

impl Outbox {
    /// Lock a data folder's outbox, made when missing, recover what a crash left, and read what waits.
    ///
    /// # Errors
    ///
    /// `Locked`: another process holds it, which the message names. `Newer`: a later release wrote
    /// it, nothing was changed. `Damaged`: it is the stream of something else. `Contract`: a bound
    /// out of its range, or another stream's folder. `Disk`, `Full`: nothing acknowledged is lost.
    pub fn open(data: impl AsRef<Path>, options: OutboxOptions) -> Result<Self> {
        Self::open_on(Arc::new(RealDisk), data.as_ref(), options)
    }

    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        data: &Path,
        options: OutboxOptions,
    ) -> Result<Self> {
        options.check()?;
        let log = Log::open(disk, data, &options)?;
        let (records, bytes) = (log.contents.pending.len(), log.contents.pending_bytes);
        let commits = Commits::new(options, records, bytes);
        let shared = Arc::new(Shared { log: Mutex::new(log), commits });
        let tended = Arc::clone(&shared);
        let tender = std::thread::Builder::new()
            .name("fractal-lba-outbox".to_owned())
            .spawn(move || tend::tend(&tended, options.segment_age_max))
            .map_err(|error| Error::Disk {
                message: "outbox: thread".to_owned(),
                source: Arc::new(error),
            })?;
        Ok(Self { shared, tender: Mutex::new(Some(tender)) })
    }

    /// Append signed records, and return the number of each once all are on disk.
    ///
    /// `source` names where they come from, for people: an address of up to 4,096 bytes, `"api:"`
    /// for a program. One call takes at most 4,096 records of 1 MiB together.
    ///
    /// # Errors
    ///
    /// `Contract`: one is no record, or the call is too large; nothing was taken. `Full`: the outbox
    /// or the disk has no room; nothing was taken. `Fenced`: an earlier failure, or it is closed.
    /// `Disk`: the records may or may not survive, and the outbox writes no more.
    pub fn append(&self, source: &str, bodies: &[impl AsRef<[u8]>]) -> Result<Vec<u64>> {
        if source.len() > commit::SOURCE_BYTES_MAX {
            return Err(Error::contract(format!(
                "outbox: expected a source of at most {} bytes, got {}",
                commit::SOURCE_BYTES_MAX,
                source.len()
            )));
        }
        if bodies.is_empty() {
            return Ok(Vec::new());
        }
        let received_ns = now_ns();
        let mut frames = Vec::with_capacity(bodies.len());
        for body in bodies {
            let named = read_signed(body.as_ref())?;
            let meta = Meta::Window {
                source: source.to_owned(),
                shard_id: named.shard_id,
                next_epoch: named.epoch + 1,
                position: None,
            };
            let frame = meta.frame(received_ns, body.as_ref());
            frames.push((meta, frame));
        }
        self.shared.commits.append(&self.shared.log, frames)
    }

    /// The windows that wait, read back from disk: those numbered `from_seq` or later, oldest first,
    /// `count_max` of them at the most.
    ///
    /// # Errors
    ///
    /// `Damaged`: one cannot be read; its number is in the message, and [`Outbox::read`] gives the
    /// others. `Disk`.
    pub fn pending(&self, from_seq: u64, count_max: usize) -> Result<Vec<Window>> {
        let mut windows = Vec::new();
        for seq in self.pending_seqs(from_seq, count_max) {
            windows.extend(self.read(seq)?);
        }
        Ok(windows)
    }

    /// The numbers of the windows that wait, from `from_seq` on, `count_max` at the most.
    #[must_use]
    pub fn pending_seqs(&self, from_seq: u64, count_max: usize) -> Vec<u64> {
        let log = locked(&self.shared.log);
        let seqs = log.contents.pending.range(from_seq..).map(|(seq, _)| *seq);
        seqs.take(count_max).collect()
    }

    /// A window that waits, read back from disk; `None` where none does under that number.
    ///
    /// # Errors
    ///
    /// `Damaged`: it cannot be read any more. `Disk`.
    pub fn read(&self, seq: u64) -> Result<Option<Window>> {
        let frame = locked(&self.shared.log).read(seq)?;
        Ok(frame.map(|frame| Window { seq, received_ns: frame.received_ns, body: frame.payload }))
    }

    /// Note the final answer to a window, which waits no longer; one that does not wait is left.
    ///
    /// It is on disk with the next append, within some tenths of a second, or by
    /// [`Outbox::close`]. A crash before that leaves the window waiting: it is sent again, and
    /// gets the same answer.
    ///
    /// # Errors
    ///
    /// `Contract`: the status is not final. `Disk` and `Fenced`: it is not noted on disk, and the
    /// outbox writes no more; the window is sent again by the next process.
    pub fn acknowledge(&self, seq: u64, status: u16, replayed: bool) -> Result<()> {
        if !crate::http::is_final(status) {
            return Err(Error::contract(format!("outbox: expected a final status, got {status}")));
        }
        let noted = locked(&self.shared.log).acknowledge(seq, status, replayed);
        if let Ok(Some(bytes)) = noted {
            self.shared.commits.release(1, bytes);
        }
        noted.map(drop)
    }

    /// How many windows wait.
    #[must_use]
    pub fn len(&self) -> usize {
        locked(&self.shared.log).contents.pending.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was written once and cannot be read any more, one line each, for people: places and
    /// numbers, never contents. Sound frames beside the damage are served.
    #[must_use]
    pub fn damage(&self) -> Vec<String> {
        locked(&self.shared.log).contents.damage.clone()
    }

    /// How many lines the dead letters have: records that were not accepted, and for a crash or two
    /// some of them twice. `fractal-agent dead-letters list --data DIR` shows them.
    #[must_use]
    pub fn dead_letters(&self) -> u64 {
        locked(&self.shared.log).letters.count
    }

    /// How many frames were lost over the outbox's life.
    #[must_use]
    pub fn lost(&self) -> u64 {
        locked(&self.shared.log).contents.counts.lost
    }

    /// Make the acknowledgements durable, end the segment and let the folder go. Idempotent; nothing
    /// can be appended behind it.
    ///
    /// # Errors
    ///
    /// `Disk`, `Full` and `Fenced`: acknowledgements are missing, and their windows are sent again.
    /// The folder is let go all the same.
    pub fn close(&self) -> Result<()> {
        self.shared.commits.close();
        if let Some(tender) = locked(&self.tender).take() {
            // A panic in it fenced the stream, which closing tells.
            let _ = tender.join();
        }
        locked(&self.shared.log).close()
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        // Who wants to know calls `close`.
        let _ = self.close();
    }
}
