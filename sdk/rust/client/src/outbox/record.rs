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

/// Read a record that is to be kept, as far as the outbox needs it; whether it is valid is its signer's
/// matter.
///
/// # Errors
///
/// It is no JSON object on one line with `pcs_id`, `shard_id`, `epoch` and a `sig` that is as long as
/// one is, or too large.
pub(crate) fn read_signed(body: &[u8]) -> Result<Named> {
    read(body, is_signature)
}

/// Read a record that was kept, whatever its signature.
///
/// # Errors
///
/// As of [`read_signed`].
pub(crate) fn read_record(body: &[u8]) -> Result<Named> {
    read(body, |_| true)
}

fn read(body: &[u8], is_signed: fn(&str) -> bool) -> Result<Named> {
    if body.len() > RECORD_BYTES_MAX {
        return Err(Error::contract(format!(
            "record: expected at most {RECORD_BYTES_MAX} bytes, got {}",
            body.len()
        )));
    }
    let is_one_line = !body.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    is_one_line.then(|| parse(body, is_signed)).flatten().ok_or_else(|| {
        Error::contract(
            "record: expected one on one line with pcs_id, shard_id, epoch and a whole signature, \
             got something else",
        )
    })
}

fn parse(body: &[u8], is_signed: fn(&str) -> bool) -> Option<Named> {
    let record: Value = serde_json::from_slice(body).ok()?;
    let pcs_id = record.get("pcs_id")?.as_str()?;
    let shard_id = record.get("shard_id")?.as_str()?;
    let epoch = record.get("epoch")?.as_u64().filter(|epoch| *epoch <= EPOCH_MAX)?;
    record.get("sig")?.as_str().filter(|sig| is_signed(sig))?;
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_id = pcs_id.len() == 64 && pcs_id.bytes().all(is_hex);
    if !is_id || !(1..=SHARD_ID_BYTES_MAX).contains(&shard_id.len()) {
        return None;
    }
    Some(Named { pcs_id: pcs_id.to_owned(), shard_id: shard_id.to_owned(), epoch })
}

/// Whether a text is the base64 of an HMAC or of an Ed25519 signature.
fn is_signature(text: &str) -> bool {
    // What of its last character is no part of the bytes is zero.
    let (digits, lasts) = match text.len() {
        44 => (text.strip_suffix('='), "AEIMQUYcgkosw048"),
        88 => (text.strip_suffix("=="), "AQgw"),
        _ => (None, ""),
    };
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    digits.is_some_and(|digits| {
        digits.bytes().all(is_digit) && digits.ends_with(|last| lasts.contains(last))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_base64_of_32_or_64_bytes_and_of_nothing_else() {
        for text in [format!("{}=", "A".repeat(43)), format!("{}w==", "/9".repeat(42) + "+")] {
            assert!(is_signature(&text), "{text}");
        }
        let long = "A".repeat(43);
        for text in [
            String::new(),
            "Zg==".to_owned(),
            long.clone(),
            format!("{long}A"),
            format!("{}B=", &long[1..]),
            format!("{}-A=", &long[2..]),
            format!("{}==", &long[1..]),
            format!("{long}{}B==", &long[1..]),
            format!("{0}{0}=", &long[1..]),
            format!("{}é=", &long[2..]),
            "A".repeat(88),
        ] {
            assert!(!is_signature(&text), "{text}");
        }
    }
}
