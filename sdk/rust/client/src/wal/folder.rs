//! A stream's folder: what its files are called, and which segments follow each other.
//!
//! ```text
//! 0000000007-<segment id, 32 hex>.seg        a segment; its header was durable before its name
//! 0000000007-<segment id, 32 hex>.seg.new    one that never got its name: removed by recovery
//! 0000000007-<segment id, 32 hex>.seg.cut    the torn tail that recovery took from it
//! 0000000007-<segment id, 32 hex>.seg.bad    a damaged one that retention took out of the stream
//! .lock                                      held by the one process that writes
//! ```

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, Held};
use super::framing::{HEADER_BYTES, SegmentHeader, SegmentId, SegmentKey, unpack_header};
use crate::{Error, Result};

pub(crate) const NEW_SUFFIX: &str = ".new";
pub(crate) const CUT_SUFFIX: &str = ".cut";
pub(crate) const BAD_SUFFIX: &str = ".bad";
const LOCK_NAME: &str = ".lock";
const NOTE_BYTES_MAX: u64 = 512;

/// A segment by its name, and by its header where that verifies.
///
/// `end` is the length up to which it counts, as the next segment tells: everything below is durable,
/// everything beyond superseded. `next_seq` is of the frame that would have come next. `None`: no
/// sound header tells.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub path: PathBuf,
    pub name: String,
    pub ordinal: u64,
    pub key: SegmentKey,
    pub header: Option<SegmentHeader>,
    pub size: u64,
    pub end: Option<u64>,
    pub next_seq: Option<u64>,
}

/// What a stream's folder holds.
///
/// `segments` is the stream in its order, from the frame `kept_from` on. `removable` hold nothing of
/// it: no frame, or only earlier ones. `unfinished` never were part of it.
#[derive(Debug)]
pub(crate) struct Folder {
    pub segments: Vec<Segment>,
    pub kept_from: u64,
    pub removable: Vec<PathBuf>,
    pub unfinished: Vec<PathBuf>,
}

/// What the disk said, with where it was asked.
pub(crate) fn disk_error(place: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let message = place.into();
    move |error| Error::Disk { message, source: Arc::new(error) }
}

/// The file name of a segment.
pub(crate) fn segment_name(ordinal: u64, segment_id: &SegmentId) -> String {
    let hex: String = segment_id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{ordinal:010}-{hex}.seg")
}

/// Ordinal and id from a segment's file name, `None` where it names none.
pub(crate) fn parse_name(name: &str) -> Option<(u64, SegmentId)> {
    let stem = name.strip_suffix(".seg").filter(|stem| stem.is_ascii())?;
    let (ordinal, hex) = stem.split_once('-')?;
    let is_decimal = ordinal.len() == 10 && ordinal.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if !is_decimal || hex.len() != 32 || !hex.bytes().all(is_hex) {
        return None;
    }
    let mut id = [0; 16];
    for (at, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
    }
    Some((ordinal.parse().ok()?, id))
}

/// Make a folder with those above it, and every new name durable.
///
/// What a crash left half made is made durable by the next call: the parent is synced even when
/// nothing was missing, and the parent of the lowest folder found when something was.
pub(crate) fn make_folder(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    let mut missing = vec![folder.to_path_buf()];
    while let Some(parent) = missing.last().and_then(|path| parent_of(path)) {
        if disk.is_folder(&parent) {
            break;
        }
        missing.push(parent);
    }
    if !disk.is_folder(folder) {
        let lowest = missing.last().and_then(|path| parent_of(path));
        if let Some(above) = lowest.as_deref().and_then(parent_of) {
            disk.sync_dir(&above)?;
        }
    }
    for path in missing.iter().rev() {
        disk.mkdir(path)?;
        if let Some(parent) = parent_of(path) {
            disk.sync_dir(&parent)?;
        }
    }
    Ok(())
}

fn parent_of(path: &Path) -> Option<PathBuf> {
    let parent = path.parent()?;
    // The parent of a bare name is the folder the process stands in.
    let is_here = parent.as_os_str().is_empty();
    Some(if is_here { PathBuf::from(".") } else { parent.to_path_buf() })
}

/// Hold a folder that exists for this process, until what is returned is dropped.
///
/// # Errors
///
/// Another process holds it, which the message names; or the lock file cannot be made.
pub(crate) fn lock_folder(disk: &dyn Disk, folder: &Path, what: &str) -> Result<Box<dyn Held>> {
    let path = folder.join(LOCK_NAME);
    let note = format!("pid {}", std::process::id());
    disk.lock(&path, note.as_bytes()).map_err(disk_error(format!("{what}: lock")))?.ok_or_else(
        || Error::Locked {
            message: format!(
                "{what} in {}: expected no other process, got {}",
                folder.display(),
                holder(disk, &path)
            ),
        },
    )
}

fn holder(disk: &dyn Disk, path: &Path) -> String {
    let note = disk.open(path, false).and_then(|file| file.read_at(0, NOTE_BYTES_MAX));
    match note {
        Err(_) => "one that cannot be named".to_owned(),
        Ok(note) if note.is_empty() => "one that starts now".to_owned(),
        Ok(note) => String::from_utf8_lossy(&note).into_owned(),
    }
}

/// What a stream's folder holds; reads names, lengths and headers, no frames.
///
/// # Errors
///
/// A segment is another stream's, or of a format this release does not read; or the disk failed.
pub(crate) fn read_folder(disk: &dyn Disk, folder: &Path, stream: &str) -> Result<Folder> {
    let names = disk.names(folder).map_err(disk_error(format!("stream {stream}")))?;
    let mut found = Vec::new();
    for name in &names {
        if let Some((ordinal, id)) = parse_name(name) {
            found.push(read_segment(disk, folder, name, ordinal, id, stream)?);
        }
    }
    let headers = found.iter().filter_map(|segment| segment.header.as_ref());
    let kept_from = headers.map(|header| header.kept_from).max().unwrap_or(1);
    let mut segments: Vec<Segment> = Vec::new();
    let mut removable = Vec::new();
    let mut following: Option<SegmentHeader> = None;
    let mut is_below = false;
    for segment in found.into_iter().rev() {
        // A bound is the first number of a segment: what begins before it ends before it. One whose
        // header is damaged does when a later one begins there or before.
        let header = segment.header.as_ref();
        let is_before = header.map_or(is_below, |header| header.first_seq < kept_from);
        is_below |= header.is_some_and(|header| header.first_seq <= kept_from);
        if is_before || is_superseded(header, following.as_ref()) {
            removable.push(segment.path);
            continue;
        }
        following.clone_from(&segment.header);
        segments.push(segment);
    }
    segments.reverse();
    removable.reverse();
    link(&mut segments);
    let unfinished = names
        .iter()
        .filter(|name| name.ends_with(NEW_SUFFIX))
        .map(|name| folder.join(name))
        .collect();
    Ok(Folder { segments, kept_from, removable, unfinished })
}

/// The writer passes over a segment only after it saw that it holds no frame and no damage.
fn is_superseded(header: Option<&SegmentHeader>, following: Option<&SegmentHeader>) -> bool {
    matches!((header, following), (Some(header), Some(following))
        if following.first_seq == header.first_seq && following.previous_id == header.previous_id)
}

fn link(segments: &mut [Segment]) {
    let followers: HashMap<SegmentId, (u64, u64)> = segments
        .iter()
        .filter_map(|segment| segment.header.as_ref())
        .map(|header| (header.previous_id, (header.previous_end, header.passed_from)))
        .collect();
    for segment in segments {
        if let Some((end, next_seq)) = followers.get(&segment.key.segment_id) {
            segment.end = Some(*end);
            segment.next_seq = Some(*next_seq);
        }
    }
}

fn read_segment(
    disk: &dyn Disk,
    folder: &Path,
    name: &str,
    ordinal: u64,
    segment_id: SegmentId,
    stream: &str,
) -> Result<Segment> {
    let path = folder.join(name);
    let (size, head) = disk
        .open(&path, false)
        .and_then(|file| Ok((file.size()?, file.read_at(0, HEADER_BYTES as u64)?)))
        .map_err(disk_error(format!("segment {name}")))?;
    let header = unpack_header(&head)?
        .filter(|header| (header.ordinal, header.segment_id) == (ordinal, segment_id));
    if let Some(header) = header.as_ref().filter(|header| header.stream != stream) {
        return Err(Error::contract(format!(
            "{name}: expected stream {stream}, got stream {}",
            header.stream.escape_debug()
        )));
    }
    Ok(Segment {
        path,
        name: name.to_owned(),
        ordinal,
        key: SegmentKey::new(segment_id),
        header,
        size,
        end: None,
        next_seq: None,
    })
}
