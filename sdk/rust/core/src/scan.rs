//! Walk over canonical JSON byte by byte: each step says what has to stand there, and fails where
//! anything else does. What has passed is the one spelling of its value (RFC 8785).

use alloc::vec::Vec;

use crate::canonical::write_number;
use crate::number::short_number;
use crate::value::SAFE_INTEGER_MAX;

/// Where a walk is.
pub(crate) struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    /// A walk from the first byte on; none where the bytes are not UTF-8.
    pub(crate) fn of(body: &'a [u8]) -> Option<Self> {
        core::str::from_utf8(body).ok().map(|text| Self { text, at: 0 })
    }

    /// Returns how many bytes were passed.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Returns whether nothing is left.
    pub(crate) fn is_over(&self) -> bool {
        self.at == self.text.len()
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// Passes these bytes where they stand here, and says whether they did.
    // Inlined, so that each literal is compared as the few words it is.
    #[inline(always)]
    pub(crate) fn has(&mut self, literal: &str) -> bool {
        let found = self.rest().starts_with(literal.as_bytes());
        if found {
            self.at += literal.len();
        }
        found
    }

    /// Passes these bytes.
    #[inline(always)]
    pub(crate) fn pass(&mut self, literal: &str) -> Option<()> {
        self.has(literal).then_some(())
    }

    /// Reads on to a quote, which is passed: a text that holds no escape.
    pub(crate) fn tame(&mut self) -> Option<&'a str> {
        let length = self.rest().iter().position(|byte| matches!(byte, ..0x20 | b'"' | b'\\'))?;
        let text = &self.text[self.at..self.at + length];
        self.at += length;
        self.pass("\"")?;
        Some(text)
    }

    /// Passes a text up to its quote, and that; returns how many bytes of UTF-8 it stands for.
    pub(crate) fn text_bytes(&mut self) -> Option<usize> {
        let mut bytes = 0;
        loop {
            let rest = self.rest();
            let plain = rest.iter().position(|byte| matches!(byte, ..0x20 | b'"' | b'\\'))?;
            bytes += plain;
            self.at += plain;
            match rest[plain] {
                b'"' => {
                    self.at += 1;
                    return Some(bytes);
                }
                b'\\' => self.at += escape_bytes(&rest[plain..])?,
                _ => return None,
            }
            bytes += 1;
        }
    }

    /// Reads an integer within ±(2^53−1).
    pub(crate) fn integer(&mut self) -> Option<i64> {
        let is_negative = self.has("-");
        let size = self.count()?;
        // No -0.
        (!is_negative || size > 0).then(|| if is_negative { -(size as i64) } else { size as i64 })
    }

    /// Reads an integer of 0 … 2^53−1.
    pub(crate) fn count(&mut self) -> Option<u64> {
        const DIGITS_MAX: usize = 16;
        let rest = self.rest();
        let mut count = 0;
        let mut digits = 0;
        while let Some(byte @ b'0'..=b'9') = rest.get(digits) {
            if digits == DIGITS_MAX {
                return None;
            }
            count = 10 * count + u64::from(byte - b'0');
            digits += 1;
        }
        let is_spelled = digits == 1 || (digits > 1 && rest[0] != b'0');
        self.at += digits;
        (is_spelled && count <= SAFE_INTEGER_MAX).then_some(count)
    }

    /// Reads an integer in a range.
    pub(crate) fn count_in(&mut self, least: u32, most: u32) -> Option<u32> {
        let count = self.count()?;
        (u64::from(least) <= count && count <= u64::from(most)).then_some(count as u32)
    }

    /// Reads a number in a range.
    pub(crate) fn number_in(&mut self, least: f64, most: f64) -> Option<f64> {
        let rest = self.rest();
        let is_of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e');
        let length = rest.iter().take_while(|byte| is_of_number(byte)).count();
        let literal = &rest[..length];
        let number = match short_number(literal) {
            Some(number) if is_shortest(literal, number) => number,
            _ => self.text[self.at..self.at + length].parse().ok().filter(|number: &f64| {
                let mut written = Vec::new();
                if number.is_finite() {
                    write_number(&mut written, *number);
                }
                written == literal
            })?,
        };
        self.at += length;
        (least..=most).contains(&number).then_some(number)
    }
}

/// Returns whether a literal of at most 15 digits and no exponent is what ECMAScript writes.
///
/// No two such literals without needless zeros have one nearest double, so each is the shortest.
fn is_shortest(literal: &[u8], number: f64) -> bool {
    if number == 0.0 {
        return literal == b"0";
    }
    // A smaller number has an exponent.
    number.abs() >= 1e-6 && !(literal.contains(&b'.') && literal.ends_with(b"0"))
}

/// Returns how long an escape is that RFC 8785 section 3.2.2.2 writes; it stands for one byte.
fn escape_bytes(escape: &[u8]) -> Option<usize> {
    match escape.get(1)? {
        b'"' | b'\\' | b'b' | b't' | b'n' | b'f' | b'r' => Some(2),
        b'u' => {
            let [b'0', b'0', high @ b'0'..=b'1', low] = escape.get(2..6)? else { return None };
            let digit = match low {
                b'0'..=b'9' => low - b'0',
                b'a'..=b'f' => low - b'a' + 10,
                _ => return None,
            };
            let has_own = matches!(16 * (high - b'0') + digit, 8 | 9 | 10 | 12 | 13);
            (!has_own).then_some(6)
        }
        _ => None,
    }
}
