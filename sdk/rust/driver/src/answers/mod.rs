//! What the SDK says to the input of a case: one function for each file of vectors.
//!
//! Each returns what is expected of a valid case, or of an invalid one.

use fractal_lba_core::{canonical, Object, Refusal, Value};

use crate::fields::{base64, count, nullable, object};

pub mod documents;
pub mod keys;
pub mod records;
pub mod signals;
pub mod trees;
pub mod verdicts;

/// What is expected of a valid case, or of an invalid one.
pub type Answer = Result<Object<'static>, Object<'static>>;

/// Returns what a case states of a refusal.
#[must_use]
pub fn refused(refusal: &Refusal) -> Object<'static> {
    object([
        ("code", refusal.code.as_str().into()),
        ("reason", refusal.reason.into()),
        ("member", nullable(refusal.member.as_deref())),
    ])
}

/// Returns a double by its canonical text and its bits.
///
/// # Panics
///
/// It is not finite.
#[must_use]
pub fn real(value: f64) -> Value<'static> {
    let text = canonical(&Value::Number(value)).expect("a finite double");
    let text = String::from_utf8(text).expect("a number is ASCII");
    object([("text", text.into()), ("bits", format!("{:016x}", value.to_bits()).into())]).into()
}

/// Returns a body: base64, and the spaces that follow it.
#[must_use]
pub fn body(given: &Object) -> Vec<u8> {
    let mut body = base64(given, "body");
    body.resize(body.len() + count(given, "trailing_spaces") as usize, b' ');
    body
}
