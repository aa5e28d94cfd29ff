//! What the outbox asks of a record before it keeps it: enough to send it and to know its answer.

use serde_json::Value;

use crate::http::RECORD_BYTES_MAX;
use crate::{Error, Result};

const EPOCH_MAX: u64 = (1 << 53) - 1;
const SHARD_ID_BYTES_MAX: usize = 128;

/// The members of a record that the outbox acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub pcs_id: String,
    pub shard_id: String,
    pub epoch: u64,
}

/// Read a signed record as far as the outbox needs it; whether it is valid is its signer's matter.
///
/// # Errors
///
/// It is no JSON object on one line with `pcs_id`, `shard_id`, `epoch` and `sig`, or too large.
pub(crate) fn read_record(body: &[u8]) -> Result<Named> {
    if body.len() > RECORD_BYTES_MAX {
        return Err(Error::contract(format!(
            "record: expected at most {RECORD_BYTES_MAX} bytes, got {}",
            body.len()
        )));
    }
    let is_one_line = !body.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    is_one_line.then(|| parse(body)).flatten().ok_or_else(|| {
        Error::contract(
            "record: expected a signed record on one line with pcs_id, shard_id and epoch, got \
             something else",
        )
    })
}

fn parse(body: &[u8]) -> Option<Named> {
    let record: Value = serde_json::from_slice(body).ok()?;
    let pcs_id = record.get("pcs_id")?.as_str()?;
    let shard_id = record.get("shard_id")?.as_str()?;
    let epoch = record.get("epoch")?.as_u64().filter(|epoch| *epoch <= EPOCH_MAX)?;
    record.get("sig")?;
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_id = pcs_id.len() == 64 && pcs_id.bytes().all(is_hex);
    if !is_id || !(1..=SHARD_ID_BYTES_MAX).contains(&shard_id.len()) {
        return None;
    }
    Some(Named { pcs_id: pcs_id.to_owned(), shard_id: shard_id.to_owned(), epoch })
}
