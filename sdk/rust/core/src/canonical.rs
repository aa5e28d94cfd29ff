//! Canonical bytes: one JSON value, one spelling (RFC 8785, JCS).
//!
//! What is signed and hashed are these bytes, so they must be the same in every language: members in
//! the order of their UTF-16 code units, numbers as ECMAScript writes them, no white space, UTF-8.

use alloc::vec::Vec;

use crate::error::ContractError;
use crate::parse::JCS_DEPTH_MAX;
use crate::value::Value;

/// Returns the canonical bytes of a JSON value.
///
/// # Errors
///
/// A number is no finite double, or the value is more than 64 levels deep: neither comes from
/// [`parse_json`](crate::parse_json).
///
/// Source: RFC 8785 section 3.2.
pub fn canonical(value: &Value) -> Result<Vec<u8>, ContractError> {
    let mut out = Vec::new();
    write_value(&mut out, value, JCS_DEPTH_MAX)?;
    Ok(out)
}

fn write_value(out: &mut Vec<u8>, value: &Value, depth: usize) -> Result<(), ContractError> {
    let below = || {
        let error = ContractError::of("value", "at most 64 levels", "more");
        depth.checked_sub(1).ok_or(error)
    };
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) if number.is_finite() => write_number(out, *number),
        Value::Number(_) => {
            return Err(ContractError::of("number", "a finite double", "an infinity or NaN"))
        }
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            let depth = below()?;
            out.push(b'[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write_value(out, item, depth)?;
            }
            out.push(b']');
        }
        Value::Object(object) => {
            let depth = below()?;
            out.push(b'{');
            for (place, (name, item)) in object.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write_string(out, name);
                out.push(b':');
                write_value(out, item, depth)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

/// Writes a finite double as ECMA-262 `Number::toString` does (RFC 8785 section 3.2.2.3).
pub(crate) fn write_number(out: &mut Vec<u8>, number: f64) {
    if number == 0.0 {
        out.push(b'0');
    } else if !write_nine_decimals(out, number) {
        out.extend_from_slice(ryu_js::Buffer::new().format_finite(number).as_bytes());
    }
}

/// Writes a double that is the nearest to a number of nine decimals, as all that producers round are;
/// returns whether it is one.
///
/// At most 14 digits are written. No two such texts have one nearest double (15 digits are kept by any
/// double), so this is the shortest one that rounds back, which ECMAScript writes too.
fn write_nine_decimals(out: &mut Vec<u8>, number: f64) -> bool {
    const UNIT: f64 = 1e9;
    const BELOW: f64 = 1e5;
    /// 1e-6: a smaller number has an exponent.
    const LEAST: u64 = 1_000;
    let size = number.abs();
    if size >= BELOW {
        return false;
    }
    let units = (size * UNIT + 0.5) as u64;
    if units < LEAST || units as f64 / UNIT != size {
        return false;
    }
    if number < 0.0 {
        out.push(b'-');
    }
    let (whole, mut fraction) = (units / 1_000_000_000, (units % 1_000_000_000) as u32);
    write_unsigned(out, whole);
    if fraction != 0 {
        let mut digits = *b".000000000";
        for digit in digits[1..].iter_mut().rev() {
            *digit += (fraction % 10) as u8;
            fraction /= 10;
        }
        let written = digits.iter().rposition(|digit| *digit != b'0').unwrap_or_default();
        out.extend_from_slice(&digits[..=written]);
    }
    true
}

/// Writes an integer within ±(2^53−1), which ECMAScript spells in decimal.
pub(crate) fn write_integer(out: &mut Vec<u8>, integer: i64) {
    if integer < 0 {
        out.push(b'-');
    }
    write_unsigned(out, integer.unsigned_abs());
}

/// Writes an integer of 0 … 2^53−1.
pub(crate) fn write_unsigned(out: &mut Vec<u8>, integer: u64) {
    out.extend_from_slice(Decimal::of(integer).digits());
}

/// The decimal digits of an integer.
pub(crate) struct Decimal {
    room: [u8; 20],
    start: usize,
}

impl Decimal {
    pub(crate) fn of(integer: u64) -> Self {
        let mut decimal = Self { room: [0; 20], start: 20 };
        let mut wide = integer;
        while wide > u64::from(u32::MAX) {
            decimal.push((wide % 10) as u8);
            wide /= 10;
        }
        // Most are small, and small divisions are quick.
        let mut rest = wide as u32;
        loop {
            decimal.push((rest % 10) as u8);
            rest /= 10;
            if rest == 0 {
                return decimal;
            }
        }
    }

    fn push(&mut self, digit: u8) {
        self.start -= 1;
        self.room[self.start] = b'0' + digit;
    }

    pub(crate) fn digits(&self) -> &[u8] {
        &self.room[self.start..]
    }
}

/// Writes a string with the escapes of RFC 8785 section 3.2.2.2 and no others.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (place, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[start..place]);
        start = place + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x09 => out.extend_from_slice(b"\\t"),
            0x0a => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            0x0d => out.extend_from_slice(b"\\r"),
            _ => {
                out.extend_from_slice(b"\\u00");
                crate::hex::write_hex(out, &[*byte]);
            }
        }
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::write_number;

    fn written(number: f64) -> Vec<u8> {
        let mut out = Vec::new();
        write_number(&mut out, number);
        out
    }

    #[test]
    fn the_quick_way_writes_numbers_as_the_long_one() {
        let mut word = 42_u64;
        for _ in 0..200_000 {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            let digits = (word % 10_u64.pow(1 + (word >> 60) as u32)) as f64;
            let rounded = digits / 1e9;
            // The nearest double, its neighbours, and one that was never rounded.
            let bits = rounded.to_bits();
            for near in [bits, bits + 1, bits.saturating_sub(1), bits ^ (word >> 40)] {
                for number in [f64::from_bits(near), -f64::from_bits(near)] {
                    if number.is_finite() && number != 0.0 {
                        let mut buffer = ryu_js::Buffer::new();
                        assert_eq!(written(number), buffer.format_finite(number).as_bytes());
                    }
                }
            }
        }
    }
}
