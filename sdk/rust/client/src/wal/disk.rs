//! The disk as the outbox sees it: a port, and the real one.
//!
//! Every call that may fail says nothing about what it left behind: after a failed write or sync the
//! state of the bytes is unknown. A new name is durable only after its folder's `sync_dir`.

use std::fs::{self, DirBuilder, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::framing::SegmentId;

/// Records are their senders' alone.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// An open file.
pub(crate) trait File: Send {
    /// So many bytes from `offset` on, fewer only where the file ends.
    fn read_at(&self, offset: u64, size: u64) -> io::Result<Vec<u8>>;
    /// Write all of `data`; a failure may have written any part of it.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    fn size(&self) -> io::Result<u64>;
    fn truncate(&self, size: u64) -> io::Result<()>;
    /// Make the bytes written so far durable, and the length with them.
    fn datasync(&self) -> io::Result<()>;
}

/// A lock that is held until it is dropped.
pub(crate) trait Held: Send {}

/// Files and folders.
pub(crate) trait Disk: Send + Sync {
    /// Make a new file and open it; an error when the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;
    fn open(&self, path: &Path, is_writable: bool) -> io::Result<Box<dyn File>>;
    /// Give a file a new name in one step, in place of what had it.
    fn rename(&self, old: &Path, new: &Path) -> io::Result<()>;
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder, sorted.
    fn names(&self, folder: &Path) -> io::Result<Vec<String>>;
    fn is_folder(&self, path: &Path) -> bool;
    /// Make one folder; one that exists is left as it is.
    fn mkdir(&self, path: &Path) -> io::Result<()>;
    /// Make the names in a folder durable.
    fn sync_dir(&self, folder: &Path) -> io::Result<()>;
    /// Lock a file, made when missing, and leave `note` in it; `None` where another holds it.
    fn lock(&self, path: &Path, note: &[u8]) -> io::Result<Option<Box<dyn Held>>>;
    /// Nanoseconds since 1970 and 16 random bytes, for a new segment.
    fn stamp(&self) -> io::Result<(u64, SegmentId)>;
}

/// Whether an error says that the disk, or a quota, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

struct RealFile(fs::File);

impl File for RealFile {
    fn read_at(&self, offset: u64, size: u64) -> io::Result<Vec<u8>> {
        // What is asked for is bounded by what is there: a damaged length must not choose it.
        let there = self.size()?.saturating_sub(offset).min(size);
        let mut data = vec![0; usize::try_from(there).map_err(io::Error::other)?];
        let mut filled = 0;
        while filled < data.len() {
            match self.0.read_at(&mut data[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        data.truncate(filled);
        Ok(data)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn datasync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

struct RealLock(#[expect(dead_code, reason = "the lock ends when the file is closed")] fs::File);

impl Held for RealLock {}

/// The operating system's files. A symbolic link in a file's place is refused: it leads to bytes of
/// somebody else, which recovery would cut.
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        Ok(Box::new(RealFile(options.mode(FILE_MODE).open(path)?)))
    }

    fn open(&self, path: &Path, is_writable: bool) -> io::Result<Box<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(is_writable).custom_flags(libc::O_NOFOLLOW);
        Ok(Box::new(RealFile(options.open(path)?)))
    }

    fn rename(&self, old: &Path, new: &Path) -> io::Result<()> {
        fs::rename(old, new)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            // A name that is no text is none of the stream's.
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn mkdir(&self, path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(FOLDER_MODE).create(path) {
            Err(_) if path.is_dir() => Ok(()),
            made => made,
        }
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        fs::File::open(folder)?.sync_all()
    }

    fn lock(&self, path: &Path, note: &[u8]) -> io::Result<Option<Box<dyn Held>>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.custom_flags(libc::O_NOFOLLOW);
        let file = options.mode(FILE_MODE).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        file.set_len(0)?;
        file.write_all_at(note, 0)?;
        Ok(Some(Box::new(RealLock(file))))
    }

    fn stamp(&self) -> io::Result<(u64, SegmentId)> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| io::Error::other(error.to_string()))?;
        Ok((now_ns(), id))
    }
}

/// Nanoseconds since 1970 by the clock; 0 where it stands before.
pub(crate) fn now_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
