//! Seal a segment: what stands behind its last batch once nothing follows in it.
//!
//! The footer says by itself what the file held: a copy of it can be checked alone, and one that was
//! cut short no longer ends in it. It is written when everything before it is durable.

use crc32c::crc32c_append;

use super::framing::{HEADER_BYTES, SegmentKey, u32_at, u64_at};

const FOOTER_MAGIC: &[u8; 4] = b"\xf1LBf";
pub(crate) const FOOTER_BYTES: usize = 44;

/// A footer and where it stands; `whole` is the CRC-32C of everything before `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FooterAt {
    pub offset: usize,
    pub whole: u32,
    pub first_seq: u64,
    pub next_seq: u64,
    /// Nanoseconds since 1970.
    pub sealed_ns: u64,
}

/// The 44 bytes that end a segment.
pub(crate) fn pack_footer(key: &SegmentKey, footer: &FooterAt) -> Vec<u8> {
    let mut body = Vec::with_capacity(FOOTER_BYTES);
    body.extend_from_slice(&footer.whole.to_le_bytes());
    body.extend_from_slice(&key.stored(footer.first_seq));
    body.extend_from_slice(&key.stored(footer.next_seq));
    body.extend_from_slice(&(footer.offset as u64).to_le_bytes());
    body.extend_from_slice(&footer.sealed_ns.to_le_bytes());
    let mut data = Vec::with_capacity(FOOTER_BYTES);
    data.extend_from_slice(FOOTER_MAGIC);
    data.extend_from_slice(&crc32c_append(key.crc, &body).to_le_bytes());
    data.extend_from_slice(&body);
    data
}

/// The footer in the last 44 bytes before `end` when it verifies.
pub(crate) fn footer_before(data: &[u8], end: usize, key: &SegmentKey) -> Option<FooterAt> {
    let offset = end.checked_sub(FOOTER_BYTES)?;
    if offset < HEADER_BYTES || &data[offset..offset + 4] != FOOTER_MAGIC {
        return None;
    }
    if u32_at(data, offset + 4) != crc32c_append(key.crc, &data[offset + 8..end]) {
        return None;
    }
    let first_seq = u64_at(data, offset + 12) ^ key.mask;
    let next_seq = u64_at(data, offset + 20) ^ key.mask;
    if u64_at(data, offset + 28) != offset as u64 || first_seq > next_seq {
        return None;
    }
    Some(FooterAt {
        offset,
        whole: u32_at(data, offset + 8),
        first_seq,
        next_seq,
        sealed_ns: u64_at(data, offset + 36),
    })
}
