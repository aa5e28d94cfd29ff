//! Batches: records in lines out, an answer for each line back.
//!
//! Lines and answers stay in step by their number alone, so what is sent holds one line for each
//! record and nothing else, and an answer that does not hold one whole line for each answers none.

use std::time::Duration;

use serde_json::value::RawValue;

use super::answer::{Answer, problem_code};

use crate::{Error, Result};

/// Bytes of one record.
pub const RECORD_BYTES_MAX: usize = 65_536;
/// Records of one batch.
pub const BATCH_RECORDS_MAX: usize = 10_000;
/// Bytes of its lines before they are compressed.
pub const BATCH_BYTES_MAX: usize = 16 << 20;
/// Counted over all lines of an answer: a decision has some 400 bytes, a problem some 900.
pub(super) const ANSWER_LINE_BYTES_MAX: u64 = 4_096;
/// A longer wait than a century is none that anybody meant.
const RETRY_AFTER_S_MAX: f64 = 1e10;

/// How the lines of a batch are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// As they are.
    Identity,
    /// Compressed by gzip's fastest level, which leaves about a quarter.
    #[default]
    Gzip,
    /// Compressed by zstd.
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Encoding {
    pub(super) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            #[cfg(feature = "zstd")]
            Self::Zstd => Some("zstd"),
        }
    }

    pub(super) fn encode(self, lines: Vec<u8>) -> Result<Vec<u8>> {
        let encoded = match self {
            Self::Identity => return Ok(lines),
            Self::Gzip => {
                use std::io::Write;
                let out = Vec::with_capacity(lines.len() / 3);
                let mut gzip = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
                gzip.write_all(&lines).and_then(|()| gzip.finish())
            }
            #[cfg(feature = "zstd")]
            Self::Zstd => zstd::bulk::compress(&lines, 1),
        };
        encoded
            .map_err(|error| Error::contract(format!("batch: expected it compressed, got {error}")))
    }
}

/// Split records in order into pieces that a batch takes; none for no record.
///
/// ```
/// let bodies = vec![b"{}"; 25_000];
/// let sizes: Vec<usize> = fractal_lba_client::split_batch(&bodies).map(<[_]>::len).collect();
/// assert_eq!(sizes, [10_000, 10_000, 5_000]);
/// ```
pub fn split_batch<B: AsRef<[u8]>>(bodies: &[B]) -> impl Iterator<Item = &[B]> {
    let mut rest = bodies;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = rest.iter().take(BATCH_RECORDS_MAX).take_while(|body| {
            bytes += body.as_ref().len() + 1;
            bytes <= BATCH_BYTES_MAX
        });
        // A record that is larger is a piece of its own, which the batch refuses.
        let count = fitting.count().max(1).min(rest.len());
        let (piece, others) = rest.split_at(count);
        rest = others;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Check what is to be sent as one batch: such a batch would be refused as a whole, or answered out
/// of step.
pub(super) fn check(bodies: &[&[u8]]) -> Result<()> {
    if !(1..=BATCH_RECORDS_MAX).contains(&bodies.len()) {
        return Err(Error::contract(format!(
            "batch: expected 1 to {BATCH_RECORDS_MAX} records, got {}",
            bodies.len()
        )));
    }
    for (at, body) in bodies.iter().enumerate() {
        if body.is_empty() || body.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            return Err(Error::contract(format!(
                "batch: expected record {at} to be one line, got another form"
            )));
        }
        if body.len() > RECORD_BYTES_MAX {
            return Err(Error::contract(format!(
                "batch: expected record {at} to have at most {RECORD_BYTES_MAX} bytes, got {}",
                body.len()
            )));
        }
    }
    let bytes = bodies.iter().map(|body| body.len() + 1).sum::<usize>();
    if bytes > BATCH_BYTES_MAX {
        return Err(Error::contract(format!(
            "batch: expected at most {BATCH_BYTES_MAX} bytes, got {bytes}"
        )));
    }
    Ok(())
}

/// The lines of a batch.
pub(super) fn joined(bodies: &[&[u8]]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(bodies.iter().map(|body| body.len() + 1).sum());
    for body in bodies {
        lines.extend_from_slice(body);
        lines.push(b'\n');
    }
    lines
}

/// The answers in the body of a `200` to so many records; or what is wrong with it, and then no
/// record was answered.
pub(super) fn read_lines(data: &[u8], count: usize) -> std::result::Result<Vec<Answer>, String> {
    // What is cut at its last line feed is cut.
    let Some(whole) = data.strip_suffix(b"\n") else {
        return Err(format!("expected {count} whole lines, got something else"));
    };
    let lines: Vec<&[u8]> = whole.split(|byte| *byte == b'\n').collect();
    if lines.len() != count {
        return Err(format!("expected {count} lines, got {}", lines.len()));
    }
    let answers: Option<Vec<Answer>> = lines.into_iter().map(read_line).collect();
    answers.ok_or_else(|| {
        "expected each line to have a status and a body, got something else".to_owned()
    })
}

fn read_line(line: &[u8]) -> Option<Answer> {
    // Members that a later server may add are passed over.
    let members: std::collections::BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(line).ok()?;
    let status: u16 = serde_json::from_str(members.get("status")?.get()).ok()?;
    if !(200..=599).contains(&status) {
        return None;
    }
    let body = members.get("body")?.get().as_bytes().to_vec();
    let replayed =
        members.get("replayed").map_or(Ok(false), |raw| serde_json::from_str(raw.get())).ok()?;
    let received_at: Option<String> =
        members.get("received_at").map_or(Ok(None), |raw| serde_json::from_str(raw.get())).ok()?;
    let retry_after_s: Option<f64> =
        members.get("retry_after").map_or(Ok(None), |raw| serde_json::from_str(raw.get())).ok()?;
    if retry_after_s.is_some_and(|seconds| seconds < 0.0) {
        return None;
    }
    Some(Answer {
        status,
        code: problem_code(status, &body),
        body,
        replayed,
        received_at,
        retry_after: retry_after_s
            .map(|seconds| Duration::from_secs_f64(seconds.min(RETRY_AFTER_S_MAX))),
        attempts: 1,
    })
}
