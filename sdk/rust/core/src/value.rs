//! A JSON value as this protocol sees it: numbers are doubles, and an object's members stand in
//! canonical order, each name once.

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// The largest integer a double holds without holding its neighbour too, 2^53−1 (RFC 7493).
pub const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// The double a literal rounds to; finite, and never `-0`.
    Number(f64),
    /// Unicode text.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object.
    Object(Object),
}

impl Value {
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
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// Returns an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::Array(items)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

/// The members of an object, by name in the order of their UTF-16 code units.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    members: Vec<(String, Value)>,
}

impl Object {
    /// An object without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the object of these members, and whether a name stood there twice (the later one of
    /// equals is then left out).
    pub(crate) fn of(mut members: Vec<(String, Value)>) -> (Self, bool) {
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
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.place(name).ok().map(|place| &self.members[place].1)
    }

    /// Sets a member, and returns what it was before.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        let (name, value) = (name.into(), value.into());
        match self.place(&name) {
            Ok(place) => Some(core::mem::replace(&mut self.members[place].1, value)),
            Err(place) => {
                self.members.insert(place, (name, value));
                None
            }
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
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
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.members.iter().map(|(name, value)| (name.as_str(), value))
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
