//! Members of objects whose form is known: what is not there is a panic, which no test accepts.

use fractal_lba_core::{decode_base64, Object, Value};

/// Returns a member.
///
/// # Panics
///
/// There is none of that name.
#[must_use]
pub fn member<'a>(object: &'a Object<'a>, name: &str) -> &'a Value<'a> {
    object.get(name).unwrap_or_else(|| panic!("{name}: expected a member, got none"))
}

/// Returns a member's text.
///
/// # Panics
///
/// It is no string.
#[must_use]
pub fn text<'a>(object: &'a Object, name: &str) -> &'a str {
    member(object, name).as_str().unwrap_or_else(|| panic!("{name}: expected a string"))
}

/// Returns a member's text, none where it is `null`.
///
/// # Panics
///
/// It is neither.
#[must_use]
pub fn text_or_null<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    match member(object, name) {
        Value::Null => None,
        _ => Some(text(object, name)),
    }
}

/// Returns a member's text, none where there is no such member.
///
/// # Panics
///
/// It is another value.
#[must_use]
pub fn optional_text<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    object.get(name).map(|_| text(object, name))
}

/// Returns an integer that is not negative.
///
/// # Panics
///
/// It is another value.
#[must_use]
pub fn count(object: &Object, name: &str) -> u64 {
    let integer = member(object, name).as_integer().and_then(|integer| u64::try_from(integer).ok());
    integer.unwrap_or_else(|| panic!("{name}: expected a count"))
}

/// Returns true or false.
///
/// # Panics
///
/// It is another value.
#[must_use]
pub fn flag(object: &Object, name: &str) -> bool {
    member(object, name).as_bool().unwrap_or_else(|| panic!("{name}: expected true or false"))
}

/// Returns the items of an array.
///
/// # Panics
///
/// It is another value.
#[must_use]
pub fn items<'a>(object: &'a Object<'a>, name: &str) -> &'a [Value<'a>] {
    member(object, name).as_array().unwrap_or_else(|| panic!("{name}: expected an array"))
}

/// Returns the bytes of a base64 text.
///
/// # Panics
///
/// It is another value.
#[must_use]
pub fn base64(object: &Object, name: &str) -> Vec<u8> {
    decode_base64(text(object, name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Returns the bytes of a hexadecimal text.
///
/// # Panics
///
/// It is another value.
#[must_use]
pub fn hexadecimal(object: &Object, name: &str) -> Vec<u8> {
    bytes_of_hex(text(object, name))
}

/// Returns the bytes that hexadecimal digits stand for.
///
/// # Panics
///
/// The text holds anything else.
#[must_use]
pub fn bytes_of_hex(text: &str) -> Vec<u8> {
    assert!(text.len() % 2 == 0, "hexadecimal: expected pairs of digits");
    let pairs = (0..text.len() / 2).map(|place| &text[2 * place..2 * place + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits")).collect()
}

/// Returns an object of these members.
#[must_use]
pub fn object<const N: usize>(members: [(&str, Value<'static>); N]) -> Object<'static> {
    let mut made = Object::new();
    for (name, value) in members {
        made.insert(name, value);
    }
    made
}

/// Returns a text, or `null` for none.
#[must_use]
pub fn nullable(text: Option<&str>) -> Value<'static> {
    text.map_or(Value::Null, Value::from)
}
