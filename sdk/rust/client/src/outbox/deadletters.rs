//! The dead letters of a data folder: `dead-letters.ndjson`, the agent's own file.
//!
//! A letter is durable before the outbox notes the answer. After a crash between the two the record is
//! sent again and its line stands twice: the last line of a number counts. What a power cut tore at
//! the end is no line, and its record still waits; it is moved to `dead-letters.ndjson.cut`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::contents::Place;
use super::letters::{begun_with, read_letter};
use crate::wal::disk::{Disk, File, is_full};
use crate::{Error, Result};

const NAME: &str = "dead-letters.ndjson";
const CUT_NAME: &str = "dead-letters.ndjson.cut";
/// A record of 64 KiB, an answer of the bound with each character escaped, and the names.
const LINE_BYTES_MAX: u64 = 256 << 10;
/// What is held of a line at the most. A longer one is no letter; its beginning tells its number.
const HELD_BYTES_MAX: usize = 1 << 20;
const HEAD_BYTES: usize = 64;

/// The windows that wait, by number.
type Pending = BTreeMap<u64, Place>;

/// The file, open for appending.
pub(crate) struct DeadLetters {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    file: Option<Box<dyn File>>,
    size: u64,
    is_fenced: bool,
    /// Lines that were in it when it was opened, and that were appended.
    pub count: u64,
    /// The highest number of a letter up to the bound, 0 for none.
    pub last_seq: u64,
    /// What is wrong with the file, for people: places and numbers, never contents.
    pub damage: Vec<String>,
}

/// A line as it stands in the file; `length` has its line end.
struct Line {
    head: Vec<u8>,
    length: u64,
    letter: Option<u64>,
}

impl DeadLetters {
    /// Open the dead letters of a folder, which are made with their first line: cut what was torn, and
    /// make the rest durable. A number above `seq_max` no outbox can have given: it is told and not
    /// believed.
    ///
    /// # Errors
    ///
    /// `Newer`: a later program wrote a line, nothing was changed. `Disk`, `Full`.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        waiting: &Pending,
        seq_max: u64,
    ) -> Result<Self> {
        let mut letters = Self {
            disk,
            folder: folder.to_path_buf(),
            file: None,
            size: 0,
            is_fenced: false,
            count: 0,
            last_seq: 0,
            damage: Vec::new(),
        };
        let names = letters.disk.names(folder).map_err(refused)?;
        if names.iter().any(|name| name == NAME) {
            let file = letters.disk.open(&folder.join(NAME), true).map_err(refused)?;
            letters.mend(file, waiting, seq_max)?;
        }
        Ok(letters)
    }

    /// Append whole lines with one sync; they are durable when it returns.
    ///
    /// # Errors
    ///
    /// `Full`: nothing was written. `Disk`: they may or may not be there, and nothing more is written
    /// before it is opened again. `Fenced`: an earlier failure.
    pub(crate) fn append(&mut self, lines: &[Vec<u8>]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.is_fenced {
            return Err(Error::Fenced {
                message: format!(
                    "{NAME}: expected a file that can be written, got a failure before"
                ),
            });
        }
        // Also where it does not return: what was being written is in doubt then.
        self.is_fenced = true;
        let written = self.write(&lines.concat());
        self.is_fenced = matches!(&written, Err(error) if !matches!(error, Error::Full { .. }));
        self.count += if written.is_ok() { lines.len() as u64 } else { 0 };
        written
    }

    fn write(&mut self, data: &[u8]) -> Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.create()?,
        };
        match file.write_at(self.size, data) {
            Ok(()) => {
                file.datasync().map_err(failed)?;
                self.size += data.len() as u64;
            }
            Err(error) if is_full(&error) => {
                // No sync failed: what this write left is taken back, and nothing is in doubt.
                file.truncate(self.size).and_then(|()| file.datasync()).map_err(failed)?;
                self.file = Some(file);
                return Err(refused(error));
            }
            Err(error) => return Err(failed(error)),
        }
        self.file = Some(file);
        Ok(())
    }

    fn create(&self) -> Result<Box<dyn File>> {
        let path = self.folder.join(NAME);
        let file = self.disk.create(&path).map_err(refused)?;
        self.disk.sync_dir(&self.folder).map_err(failed)?;
        Ok(file)
    }

    /// What stands behind the last line that is a letter, or that was one, was torn before its window
    /// was acknowledged: it goes to the file of what was cut. What stays may be in memory alone, where
    /// a process before this one failed to sync it: its end is written again, and synced.
    fn mend(&mut self, file: Box<dyn File>, waiting: &Pending, seq_max: u64) -> Result<()> {
        let (mut offset, mut end, mut number) = (0, 0, 0);
        let (mut unreadable, mut unreadable_kept) = (0_u64, 0);
        each_line(file.as_ref(), &mut |line| {
            offset += line.length;
            number += 1;
            match line.letter {
                Some(seq) if seq > seq_max => {
                    self.damage.push(format!("{NAME}: expected numbers up to {seq_max}, got {seq}"))
                }
                Some(seq) => self.last_seq = self.last_seq.max(seq),
                None => unreadable += 1,
            }
            if line.letter.is_some() || was_durable(&line, waiting) {
                (end, unreadable_kept, self.count) = (offset, unreadable, number);
            }
        })?;
        if unreadable_kept > 0 {
            self.damage.push(format!(
                "{NAME}: expected letters, got {unreadable_kept} lines that cannot be read: kept"
            ));
        }
        if file.size().map_err(refused)? > end {
            self.keep_cut(file.as_ref(), end).map_err(refused)?;
            file.truncate(end).map_err(refused)?;
        }
        if end > 0 {
            let start = end.saturating_sub(LINE_BYTES_MAX);
            // The last one may have lost its line end.
            let mut last = file.read_at(start, end - start - 1).map_err(refused)?;
            last.push(b'\n');
            file.write_at(start, &last).map_err(refused)?;
        }
        file.datasync().map_err(refused)?;
        (self.file, self.size) = (Some(file), end);
        Ok(())
    }

    /// Make what is about to be cut durable in a file of its own, behind what was cut before.
    fn keep_cut(&self, file: &dyn File, start: u64) -> io::Result<()> {
        let path = self.folder.join(CUT_NAME);
        let is_there = self.disk.names(&self.folder)?.iter().any(|name| name == CUT_NAME);
        let cut = if is_there { self.disk.open(&path, true) } else { self.disk.create(&path) }?;
        let (mut offset, mut to) = (start, cut.size()?);
        loop {
            let block = file.read_at(offset, LINE_BYTES_MAX)?;
            if block.is_empty() {
                break;
            }
            cut.write_at(to, &block)?;
            offset += block.len() as u64;
            to += block.len() as u64;
        }
        cut.datasync()?;
        self.disk.sync_dir(&self.folder)
    }
}

/// Whether a line that is no letter was one once: its window waits no more.
fn was_durable(line: &Line, waiting: &Pending) -> bool {
    match begun_with(&line.head) {
        Some(seq) => !waiting.contains_key(&seq),
        None => waiting.is_empty() && !line.head.trim_ascii().is_empty(),
    }
}

/// Give `see` each line; the last one may have lost its end, or that byte may be another.
fn each_line(file: &dyn File, see: &mut dyn FnMut(Line)) -> Result<()> {
    let (mut rest, mut offset, mut beyond) = (Vec::new(), 0, 0_u64);
    loop {
        let block = file.read_at(offset, LINE_BYTES_MAX).map_err(refused)?;
        if block.is_empty() {
            break;
        }
        offset += block.len() as u64;
        let mut pieces = block.split(|byte| *byte == b'\n');
        rest.extend_from_slice(pieces.next().unwrap_or_default());
        for piece in pieces {
            let (line, dropped) = (std::mem::replace(&mut rest, piece.to_vec()), beyond);
            beyond = 0;
            see(Line {
                length: line.len() as u64 + dropped + 1,
                letter: if dropped > 0 { None } else { read_letter(&line)? },
                head: line.into_iter().take(HEAD_BYTES).collect(),
            });
        }
        if rest.len() > HELD_BYTES_MAX {
            beyond += (rest.len() - HEAD_BYTES) as u64;
            rest.truncate(HEAD_BYTES);
        }
    }
    if rest.is_empty() {
        return Ok(());
    }
    let mut length = rest.len() as u64 + beyond + 1;
    let mut letter = if beyond > 0 { None } else { read_letter(&rest)? };
    if letter.is_none() && beyond == 0 {
        letter = read_letter(&rest[..rest.len() - 1])?;
        length -= u64::from(letter.is_some());
    }
    see(Line { length, letter, head: rest.into_iter().take(HEAD_BYTES).collect() });
    Ok(())
}

/// What the disk said where nothing is in doubt.
fn refused(error: io::Error) -> Error {
    if is_full(&error) {
        return Error::Full { message: format!("{NAME}: expected room, got a full disk") };
    }
    failed(error)
}

/// What the disk said where something is.
fn failed(error: io::Error) -> Error {
    Error::Disk { message: NAME.to_owned(), source: Arc::new(error) }
}
