//! The members of a request, and what is said where one is not what it should be.

use fractal_lba_core::{
    decode_base64, ContractError, Error, KeyringError, Object, Refusal, Value, WindowError,
};

/// What a call is answered with instead of a result: the members of `refused`.
pub(crate) struct Refused(pub(crate) Object<'static>);

fn refused<const N: usize>(members: [(&str, Value<'static>); N]) -> Refused {
    Refused(object(members))
}

pub(crate) fn object<const N: usize>(members: [(&str, Value<'static>); N]) -> Object<'static> {
    let mut made = Object::new();
    for (name, value) in members {
        made.insert(name, value);
    }
    made
}

pub(crate) fn nullable(text: Option<&str>) -> Value<'static> {
    text.map_or(Value::Null, Value::from)
}

pub(crate) fn number(number: impl Into<f64>) -> Value<'static> {
    Value::Number(number.into())
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        refused([
            ("kind", "record".into()),
            ("code", refusal.code.as_str().into()),
            ("reason", refusal.reason.into()),
            ("member", nullable(refusal.member.as_deref())),
            ("message", refusal.to_string().into()),
        ])
    }
}

impl From<KeyringError> for Refused {
    fn from(error: KeyringError) -> Self {
        refused([
            ("kind", "keyring".into()),
            ("entry", error.entry.as_str().into()),
            ("member", nullable(error.member)),
            ("message", error.to_string().into()),
        ])
    }
}

impl From<WindowError> for Refused {
    fn from(error: WindowError) -> Self {
        let place = |place: Option<usize>| place.map_or(Value::Null, |at| number(at as f64));
        refused([
            ("kind", "window".into()),
            ("row", place(error.at.map(|(row, _)| row))),
            ("column", place(error.at.map(|(_, column)| column))),
            ("message", error.to_string().into()),
        ])
    }
}

impl From<ContractError> for Refused {
    fn from(error: ContractError) -> Self {
        refused([
            ("kind", "contract".into()),
            ("reason", error.reason.into()),
            ("message", error.to_string().into()),
        ])
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::Refusal(refusal) => refusal.into(),
            Error::Keyring(error) => error.into(),
            Error::Window(error) => error.into(),
            Error::Contract(error) => error.into(),
        }
    }
}

/// The refusal of an argument.
pub(crate) fn wrong(name: &str, expected: &str) -> Refused {
    refused([
        ("kind", "contract".into()),
        ("reason", "argument".into()),
        ("message", format!("{name}: expected {expected}, got another value").into()),
    ])
}

pub(crate) fn text<'a>(request: &'a Object, name: &str) -> Result<&'a str, Refused> {
    request.get(name).and_then(Value::as_str).ok_or_else(|| wrong(name, "a string"))
}

/// Returns a text, none where it is `null` or absent.
pub(crate) fn maybe_text<'a>(request: &'a Object, name: &str) -> Result<Option<&'a str>, Refused> {
    match request.get(name) {
        None | Some(Value::Null) => Ok(None),
        _ => text(request, name).map(Some),
    }
}

/// Returns an integer of 0 … 2^53−1.
pub(crate) fn count(request: &Object, name: &str) -> Result<u64, Refused> {
    let integer = request.get(name).and_then(Value::as_integer);
    let count = integer.and_then(|integer| u64::try_from(integer).ok());
    count.ok_or_else(|| wrong(name, "an integer of 0 to 2^53−1"))
}

/// Returns a handle; one that is none is never in use.
pub(crate) fn handle(request: &Object, name: &str) -> Result<u32, Refused> {
    Ok(u32::try_from(count(request, name)?).unwrap_or(0))
}

pub(crate) fn items<'a>(request: &'a Object<'a>, name: &str) -> Result<&'a [Value<'a>], Refused> {
    request.get(name).and_then(Value::as_array).ok_or_else(|| wrong(name, "an array"))
}

pub(crate) fn bytes(request: &Object, name: &str) -> Result<Vec<u8>, Refused> {
    decode_base64(text(request, name)?).map_err(|_| wrong(name, "base64"))
}

/// Returns the bytes of each base64 text of an array.
pub(crate) fn many_bytes(request: &Object, name: &str) -> Result<Vec<Vec<u8>>, Refused> {
    let decoded = items(request, name)?.iter().map(|item| {
        let text = item.as_str().ok_or_else(|| wrong(name, "strings"))?;
        decode_base64(text).map_err(|_| wrong(name, "base64"))
    });
    decoded.collect()
}
