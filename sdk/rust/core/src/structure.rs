//! Checks on one member: a parsed value in, a typed value out, or the refusal that names it.
//!
//! Every check has its own reason, so that (reason, member) says which rule was broken; the value
//! itself never appears in a message.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::base64::decode_base64;
use crate::error::{Refusal, RefusalCode};
use crate::timestamp::parse_timestamp;
use crate::value::{safe_integer, Object, Value, SAFE_INTEGER_MAX};

/// Where a value stands in a record.
#[derive(Clone, Copy)]
pub(crate) enum Path<'a> {
    /// A member of the record.
    Top(&'a str),
    /// An item of an array member.
    Item(&'a str, usize),
    /// A member of an object member, its name known to be tame.
    Inner(&'a str, &'a str),
    /// The same, its name chosen by the sender.
    Foreign(&'a str, &'a str),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top(name) => f.write_str(name),
            Self::Item(name, index) => write!(f, "{name}.{index}"),
            Self::Inner(name, inner) => write!(f, "{name}.{inner}"),
            Self::Foreign(name, inner) => write!(f, "{name}.{}", shown(inner)),
        }
    }
}

/// Returns a name the sender chose as a message may hold it: as it is where it is tame.
pub(crate) fn shown(name: &str) -> &str {
    if is_key_name(name) {
        name
    } else {
        "?"
    }
}

pub(crate) fn refuse(
    reason: &'static str,
    path: Path<'_>,
    expected: &'static str,
    got: &'static str,
) -> Refusal {
    Refusal::of_member(RefusalCode::InvalidRecord, reason, path.to_string(), expected, got)
}

/// The refusal of a member that is absent (`missing`) or of another type (`wrong_type`).
pub(crate) fn refuse_type(
    value: Option<&Value>,
    path: Path<'_>,
    expected: &'static str,
) -> Refusal {
    let got = match value {
        None => return refuse("missing", path, expected, "nothing"),
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "a boolean",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(_)) => "a string",
        Some(Value::Array(_)) => "an array",
        Some(Value::Object(_)) => "an object",
    };
    refuse("wrong_type", path, expected, got)
}

/// Returns any integer a double holds exactly.
pub(crate) fn require_safe_integer(value: Option<&Value>, path: Path<'_>) -> Result<i64, Refusal> {
    match value {
        Some(Value::Number(number)) => safe_integer(*number).ok_or_else(|| {
            let expected = "an integer within ±(2^53−1)";
            refuse("not_an_integer", path, expected, "another number")
        }),
        _ => Err(refuse_type(value, path, "an integer")),
    }
}

/// Returns an integer in a range.
pub(crate) fn require_integer(
    value: Option<&Value>,
    path: Path<'_>,
    least: u64,
    most: u64,
) -> Result<u64, Refusal> {
    let integer = require_safe_integer(value, path)?;
    match u64::try_from(integer) {
        Ok(integer) if (least..=most).contains(&integer) => Ok(integer),
        _ => Err(refuse("out_of_range", path, "an integer in its range", "one outside")),
    }
}

/// Returns an integer of at most 2^32−1 in a range.
pub(crate) fn require_small(
    value: Option<&Value>,
    path: Path<'_>,
    least: u32,
    most: u32,
) -> Result<u32, Refusal> {
    require_integer(value, path, least.into(), most.into()).map(|integer| integer as u32)
}

/// Returns an integer of 0 … 2^53−1.
pub(crate) fn require_count(value: Option<&Value>, path: Path<'_>) -> Result<u64, Refusal> {
    require_integer(value, path, 0, SAFE_INTEGER_MAX)
}

/// Returns a number in a range.
pub(crate) fn require_number(
    value: Option<&Value>,
    path: Path<'_>,
    least: f64,
    most: f64,
) -> Result<f64, Refusal> {
    let number =
        value.and_then(Value::as_f64).ok_or_else(|| refuse_type(value, path, "a number"))?;
    check_number(number, path, least, most)
}

pub(crate) fn check_number(
    number: f64,
    path: Path<'_>,
    least: f64,
    most: f64,
) -> Result<f64, Refusal> {
    if !(least..=most).contains(&number) {
        return Err(refuse("out_of_range", path, "a number in its range", "one outside"));
    }
    Ok(number)
}

/// Returns true or false.
pub(crate) fn require_boolean(value: Option<&Value>, path: Path<'_>) -> Result<bool, Refusal> {
    value.and_then(Value::as_bool).ok_or_else(|| refuse_type(value, path, "true or false"))
}

fn require_string<'a>(value: Option<&'a Value<'a>>, path: Path<'_>) -> Result<&'a str, Refusal> {
    value.and_then(Value::as_str).ok_or_else(|| refuse_type(value, path, "a string"))
}

/// Returns a string of at most `bytes_max` bytes of UTF-8.
pub(crate) fn require_text<'a>(
    value: Option<&'a Value<'a>>,
    path: Path<'_>,
    bytes_max: usize,
) -> Result<&'a str, Refusal> {
    check_text(require_string(value, path)?, path, bytes_max)
}

pub(crate) fn check_text<'a>(
    text: &'a str,
    path: Path<'_>,
    bytes_max: usize,
) -> Result<&'a str, Refusal> {
    if text.len() > bytes_max {
        return Err(refuse("too_long", path, "fewer bytes of UTF-8", "more"));
    }
    Ok(text)
}

/// Returns a string that has a form as a whole.
pub(crate) fn require_match<'a>(
    value: Option<&'a Value<'a>>,
    path: Path<'_>,
    form: fn(&str) -> bool,
) -> Result<&'a str, Refusal> {
    check_match(require_string(value, path)?, path, form)
}

pub(crate) fn check_match<'a>(
    text: &'a str,
    path: Path<'_>,
    form: fn(&str) -> bool,
) -> Result<&'a str, Refusal> {
    if !form(text) {
        return Err(refuse("wrong_format", path, "a text of its pattern", "another text"));
    }
    Ok(text)
}

/// Returns which of a closed set a string is.
pub(crate) fn require_one_of<T>(
    value: Option<&Value>,
    path: Path<'_>,
    named: fn(&str) -> Option<T>,
) -> Result<T, Refusal> {
    let text = require_string(value, path)?;
    named(text).ok_or_else(|| refuse("wrong_value", path, "a known text", "another text"))
}

/// Returns the milliseconds since 1970 a timestamp stands for.
pub(crate) fn require_timestamp(value: Option<&Value>, path: Path<'_>) -> Result<u64, Refusal> {
    parse_timestamp(require_string(value, path)?).map_err(|_| {
        let expected = "YYYY-MM-DDTHH:MM:SS.mmmZ from 1970 on";
        refuse("wrong_format", path, expected, "another text")
    })
}

/// Returns the bytes of `sig`: none where it is empty, which is refused later, like an absent one.
pub(crate) fn require_signature(value: Option<&Value>) -> Result<Option<Vec<u8>>, Refusal> {
    if value.is_none() {
        return Ok(None);
    }
    let path = Path::Top("sig");
    let signature = decode_base64(require_string(value, path)?)
        .map_err(|_| refuse("not_base64", path, "standard base64 with padding", "another text"))?;
    match signature.len() {
        0 | 32 | 64 => Ok(Some(signature)),
        _ => Err(refuse("wrong_length", path, "32 or 64 bytes", "another number")),
    }
}

/// Returns an array with a bounded number of items.
pub(crate) fn require_array<'a>(
    value: Option<&'a Value<'a>>,
    path: Path<'_>,
    least: usize,
    most: usize,
) -> Result<&'a [Value<'a>], Refusal> {
    let items = value.and_then(Value::as_array);
    let items = items.ok_or_else(|| refuse_type(value, path, "an array"))?;
    check_count(items.len(), path, least, most)?;
    Ok(items)
}

pub(crate) fn check_count(
    count: usize,
    path: Path<'_>,
    least: usize,
    most: usize,
) -> Result<(), Refusal> {
    if !(least..=most).contains(&count) {
        return Err(refuse("wrong_count", path, "another number of them", "too few or too many"));
    }
    Ok(())
}

/// Returns an object.
pub(crate) fn require_object<'a>(
    value: Option<&'a Value<'a>>,
    path: Path<'_>,
) -> Result<&'a Object<'a>, Refusal> {
    value.and_then(Value::as_object).ok_or_else(|| refuse_type(value, path, "an object"))
}

/// Refuses the first member, in canonical order, that is not one of the known names.
pub(crate) fn refuse_unknown(
    object: &Object,
    outer: Option<&str>,
    known: impl Fn(&str) -> bool,
) -> Result<(), Refusal> {
    let unknown = object.iter().find(|(name, _)| !known(name));
    unknown.map_or(Ok(()), |(name, _)| {
        let path = outer.map_or_else(|| Path::Top(shown(name)), |outer| Path::Foreign(outer, name));
        Err(refuse("unknown_member", path, "no such member", "one"))
    })
}

/// Refuses a `pcs_id` that is not the one its record must have.
pub(crate) fn require_own_id(pcs_id: &str, own: &str) -> Result<(), Refusal> {
    if pcs_id == own {
        return Ok(());
    }
    let expected = "the hash of merkle_root, epoch and shard_id";
    let code = RefusalCode::PcsIdMismatch;
    Err(Refusal::of_member(code, "pcs_id_mismatch", "pcs_id", expected, "another"))
}

/// Whether a text is 64 lower-case hexadecimal digits.
pub(crate) fn is_hash(text: &str) -> bool {
    // Without a way out in the middle, so that all are looked at at once.
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 64 && text.bytes().fold(true, |all, byte| all & is_digit(byte))
}

/// Whether a text is `[A-Za-z0-9._-]{1,64}`: the name of a key or a tenant, or a tame member.
pub(crate) fn is_key_name(text: &str) -> bool {
    is_made_of(text, 64, |byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Whether a text is `[A-Za-z0-9._:-]{1,128}`: the name of a stream.
pub(crate) fn is_shard_id(text: &str) -> bool {
    is_made_of(text, 128, |byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}

/// Whether a text is `[a-z0-9_.]{1,64}`: a name in `meta`.
pub(crate) fn is_meta_name(text: &str) -> bool {
    is_made_of(text, 64, |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.'))
}

fn is_made_of(text: &str, bytes_max: usize, allowed: impl Fn(u8) -> bool) -> bool {
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(allowed)
}

/// Returns an owned copy, for members that are kept.
pub(crate) fn kept(text: &str) -> String {
    text.into()
}
