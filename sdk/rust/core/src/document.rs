//! A record before its version is known: size, strict JSON, an object, and what it says it is.
//!
//! Every version is read through here, so that a body is refused for the same fault whichever version
//! it claims.

use crate::error::{Refusal, RefusalCode};
use crate::parse::{parse_json, RECORD_DEPTH_MAX};
use crate::structure::{refuse_type, Path};
use crate::value::{Object, Value};

/// What `schema` holds in every version.
pub const SCHEMA: &str = "fractal-lba-kakeya";
/// The version of records that are made today.
pub const VERSION: &str = "1.0";
/// The version of old agents: accepted, never made.
pub const LEGACY_VERSION: &str = "0.1";
/// A body as sent; the longest canonical record needs less than half of it.
pub const RECORD_BYTES_MAX: usize = 65_536;

/// A version a record can have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Current,
    Legacy,
}

/// Returns the one object a body holds.
pub(crate) fn read_document(body: &[u8]) -> Result<Object<'_>, Refusal> {
    if body.len() > RECORD_BYTES_MAX {
        let code = RefusalCode::TooLarge;
        return Err(Refusal::of(code, "record_too_large", "at most 65536 bytes", "more"));
    }
    match parse_json(body, RECORD_DEPTH_MAX)? {
        Value::Object(object) => Ok(object),
        _ => {
            let code = RefusalCode::InvalidRecord;
            Err(Refusal::of(code, "not_an_object", "an object", "another value"))
        }
    }
}

/// Returns which version a document says it has, of those that are taken at all.
pub(crate) fn require_version(document: &Object) -> Result<Version, Refusal> {
    let value = document.get("version");
    match value.and_then(Value::as_str) {
        Some(VERSION) => Ok(Version::Current),
        Some(LEGACY_VERSION) => Ok(Version::Legacy),
        Some(_) => Err(unsupported("unsupported_version")),
        None => Err(refuse_type(value, Path::Top("version"), "a string")),
    }
}

/// The refusal of a version that is not taken.
pub(crate) fn unsupported(reason: &'static str) -> Refusal {
    let code = RefusalCode::UnsupportedVersion;
    Refusal::of_member(code, reason, "version", "one taken here", "another")
}
