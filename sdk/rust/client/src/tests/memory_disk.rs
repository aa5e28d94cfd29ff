//! A disk in memory: it fails at a call that is named, and loses at a power cut what was not synced.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::outbox::locked;
use crate::wal::disk::{Disk, File, Held};

/// More than the shortest age at which a segment may be closed.
const NS_BETWEEN_STAMPS: u64 = 61_000_000_000;

#[derive(Default, Clone)]
struct Bytes {
    now: Vec<u8>,
    synced: Vec<u8>,
}

type Inode = Arc<Mutex<Bytes>>;

/// What a failing call has done of its work when it says that it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Nothing,
    Half,
    All,
}

/// Which call fails, how, and how much of it is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) call: usize,
    pub(super) kind: io::ErrorKind,
    pub(super) done: Done,
}

#[derive(Default)]
struct State {
    names: BTreeMap<PathBuf, Inode>,
    synced_names: BTreeMap<PathBuf, Inode>,
    calls: usize,
    fault: Option<Fault>,
    locked: bool,
    stamps: u64,
}

#[derive(Clone, Default)]
pub(super) struct MemoryDisk(Arc<Mutex<State>>);

impl MemoryDisk {
    /// Calls that change something, made so far.
    pub(super) fn calls(&self) -> usize {
        locked(&self.0).calls
    }

    pub(super) fn fail(&self, fault: Option<Fault>) {
        let mut state = locked(&self.0);
        state.calls = 0;
        state.fault = fault;
    }

    /// Lose what was not synced: bytes and names.
    pub(super) fn cut_power(&self) {
        let mut state = locked(&self.0);
        state.names = state.synced_names.clone();
        for inode in state.names.values() {
            let mut bytes = locked(inode);
            bytes.now = bytes.synced.clone();
        }
        state.locked = false;
    }

    /// A copy of it that shares nothing.
    pub(super) fn copied(&self) -> Self {
        let copy = Self::default();
        let (from, mut to) = (locked(&self.0), locked(&copy.0));
        to.stamps = from.stamps;
        for (path, inode) in &from.names {
            let bytes = Arc::new(Mutex::new(locked(inode).clone()));
            to.names.insert(path.clone(), Arc::clone(&bytes));
            to.synced_names.insert(path.clone(), bytes);
        }
        drop(to);
        copy
    }

    /// The files of the stream, in its order.
    pub(super) fn segments(&self) -> Vec<PathBuf> {
        let state = locked(&self.0);
        let is_segment = |path: &&PathBuf| path.extension().is_some_and(|end| end == "seg");
        state.names.keys().filter(is_segment).cloned().collect()
    }

    pub(super) fn bytes(&self, path: &Path) -> Vec<u8> {
        locked(&locked(&self.0).names[path]).now.clone()
    }

    pub(super) fn put(&self, path: &Path, data: &[u8]) {
        let bytes = Bytes { now: data.to_vec(), synced: data.to_vec() };
        let inode = Arc::new(Mutex::new(bytes));
        let mut state = locked(&self.0);
        state.names.insert(path.to_path_buf(), Arc::clone(&inode));
        state.synced_names.insert(path.to_path_buf(), inode);
    }

    /// Do what a call does, unless it is the one that fails.
    fn act<T>(&self, act: impl FnOnce(&mut State, Done) -> io::Result<T>) -> io::Result<T> {
        let mut state = locked(&self.0);
        state.calls += 1;
        match state.fault.filter(|fault| fault.call == state.calls) {
            None => act(&mut state, Done::All),
            Some(fault) => {
                act(&mut state, fault.done)?;
                Err(fault.kind.into())
            }
        }
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    inode: Inode,
}

impl File for MemoryFile {
    fn read_at(&self, offset: u64, size: u64) -> io::Result<Vec<u8>> {
        let bytes = locked(&self.inode);
        let start = (offset as usize).min(bytes.now.len());
        let end = offset.saturating_add(size).min(bytes.now.len() as u64) as usize;
        Ok(bytes.now[start..end.max(start)].to_vec())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.act(|_, done| {
            let part = match done {
                Done::Nothing => &data[..0],
                Done::Half => &data[..data.len() / 2],
                Done::All => data,
            };
            let mut bytes = locked(&self.inode);
            let end = offset as usize + part.len();
            if bytes.now.len() < end {
                bytes.now.resize(end, 0);
            }
            bytes.now[offset as usize..end].copy_from_slice(part);
            Ok(())
        })
    }

    fn size(&self) -> io::Result<u64> {
        Ok(locked(&self.inode).now.len() as u64)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.disk.act(|_, done| {
            if done != Done::Nothing {
                locked(&self.inode).now.resize(size as usize, 0);
            }
            Ok(())
        })
    }

    fn datasync(&self) -> io::Result<()> {
        self.disk.act(|_, done| {
            let mut bytes = locked(&self.inode);
            if done == Done::All {
                bytes.synced = bytes.now.clone();
            }
            Ok(())
        })
    }
}

struct MemoryLock(MemoryDisk);

impl Held for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        locked(&self.0.0).locked = false;
    }
}

impl Disk for MemoryDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let inode = self.act(|state, done| {
            if state.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let inode = Inode::default();
            if done != Done::Nothing {
                state.names.insert(path.to_path_buf(), Arc::clone(&inode));
            }
            Ok(inode)
        })?;
        Ok(Box::new(MemoryFile { disk: self.clone(), inode }))
    }

    fn open(&self, path: &Path, _is_writable: bool) -> io::Result<Box<dyn File>> {
        let inode = locked(&self.0).names.get(path).cloned();
        let inode = inode.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(MemoryFile { disk: self.clone(), inode }))
    }

    fn rename(&self, old: &Path, new: &Path) -> io::Result<()> {
        self.act(|state, done| {
            if done != Done::Nothing {
                let inode = state.names.remove(old).ok_or(io::ErrorKind::NotFound)?;
                state.names.insert(new.to_path_buf(), inode);
            }
            Ok(())
        })
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.act(|state, done| {
            if done != Done::Nothing {
                state.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
            }
            Ok(())
        })
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let state = locked(&self.0);
        let inside = state.names.keys().filter(|path| path.parent() == Some(folder));
        let names = inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
        Ok(names.collect())
    }

    fn is_folder(&self, _path: &Path) -> bool {
        true
    }

    fn mkdir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        self.act(|state, done| {
            if done == Done::All {
                state.synced_names.retain(|path, _| path.parent() != Some(folder));
                for (path, inode) in &state.names {
                    if path.parent() == Some(folder) {
                        state.synced_names.insert(path.clone(), Arc::clone(inode));
                    }
                }
            }
            Ok(())
        })
    }

    fn lock(&self, _path: &Path, _note: &[u8]) -> io::Result<Option<Box<dyn Held>>> {
        let mut state = locked(&self.0);
        if std::mem::replace(&mut state.locked, true) {
            return Ok(None);
        }
        Ok(Some(Box::new(MemoryLock(self.clone()))))
    }

    fn stamp(&self) -> io::Result<(u64, [u8; 16])> {
        let mut state = locked(&self.0);
        state.stamps += 1;
        // Ids that differ in every byte, the same in each run.
        let mixed = state.stamps.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
        let mut id = [0; 16];
        id[..8].copy_from_slice(&mixed);
        id[8..].copy_from_slice(&mixed.map(|byte| byte.rotate_left(3) ^ 0x5A));
        Ok((1_700_000_000_000_000_000 + state.stamps * NS_BETWEEN_STAMPS, id))
    }
}
