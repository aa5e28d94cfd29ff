//! Write one segment: made whole under a temporary name, then only ever appended to.
//!
//! A segment gets its name after its header, and what was copied into it, are durable: a named
//! segment has a sound header, and all it held when it was named is marked durable.

use std::path::{Path, PathBuf};

use crc32c::{crc32c, crc32c_append};

use super::disk::{Disk, File, is_full};
use super::folder::{NEW_SUFFIX, Segment, disk_error, segment_name};
use super::footer::{FOOTER_BYTES, FooterAt, pack_footer};
use super::framing::{BATCH_BYTES, NewFrame, SegmentHeader, SegmentKey, pack_batch, pack_header};
use crate::{Error, Result};

/// The segment that is appended to.
///
/// After any method failed with another error than `Full` the state of the file is unknown, and it
/// may only be dropped.
pub(crate) struct Writer {
    pub header: SegmentHeader,
    pub key: SegmentKey,
    /// The length up to which everything is durable.
    pub end: u64,
    /// Of the frame to be appended next.
    pub next_seq: u64,
    /// Whether it ends in a footer.
    pub is_sealed: bool,
    path: PathBuf,
    file: Box<dyn File>,
    is_mark_due: bool,
    is_short: bool,
    whole: u32,
}

impl Writer {
    /// Whether the segment holds any frame.
    pub(crate) fn has_frames(&self) -> bool {
        self.next_seq > self.header.first_seq
    }

    /// It as its folder is read.
    pub(crate) fn segment(&self) -> Segment {
        Segment {
            path: self.path.clone(),
            name: segment_name(self.header.ordinal, &self.header.segment_id),
            ordinal: self.header.ordinal,
            key: self.key,
            header: Some(self.header.clone()),
            size: self.end,
            end: Some(self.end),
            next_seq: Some(self.next_seq),
        }
    }

    /// Write one batch, make it durable and return the offset of each frame.
    pub(crate) fn append(&mut self, frames: &[NewFrame]) -> Result<Vec<u64>> {
        let (data, starts) = pack_batch(&self.key, frames, self.next_seq, self.end);
        let offsets = starts.iter().map(|start| self.end + *start as u64);
        let offsets = offsets.collect();
        self.write(&data)?;
        self.next_seq += frames.len() as u64;
        self.is_mark_due = true;
        Ok(offsets)
    }

    /// Make it durable that everything up to `end` is, unless a batch already says so.
    pub(crate) fn mark(&mut self) -> Result<()> {
        if self.is_mark_due {
            self.append(&[])?;
            self.is_mark_due = false;
        }
        Ok(())
    }

    /// End the segment in a footer, which marks as well; what is sealed already stays as it is.
    pub(crate) fn seal(&mut self, now_ns: u64) -> Result<()> {
        if self.is_sealed {
            return Ok(());
        }
        let footer = FooterAt {
            offset: usize::try_from(self.end).unwrap_or(usize::MAX),
            whole: self.whole,
            first_seq: self.header.first_seq,
            next_seq: self.next_seq,
            sealed_ns: now_ns,
        };
        self.write(&pack_footer(&self.key, &footer))?;
        self.is_sealed = true;
        self.is_mark_due = false;
        Ok(())
    }

    /// Whether a batch of this size, a mark and a footer find room, where some did not lately.
    pub(crate) fn finds_room(&mut self, batch_bytes: usize) -> Result<bool> {
        if !self.is_short {
            return Ok(true);
        }
        let probe = vec![0; batch_bytes + BATCH_BYTES + FOOTER_BYTES];
        let written = self.file.write_at(self.end, &probe);
        self.file.truncate(self.end).map_err(self.failed())?;
        match written {
            Ok(()) => self.is_short = false,
            Err(error) if is_full(&error) => {}
            Err(error) => return Err(self.failed()(error)),
        }
        Ok(!self.is_short)
    }

    fn write(&mut self, data: &[u8]) -> Result<()> {
        match self.file.write_at(self.end, data) {
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                // No sync failed, so nothing is in doubt but what this write left: it is taken back.
                self.file.truncate(self.end).map_err(self.failed())?;
                self.file.datasync().map_err(self.failed())?;
                self.is_short = true;
                return Err(Error::Full {
                    message: format!(
                        "stream {}: expected room for {} bytes, got a full disk",
                        self.header.stream,
                        data.len()
                    ),
                });
            }
            Err(error) => return Err(self.failed()(error)),
        }
        self.file.datasync().map_err(self.failed())?;
        self.end += data.len() as u64;
        self.whole = crc32c_append(self.whole, data);
        Ok(())
    }

    fn failed(&self) -> impl FnOnce(std::io::Error) -> Error + use<> {
        disk_error(format!("stream {}", self.header.stream))
    }
}

/// Make a segment that holds these frames, durable and named, and return its writer.
///
/// # Errors
///
/// `Full`: it has no name, and what was made of it is gone. Another: the segment may or may not have
/// its name; it holds nothing that is not elsewhere too, and recovery removes or takes it over.
pub(crate) fn create_segment(
    disk: &dyn Disk,
    folder: &Path,
    header: SegmentHeader,
    copied: &[NewFrame],
) -> Result<Writer> {
    let name = segment_name(header.ordinal, &header.segment_id);
    let path = folder.join(&name);
    let unfinished = folder.join(format!("{name}{NEW_SUFFIX}"));
    let key = SegmentKey::new(header.segment_id);
    let next_seq = header.first_seq + copied.len() as u64;
    let mut data = pack_header(&header);
    if !copied.is_empty() {
        let durable_offset = data.len() as u64;
        data.extend(pack_batch(&key, copied, header.first_seq, durable_offset).0);
        // Nobody sees this mark before it is true: the name comes after the sync.
        let durable_offset = data.len() as u64;
        data.extend(pack_batch(&key, &[], next_seq, durable_offset).0);
    }
    let failed = |error| disk_error(format!("stream {}", header.stream))(error);
    let file = create(disk, &unfinished, &data).map_err(|error| {
        if !is_full(&error) {
            return failed(error);
        }
        // It has no name: where it cannot be removed now, recovery does.
        let _ = disk.unlink(&unfinished);
        Error::Full {
            message: format!(
                "stream {}: expected room for a fresh segment of {} bytes, got a full disk",
                header.stream,
                data.len()
            ),
        }
    })?;
    disk.rename(&unfinished, &path).map_err(failed)?;
    disk.sync_dir(folder).map_err(failed)?;
    Ok(Writer {
        key,
        end: data.len() as u64,
        next_seq,
        is_sealed: false,
        path,
        file,
        is_mark_due: false,
        is_short: false,
        whole: crc32c(&data),
        header,
    })
}

/// Make a file that holds these bytes, durable but for its name.
fn create(disk: &dyn Disk, path: &Path, data: &[u8]) -> std::io::Result<Box<dyn File>> {
    let file = disk.create(path)?;
    file.write_at(0, data)?;
    file.datasync()?;
    Ok(file)
}
