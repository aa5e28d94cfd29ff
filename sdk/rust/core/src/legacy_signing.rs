//! Signatures of version 0.1: a closed list of spellings, and nothing else.
//!
//! Old agents did not agree on the bytes they signed. Every spelling in use is named here and tried in
//! this order:
//!
//! ```text
//! 1  floats as Python's repr         HMAC over the bytes
//! 2                                  HMAC over their SHA-256
//! 3  floats as ECMAScript            HMAC over the bytes
//! 4                                  HMAC over their SHA-256
//! ```
//!
//! Ed25519 is tried over the SHA-256 of spelling 1, then over that of spelling 3.

use alloc::string::String;
use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use crate::canonical::{write_number, write_unsigned};
use crate::hex::{hex, write_hex};
use crate::keyring::{Alg, Key};
use crate::legacy::LegacySigned;

const LEGACY_LABEL: &[u8] = b"fractal-lba/legacy/1\n";
/// Python's `repr` writes an exponent from 1e16 on, and below 1e-4.
const PYTHON_FIXED_DIGITS_MAX: i32 = 16;
const PYTHON_FIXED_ZEROS_MAX: i32 = 3;

impl LegacySigned {
    /// Returns spelling 1: floats as `repr` writes them (`1.0`, `5e-05`).
    #[must_use]
    pub fn spelled_as_python(&self) -> Vec<u8> {
        self.spelled(write_python_number)
    }

    /// Returns spelling 3: floats as ECMA-262 `Number::toString` writes them (`1`, `0.00005`).
    #[must_use]
    pub fn spelled_as_ecmascript(&self) -> Vec<u8> {
        self.spelled(write_number)
    }

    /// Returns the record's one name, lower-case hex: its record digest and its content digest.
    ///
    /// One name for all spellings, so that a record signed again in another one is a repeat.
    #[must_use]
    pub fn digest(&self) -> String {
        let hasher = Sha256::new().chain_update(LEGACY_LABEL);
        hex(&hasher.chain_update(self.spelled_as_python()).finalize())
    }

    /// Returns whether a signature is this key's, in one of the spellings of its algorithm.
    #[must_use]
    pub fn is_signed_by(&self, key: &Key, signature: &[u8]) -> bool {
        let spellings = [Self::spelled_as_python, Self::spelled_as_ecmascript];
        spellings.iter().any(|spelled| {
            let message = spelled(self);
            let is_plain = key.alg() == Alg::HmacSha256 && key.verify(&message, signature);
            is_plain || key.verify(&Sha256::digest(&message), signature)
        })
    }

    fn spelled(&self, write: fn(&mut Vec<u8>, f64)) -> Vec<u8> {
        let mut out = Vec::new();
        let number = |out: &mut Vec<u8>, name: &[u8], value: f64| {
            out.extend_from_slice(name);
            write(out, value);
        };
        number(&mut out, b"{\"D_hat\":", self.d_hat);
        number(&mut out, b",\"budget\":", self.budget);
        number(&mut out, b",\"coh_star\":", self.coh_star);
        out.extend_from_slice(b",\"epoch\":");
        write_unsigned(&mut out, self.epoch);
        out.extend_from_slice(b",\"merkle_root\":");
        write_ascii_string(&mut out, &self.merkle_root);
        out.extend_from_slice(b",\"pcs_id\":");
        write_ascii_string(&mut out, &self.pcs_id);
        number(&mut out, b",\"r\":", self.r);
        out.extend_from_slice(b",\"shard_id\":");
        write_ascii_string(&mut out, &self.shard_id);
        out.push(b'}');
        out
    }
}

/// Writes a string without control characters, every UTF-16 unit beyond ASCII escaped.
fn write_ascii_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ (b'"' | b'\\')) => out.extend_from_slice(&[b'\\', byte]),
            Ok(byte) if byte.is_ascii() => out.push(byte),
            _ => {
                out.extend_from_slice(b"\\u");
                write_hex(out, &unit.to_be_bytes());
            }
        }
    }
    out.push(b'"');
}

/// Writes a finite double as Python's `repr` does: the shortest digits that round back, as ECMAScript
/// has them too, laid out in another way.
fn write_python_number(out: &mut Vec<u8>, number: f64) {
    let mut buffer = ryu_js::Buffer::new();
    let text = buffer.format_finite(number.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let leading = digits.iter().take_while(|digit| **digit == b'0').count().min(digits.len() - 1);
    digits.drain(..leading);
    // The value is 0.DIGITS · 10^point.
    let mut point = whole.len() as i32 + exponent - leading as i32;
    while digits.len() > 1 && digits.ends_with(b"0") {
        digits.pop();
    }
    if number == 0.0 {
        point = 1;
    }
    if number < 0.0 {
        out.push(b'-');
    }
    let count = digits.len() as i32;
    if !(-PYTHON_FIXED_ZEROS_MAX..=PYTHON_FIXED_DIGITS_MAX).contains(&point) {
        write_with_exponent(out, &digits, point - 1);
    } else if point <= 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-point) as usize, b'0');
        out.extend_from_slice(&digits);
    } else if count <= point {
        out.extend_from_slice(&digits);
        out.resize(out.len() + (point - count) as usize, b'0');
        out.extend_from_slice(b".0");
    } else {
        out.extend_from_slice(&digits[..point as usize]);
        out.push(b'.');
        out.extend_from_slice(&digits[point as usize..]);
    }
}

fn write_with_exponent(out: &mut Vec<u8>, digits: &[u8], exponent: i32) {
    out.push(digits[0]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    let size = exponent.unsigned_abs();
    if size < 10 {
        out.push(b'0');
    }
    write_unsigned(out, size.into());
}
