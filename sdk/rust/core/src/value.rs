//! A JSON value as this protocol sees it: numbers are doubles, and an object's members stand in
//! canonical order, each name once.
//!
//! Texts are borrowed from what was read where they stand there as they are, as nearly all do.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// The largest integer a double holds without holding its neighbour too, 2^53−1 (RFC 7493).
pub const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// The double a literal rounds to; finite, and never `-0`.
    Number(f64),
    /// Unicode text.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Value<'a>>),
    /// An object.
    Object(Object<'a>),
}

impl<'a> Value<'a> {
    /// Returns the text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns a number.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns a number that is an integer within ±(2^53−1).
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Number(number) => safe_integer(*number),
            _ => None,
        }
    }

    /// Returns true or false.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns the items of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value<'a>]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// Returns an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object<'a>> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }
}

impl From<&str> for Value<'_> {
    /// Returns a text of its own, so that what is built can outlive what it is built of.
    fn from(text: &str) -> Self {
        Self::String(Cow::Owned(text.into()))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl<'a> From<Vec<Value<'a>>> for Value<'a> {
    fn from(items: Vec<Value<'a>>) -> Self {
        Self::Array(items)
    }
}

impl<'a> From<Object<'a>> for Value<'a> {
    fn from(object: Object<'a>) -> Self {
        Self::Object(object)
    }
}

/// Members of an object that are looked through one by one, which is quicker than to compare by order.
const SCANNED_MAX: usize = 32;

/// The members of an object, by name in the order of their UTF-16 code units.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object<'a> {
    members: Vec<Member<'a>>,
}

/// A member's name and value.
pub(crate) type Member<'a> = (Cow<'a, str>, Value<'a>);

impl<'a> Object<'a> {
    /// An object without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the object of these members, and whether a name stood there twice (the later one of
    /// equals is then left out).
    pub(crate) fn of(mut members: Vec<Member<'a>>) -> (Self, bool) {
        if !members.is_sorted_by(|a, b| canonical_order(&a.0, &b.0) == Ordering::Less) {
            members.sort_by(|a, b| canonical_order(&a.0, &b.0));
        }
        let written = members.len();
        members.dedup_by(|later, first| later.0 == first.0);
        let has_duplicate = members.len() < written;
        (Self { members }, has_duplicate)
    }

    /// Returns a member's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        if self.members.len() > SCANNED_MAX {
            return self.place(name).ok().map(|place| &self.members[place].1);
        }
        self.members.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// Sets a member, and returns what it was before.
    pub fn insert(
        &mut self,
        name: impl Into<String>,
        value: impl Into<Value<'a>>,
    ) -> Option<Value<'a>> {
        let (name, value) = (Cow::Owned(name.into()), value.into());
        match self.place(&name) {
            Ok(place) => Some(core::mem::replace(&mut self.members[place].1, value)),
            Err(place) => {
                self.members.insert(place, (name, value));
                None
            }
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, name: &str) -> Option<Value<'a>> {
        self.place(name).ok().map(|place| self.members.remove(place).1)
    }

    /// Returns how many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns each member in canonical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.members.iter().map(|(name, value)| (&**name, value))
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.members.binary_search_by(|(other, _)| canonical_order(other, name))
    }
}

/// Compares two names by their UTF-16 code units (RFC 8785 section 3.2.3).
///
/// That is the order of UTF-8 but for the surrogates, which stand for what is above U+FFFF and sort
/// below U+E000.
pub(crate) fn canonical_order(a: &str, b: &str) -> Ordering {
    let differ = a.bytes().zip(b.bytes()).find(|(x, y)| x != y);
    match differ {
        None => a.len().cmp(&b.len()),
        // No lead byte below 0xEE begins a character of U+E000 or above.
        Some((x, y)) if x < 0xEE || y < 0xEE => x.cmp(&y),
        Some(_) => a.encode_utf16().cmp(b.encode_utf16()),
    }
}

/// Returns the integer a double is, where it is one within ±(2^53−1).
pub(crate) fn safe_integer(number: f64) -> Option<i64> {
    if number.abs() <= SAFE_INTEGER_MAX as f64 {
        let integer = number as i64;
        (integer as f64 == number).then_some(integer)
    } else {
        None
    }
}
