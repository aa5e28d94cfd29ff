//! `ids.json`, `digests.json` and `records_1_0.json`: what a record is and what it is called.

use fractal_lba_core::{encode_base64, pcs_id, Object, Record};

use crate::answers::{body, refused, Answer};
use crate::fields::{count, object, text};

/// Answers `ids.json`.
pub fn ids(given: &Object) -> Answer {
    let id = pcs_id(text(given, "merkle_root"), count(given, "epoch"), text(given, "shard_id"));
    Ok(object([("pcs_id", id.into())]))
}

/// Answers `digests.json`.
pub fn digests(given: &Object) -> Answer {
    let record = Record::parse(&body(given)).map_err(|refusal| refused(&refusal))?;
    Ok(object([
        ("signing_input", encode_base64(&record.signing_input()).into()),
        ("record_digest", record.record_digest().into()),
        ("content_digest", record.content_digest().into()),
    ]))
}

/// Answers `records_1_0.json`: structure alone, no key is asked for.
pub fn records_1_0(given: &Object) -> Answer {
    let record = Record::parse(&body(given)).map_err(|refusal| refused(&refusal))?;
    Ok(object([
        ("pcs_id", record.pcs_id().into()),
        ("stored", encode_base64(&record.stored_bytes()).into()),
    ]))
}
