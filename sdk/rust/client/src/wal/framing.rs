//! Frame a segment: bytes in, bytes out (`specs/storage.md` section 2).
//!
//! A segment is a header and then batches; a batch is a header and then frames. Integers are
//! little-endian, offsets count from the start of the file. Both checksums of batch and frame cover
//! the segment's id and everything but themselves, so that neither a damaged length nor a stale
//! block of another segment can point at a valid one. Numbers are stored masked by the id, so that
//! no payload can hold one on purpose.

use crc32c::{crc32c, crc32c_append};

use crate::{Error, Result};

pub(crate) const FORMAT: u16 = 1;
const READ_SINCE: [u8; 2] = [0, 1];
const SEGMENT_MAGIC: &[u8; 8] = b"\xf1FLBASEG";
pub(crate) const BATCH_MAGIC: &[u8; 4] = b"\xf1LBb";
pub(crate) const NAME_BYTES_MAX: usize = 128;
const PREFACE_BYTES: usize = 16;
pub(crate) const HEADER_BYTES: usize = 232;
pub(crate) const BATCH_BYTES: usize = 32;
/// What a frame takes beside its meta block and payload.
pub(crate) const FRAME_BYTES: usize = 26;
pub(crate) const FRAME_SEQ_AT: usize = 8;
const FRAME_BODY_BYTES: u64 = 18;
pub(crate) const META_BYTES_MAX: usize = 0xFFFF;

/// A segment's id; zeros name no segment.
pub(crate) type SegmentId = [u8; 16];

/// What is to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewFrame {
    /// Nanoseconds since 1970.
    pub received_ns: u64,
    pub meta: Vec<u8>,
    pub payload: Vec<u8>,
}

impl NewFrame {
    /// Bytes it takes on disk.
    pub(crate) fn size(&self) -> usize {
        FRAME_BYTES + self.meta.len() + self.payload.len()
    }
}

/// What was appended, under its number (from 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub seq: u64,
    pub received_ns: u64,
    pub meta: Vec<u8>,
    pub payload: Vec<u8>,
}

/// What a segment says of itself and of the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub stream: String,
    pub ordinal: u64,
    pub segment_id: SegmentId,
    pub first_seq: u64,
    pub previous_id: SegmentId,
    pub previous_end: u64,
    pub created_ns: u64,
    pub kept_from: u64,
    pub passed_from: u64,
}

/// What a segment's id lends to the bytes inside: the checksums' start and the mask of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentKey {
    pub segment_id: SegmentId,
    pub crc: u32,
    pub mask: u64,
}

impl SegmentKey {
    pub(crate) fn new(segment_id: SegmentId) -> Self {
        Self { segment_id, crc: crc32c(&segment_id), mask: u64_at(&segment_id, 0) }
    }

    /// The eight bytes a number is stored as.
    pub(crate) fn stored(&self, seq: u64) -> [u8; 8] {
        (seq ^ self.mask).to_le_bytes()
    }
}

/// A sound batch header and where it stands; `end` is where its frames end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchAt {
    pub offset: usize,
    pub end: usize,
    pub frames: u32,
    pub first_seq: u64,
    pub durable_offset: u64,
}

/// A sound frame and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameAt {
    pub offset: usize,
    pub end: usize,
    pub seq: u64,
    pub received_ns: u64,
    pub meta_bytes: usize,
}

pub(crate) fn u16_at(data: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(data[at..at + 2].try_into().expect("two bytes"))
}

pub(crate) fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(data[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(data: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(data[at..at + 8].try_into().expect("eight bytes"))
}

/// The 232 bytes that open a segment. The name has at most 128 bytes.
pub(crate) fn pack_header(header: &SegmentHeader) -> Vec<u8> {
    let name = header.stream.as_bytes();
    let mut data = Vec::with_capacity(HEADER_BYTES);
    data.extend_from_slice(SEGMENT_MAGIC);
    data.extend_from_slice(&FORMAT.to_le_bytes());
    data.extend_from_slice(&READ_SINCE);
    data.extend_from_slice(&crc32c(&data).to_le_bytes());
    let mut body = Vec::with_capacity(HEADER_BYTES);
    body.extend_from_slice(&u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes());
    for number in [header.ordinal, header.first_seq] {
        body.extend_from_slice(&number.to_le_bytes());
    }
    body.extend_from_slice(&header.segment_id);
    body.extend_from_slice(&header.previous_id);
    for number in [header.previous_end, header.created_ns, header.kept_from, header.passed_from] {
        body.extend_from_slice(&number.to_le_bytes());
    }
    body.extend_from_slice(name);
    body.resize(HEADER_BYTES - PREFACE_BYTES - 4, 0);
    let whole = crc32c_append(crc32c(&data), &body);
    data.extend_from_slice(&whole.to_le_bytes());
    data.extend_from_slice(&body);
    data
}

/// The header at the start of `data`, `None` where it is damaged.
///
/// # Errors
///
/// It is sound and of another format version, which a later release reads.
pub(crate) fn unpack_header(data: &[u8]) -> Result<Option<SegmentHeader>> {
    if data.len() < PREFACE_BYTES || &data[..8] != SEGMENT_MAGIC {
        return Ok(None);
    }
    if u32_at(data, 12) != crc32c(&data[..12]) {
        return Ok(None);
    }
    let format = u16_at(data, 8);
    if format != FORMAT {
        return Err(Error::Newer {
            message: format!(
                "segment: expected format {FORMAT}, got format {format}, which release {}.{} and \
                 later read",
                data[10], data[11]
            ),
        });
    }
    if data.len() < HEADER_BYTES {
        return Ok(None);
    }
    let whole = crc32c_append(crc32c(&data[..PREFACE_BYTES]), &data[20..HEADER_BYTES]);
    if u32_at(data, 16) != whole {
        return Ok(None);
    }
    let first_seq = u64_at(data, 32);
    let (kept_from, passed_from) = (u64_at(data, 88), u64_at(data, 96));
    let Some(stream) = stream_name(&data[104..HEADER_BYTES], u32_at(data, 20)) else {
        return Ok(None);
    };
    if kept_from.max(passed_from) > first_seq {
        return Ok(None);
    }
    Ok(Some(SegmentHeader {
        stream,
        ordinal: u64_at(data, 24),
        segment_id: data[40..56].try_into().expect("sixteen bytes"),
        first_seq,
        previous_id: data[56..72].try_into().expect("sixteen bytes"),
        previous_end: u64_at(data, 72),
        created_ns: u64_at(data, 80),
        kept_from,
        passed_from,
    }))
}

fn stream_name(padded: &[u8], length: u32) -> Option<String> {
    let length = usize::try_from(length).ok()?;
    if length > NAME_BYTES_MAX || padded[length..].iter().any(|byte| *byte != 0) {
        return None;
    }
    String::from_utf8(padded[..length].to_vec()).ok()
}

/// The bytes of a batch and where in them each frame starts. Its frames stay below 4 GiB together.
pub(crate) fn pack_batch(
    key: &SegmentKey,
    frames: &[NewFrame],
    first_seq: u64,
    durable_offset: u64,
) -> (Vec<u8>, Vec<usize>) {
    let frames_bytes: usize = frames.iter().map(NewFrame::size).sum();
    let mut data = Vec::with_capacity(BATCH_BYTES + frames_bytes);
    let mut starts = Vec::with_capacity(frames.len());
    data.extend_from_slice(BATCH_MAGIC);
    data.extend_from_slice(&[0; 4]);
    data.extend_from_slice(&u32_of(frames_bytes).to_le_bytes());
    data.extend_from_slice(&u32_of(frames.len()).to_le_bytes());
    data.extend_from_slice(&key.stored(first_seq));
    data.extend_from_slice(&durable_offset.to_le_bytes());
    let crc = crc32c_append(key.crc, &data[8..]);
    data[4..8].copy_from_slice(&crc.to_le_bytes());
    for (seq, new) in (first_seq..).zip(frames) {
        starts.push(data.len());
        pack_frame(key, seq, new, &mut data);
    }
    (data, starts)
}

fn pack_frame(key: &SegmentKey, seq: u64, new: &NewFrame, data: &mut Vec<u8>) {
    let start = data.len();
    let length = u32_of(new.size() - FRAME_SEQ_AT);
    data.extend_from_slice(&length.to_le_bytes());
    data.extend_from_slice(&[0; 4]);
    data.extend_from_slice(&key.stored(seq));
    data.extend_from_slice(&new.received_ns.to_le_bytes());
    let meta_bytes = u16::try_from(new.meta.len()).expect("a meta block within its bound");
    data.extend_from_slice(&meta_bytes.to_le_bytes());
    data.extend_from_slice(&new.meta);
    data.extend_from_slice(&new.payload);
    let crc = crc32c_append(crc32c_append(key.crc, &length.to_le_bytes()), &data[start + 8..]);
    data[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

fn u32_of(size: usize) -> u32 {
    u32::try_from(size).expect("a batch within its bound")
}

/// The batch header at `offset` when it stands whole below `end` and verifies.
///
/// Its frames may lie beyond `end`: that is for the caller to judge.
pub(crate) fn batch_at(
    data: &[u8],
    offset: usize,
    end: usize,
    key: &SegmentKey,
) -> Option<BatchAt> {
    if end.saturating_sub(offset) < BATCH_BYTES || &data[offset..offset + 4] != BATCH_MAGIC {
        return None;
    }
    let durable_offset = u64_at(data, offset + 24);
    if durable_offset < HEADER_BYTES as u64 || durable_offset > offset as u64 {
        return None;
    }
    let covered = crc32c_append(key.crc, &data[offset + 8..offset + BATCH_BYTES]);
    if covered != u32_at(data, offset + 4) {
        return None;
    }
    let (length, frames) = (u32_at(data, offset + 8), u32_at(data, offset + 12));
    let first_seq = u64_at(data, offset + 16) ^ key.mask;
    // A right checksum does not make room for more frames than fit, nor a mark with something in it.
    let fits = u64::from(frames) * FRAME_BYTES as u64 <= u64::from(length);
    if !fits || (frames == 0 && length != 0) || is_beyond(first_seq, frames) {
        return None;
    }
    Some(BatchAt {
        offset,
        end: offset + BATCH_BYTES + length as usize,
        frames,
        first_seq,
        durable_offset,
    })
}

fn is_beyond(first_seq: u64, frames: u32) -> bool {
    u128::from(first_seq) + u128::from(frames) > 1 << 64
}

/// The frame at `offset` when it stands whole below `end` and verifies.
pub(crate) fn frame_at(
    data: &[u8],
    offset: usize,
    end: usize,
    key: &SegmentKey,
) -> Option<FrameAt> {
    if end.saturating_sub(offset) < FRAME_BYTES {
        return None;
    }
    let length = u64::from(u32_at(data, offset));
    let meta_bytes = u16_at(data, offset + 24);
    // The length is only a claim until the checksum, which covers it, agrees: it may choose what is
    // summed, never beyond the bytes at hand.
    let size = claimed_size(data, offset);
    if size > (end - offset) as u64 || length < FRAME_BODY_BYTES + u64::from(meta_bytes) {
        return None;
    }
    let frame_end = offset + usize::try_from(size).ok()?;
    let start = crc32c_append(key.crc, &data[offset..offset + 4]);
    let covered = crc32c_append(start, &data[offset + FRAME_SEQ_AT..frame_end]);
    if covered != u32_at(data, offset + 4) {
        return None;
    }
    Some(FrameAt {
        offset,
        end: frame_end,
        seq: u64_at(data, offset + FRAME_SEQ_AT) ^ key.mask,
        received_ns: u64_at(data, offset + 16),
        meta_bytes: usize::from(meta_bytes),
    })
}

/// How many bytes the frame header at `offset` claims for its frame, unverified.
pub(crate) fn claimed_size(data: &[u8], offset: usize) -> u64 {
    FRAME_SEQ_AT as u64 + u64::from(u32_at(data, offset))
}

/// The frame that [`frame_at`] found in `data`.
pub(crate) fn frame_of(data: &[u8], found: &FrameAt) -> Frame {
    let meta_at = found.offset + FRAME_BYTES;
    let payload_at = meta_at + found.meta_bytes;
    Frame {
        seq: found.seq,
        received_ns: found.received_ns,
        meta: data[meta_at..payload_at].to_vec(),
        payload: data[payload_at..found.end].to_vec(),
    }
}
