//! Strict JSON: bytes in, one value out, or the one reason why not.
//!
//! Two programs that read the same bytes must see the same value, so whatever parsers treat
//! differently is refused. A body can break several rules; it is refused for the first one in the
//! order of [`Fault`], wherever in the body that stands. Encoding, depth and grammar stop the reader;
//! what is wrong with values is noted, and told once the grammar is known to be sound.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{Refusal, RefusalCode};
use crate::number::{is_number, short_number};
use crate::value::{Object, Value};

/// Open objects and arrays of any JSON document, the outermost being 1.
pub const JCS_DEPTH_MAX: usize = 64;
/// Open objects and arrays in a record; a valid one has three.
pub const RECORD_DEPTH_MAX: usize = 8;
/// A double needs 25; a longer literal only costs the reader time.
pub const NUMBER_CHARACTERS_MAX: usize = 64;

/// What is refused, in the order in which it is told (`specs/pcs.md` section 1.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    ByteOrderMark,
    InvalidUtf8,
    TooDeep,
    Syntax,
    TrailingData,
    NumberTooLong,
    NumberOverflow,
    LoneSurrogate,
    DuplicateMember,
}

impl Fault {
    fn refusal(self) -> Refusal {
        let code = match self {
            Self::ByteOrderMark | Self::InvalidUtf8 => RefusalCode::BadEncoding,
            _ => RefusalCode::MalformedJson,
        };
        let (reason, expected, got) = match self {
            Self::ByteOrderMark => ("byte_order_mark", "no byte order mark", "one"),
            Self::InvalidUtf8 => ("invalid_utf8", "UTF-8", "other bytes"),
            Self::TooDeep => ("too_deep", "fewer nested objects and arrays", "too many"),
            Self::Syntax => ("syntax", "the grammar of RFC 8259", "something else"),
            Self::TrailingData => ("trailing_data", "its end after the value", "more"),
            Self::NumberTooLong => ("number_too_long", "numbers of at most 64 characters", "more"),
            Self::NumberOverflow => ("number_overflow", "finite doubles", "one that overflows"),
            Self::LoneSurrogate => ("lone_surrogate", "Unicode text", "a lone surrogate"),
            Self::DuplicateMember => ("duplicate_member", "each name once", "a duplicate"),
        };
        Refusal::of(code, reason, expected, got)
    }
}

/// Returns the one value the bytes hold.
///
/// `depth_max` says how many objects and arrays may be open at once, at most [`JCS_DEPTH_MAX`].
///
/// # Errors
///
/// `bad_encoding` or `malformed_json`, with the reason that stands first in `specs/pcs.md` section
/// 1.1.
///
/// # Examples
///
/// ```
/// use fractal_lba_core::{canonical, parse_json, RECORD_DEPTH_MAX};
///
/// let value = parse_json(br#"{"b": 1e0, "a": "\u00e9"}"#, RECORD_DEPTH_MAX)?;
/// assert_eq!(canonical(&value)?, "{\"a\":\"é\",\"b\":1}".as_bytes());
/// let refusal = parse_json(br#"{"a": 1, "a": 1}"#, RECORD_DEPTH_MAX).unwrap_err();
/// assert_eq!(refusal.reason, "duplicate_member");
/// # Ok::<(), fractal_lba_core::Error>(())
/// ```
///
/// Source: RFC 8259, RFC 7493 section 2.
pub fn parse_json(data: &[u8], depth_max: usize) -> Result<Value<'_>, Refusal> {
    parse(data, depth_max.min(JCS_DEPTH_MAX)).map_err(Fault::refusal)
}

fn parse(data: &[u8], depth_max: usize) -> Result<Value<'_>, Fault> {
    if data.starts_with(b"\xef\xbb\xbf") {
        return Err(Fault::ByteOrderMark);
    }
    let text = core::str::from_utf8(data).map_err(|_| Fault::InvalidUtf8)?;
    let mut reader = Reader { text, data, at: 0, depth_left: depth_max, noted: None };
    match reader.document() {
        // What stopped the reader may stand before what is too deep, which is told first.
        Err(fault) if fault > Fault::TooDeep && is_too_deep(data, depth_max) => Err(Fault::TooDeep),
        Err(fault) => Err(fault),
        Ok(value) => reader.noted.map_or(Ok(value), Err),
    }
}

/// Returns whether more brackets outside strings are open at once than may be.
///
/// A scan of its own, so that it asks for no grammar.
fn is_too_deep(data: &[u8], depth_max: usize) -> bool {
    // Below zero too: brackets that close what is not open count as well.
    let mut depth: isize = 0;
    let mut at = 0;
    while let Some(byte) = data.get(at) {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max as isize {
                    return true;
                }
            }
            b'}' | b']' => depth -= 1,
            b'"' => {
                at += 1;
                while let Some(inside) = data.get(at) {
                    match inside {
                        b'"' => break,
                        b'\\' => at += 2,
                        _ => at += 1,
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    false
}

struct Reader<'a> {
    text: &'a str,
    data: &'a [u8],
    at: usize,
    /// How many more objects and arrays may be opened.
    depth_left: usize,
    /// The first, by rank, of what is wrong with values.
    noted: Option<Fault>,
}

impl<'a> Reader<'a> {
    fn note(&mut self, fault: Fault) {
        self.noted = Some(self.noted.map_or(fault, |noted| noted.min(fault)));
    }

    fn peek(&self) -> Option<u8> {
        self.data.get(self.at).copied()
    }

    fn skip_white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Reads a value and all that stands around it.
    fn document(&mut self) -> Result<Value<'a>, Fault> {
        self.skip_white_space();
        let value = self.value()?;
        self.skip_white_space();
        if self.at < self.data.len() {
            return Err(Fault::TrailingData);
        }
        Ok(value)
    }

    /// Reads a value; `at` is at its first character. Recursion is bounded by the depth.
    fn value(&mut self) -> Result<Value<'a>, Fault> {
        match self.peek() {
            Some(b'{') => self.inside(Self::object),
            Some(b'[') => self.inside(Self::array),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            _ => Err(Fault::Syntax),
        }
    }

    fn literal(&mut self, name: &str, value: Value<'a>) -> Result<Value<'a>, Fault> {
        if !self.data[self.at..].starts_with(name.as_bytes()) {
            return Err(Fault::Syntax);
        }
        self.at += name.len();
        Ok(value)
    }

    /// Reads an object or an array; `at` is at its bracket.
    fn inside(
        &mut self,
        read: fn(&mut Self) -> Result<Value<'a>, Fault>,
    ) -> Result<Value<'a>, Fault> {
        self.depth_left = self.depth_left.checked_sub(1).ok_or(Fault::TooDeep)?;
        self.at += 1;
        let value = read(self)?;
        self.depth_left += 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Value<'a>, Fault> {
        let mut members = Vec::new();
        self.skip_white_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(Object::new()));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(Fault::Syntax);
            }
            let name = self.string()?;
            self.skip_white_space();
            self.expect(b':')?;
            self.skip_white_space();
            members.push((name, self.value()?));
            if !self.goes_on(b'}')? {
                break;
            }
        }
        let (object, has_duplicate) = Object::of(members);
        if has_duplicate {
            self.note(Fault::DuplicateMember);
        }
        Ok(Value::Object(object))
    }

    fn array(&mut self) -> Result<Value<'a>, Fault> {
        let mut items = Vec::new();
        self.skip_white_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value()?);
            if !self.goes_on(b']')? {
                return Ok(Value::Array(items));
            }
        }
    }

    /// Reads what is behind an item: a comma and white space, or the end.
    fn goes_on(&mut self, end: u8) -> Result<bool, Fault> {
        self.skip_white_space();
        let next = self.peek();
        if next == Some(end) {
            self.at += 1;
            return Ok(false);
        }
        self.expect(b',')?;
        self.skip_white_space();
        Ok(true)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.peek() != Some(byte) {
            return Err(Fault::Syntax);
        }
        self.at += 1;
        Ok(())
    }

    /// Reads a number: the longest run of its characters, so that `01` is not `0` and more.
    fn number(&mut self) -> Result<Value<'a>, Fault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) {
            self.at += 1;
        }
        let literal = &self.text[start..self.at];
        if let Some(double) = short_number(literal.as_bytes()) {
            return Ok(Value::Number(double));
        }
        if !is_number(literal.as_bytes()) {
            return Err(Fault::Syntax);
        }
        if literal.len() > NUMBER_CHARACTERS_MAX {
            self.note(Fault::NumberTooLong);
            return Ok(Value::Number(0.0));
        }
        let double: f64 = literal.parse().map_err(|_| Fault::Syntax)?;
        if double.is_infinite() {
            self.note(Fault::NumberOverflow);
        }
        // Adding zero makes -0 a 0.
        Ok(Value::Number(double + 0.0))
    }

    /// Reads a string; `at` is at its opening quote.
    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.at += 1;
        let mut read = String::new();
        loop {
            let start = self.at;
            let rest = &self.data[start..];
            let plain = rest.iter().position(|byte| matches!(byte, ..0x20 | b'"' | b'\\'));
            self.at += plain.unwrap_or(rest.len());
            let plain = &self.text[start..self.at];
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    if read.is_empty() {
                        return Ok(plain.into());
                    }
                    read.push_str(plain);
                    return Ok(read.into());
                }
                Some(b'\\') => {
                    read.push_str(plain);
                    self.at += 1;
                    let character = self.escape()?;
                    read.push(character);
                }
                _ => return Err(Fault::Syntax),
            }
        }
    }

    /// Reads an escape; `at` is behind its backslash.
    fn escape(&mut self) -> Result<char, Fault> {
        let kind = self.peek().ok_or(Fault::Syntax)?;
        self.at += 1;
        Ok(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(Fault::Syntax),
        })
    }

    fn unicode_escape(&mut self) -> Result<char, Fault> {
        let unit = self.four_digits()?;
        if let Some(character) = char::from_u32(unit) {
            return Ok(character);
        }
        if unit < 0xDC00 && self.data[self.at..].starts_with(b"\\u") {
            let behind = self.at;
            self.at += 2;
            let low = self.four_digits()?;
            if (0xDC00..0xE000).contains(&low) {
                let above = ((unit - 0xD800) << 10) | (low - 0xDC00);
                return char::from_u32(0x10000 + above).ok_or(Fault::Syntax);
            }
            // It may be the first of a pair itself.
            self.at = behind;
        }
        self.note(Fault::LoneSurrogate);
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn four_digits(&mut self) -> Result<u32, Fault> {
        let digits = self.data.get(self.at..self.at + 4).ok_or(Fault::Syntax)?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, digit| {
            char::from(*digit).to_digit(16).map(|value| (unit << 4) | value).ok_or(Fault::Syntax)
        })
    }
}
