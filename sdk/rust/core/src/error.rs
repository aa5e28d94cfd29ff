//! What can be wrong: a record refused under a stable code, a keyring, a window, a proof or a key that
//! cannot be used.
//!
//! A message reads `where: expected X, got Y`. It never holds a secret or a payload, so that it can
//! be logged and sent to a caller as it is.

use alloc::string::String;
use core::fmt;

/// The stable codes under which a record is refused (`specs/pcs.md` section 1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalCode {
    /// The body is longer than a record may be.
    TooLarge,
    /// The bytes are not UTF-8, or begin with a byte order mark.
    BadEncoding,
    /// The text is not strict JSON.
    MalformedJson,
    /// `version` is a string that names no version taken here.
    UnsupportedVersion,
    /// A member breaks a rule of the record.
    InvalidRecord,
    /// `pcs_id` is not that of the record's window.
    PcsIdMismatch,
    /// No key of that name verifies such records here.
    UnknownKey,
    /// `sig` is absent or empty.
    SignatureMissing,
    /// `sig` does not hold.
    SignatureInvalid,
    /// The key was not valid at receipt.
    KeyNotValidNow,
    /// Version 0.1: an unsigned member disagrees with the signed ones.
    UnsignedMemberMismatch,
}

impl RefusalCode {
    /// Returns the code as it is written on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::BadEncoding => "bad_encoding",
            Self::MalformedJson => "malformed_json",
            Self::UnsupportedVersion => "unsupported_version",
            Self::InvalidRecord => "invalid_record",
            Self::PcsIdMismatch => "pcs_id_mismatch",
            Self::UnknownKey => "unknown_key",
            Self::SignatureMissing => "signature_missing",
            Self::SignatureInvalid => "signature_invalid",
            Self::KeyNotValidNow => "key_not_valid_now",
            Self::UnsignedMemberMismatch => "unsigned_member_mismatch",
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A record that must not be accepted, with the one rule it breaks first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What a caller branches on.
    pub code: RefusalCode,
    /// The rule, a `snake_case` word that is stable too.
    pub reason: &'static str,
    /// The path of the offending member (`N_j.4`), where there is one.
    pub member: Option<String>,
    pub(crate) expected: &'static str,
    pub(crate) got: &'static str,
}

impl Refusal {
    /// A refusal that names no member.
    pub(crate) fn of(
        code: RefusalCode,
        reason: &'static str,
        expected: &'static str,
        got: &'static str,
    ) -> Self {
        Self { code, reason, member: None, expected, got }
    }

    /// A refusal of one member.
    pub(crate) fn of_member(
        code: RefusalCode,
        reason: &'static str,
        member: impl Into<String>,
        expected: &'static str,
        got: &'static str,
    ) -> Self {
        Self { code, reason, member: Some(member.into()), expected, got }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.member.as_deref().unwrap_or("record");
        write!(f, "{place}: expected {}, got {}", self.expected, self.got)
    }
}

impl core::error::Error for Refusal {}

/// A keyring that cannot be used: nothing of it was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyringError {
    /// `keyring`, or the entry at fault: `keys[2]`.
    pub entry: String,
    /// The `kid` of that entry, where it has a sound one.
    pub kid: Option<String>,
    /// The member at fault, where it is one.
    pub member: Option<&'static str>,
    pub(crate) expected: &'static str,
    pub(crate) got: &'static str,
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.entry)?;
        if let Some(kid) = &self.kid {
            write!(f, " kid \"{kid}\"")?;
        }
        if let Some(member) = self.member {
            write!(f, " {member}")?;
        }
        write!(f, ": expected {}, got {}", self.expected, self.got)
    }
}

impl core::error::Error for KeyringError {}

/// A window that cannot be summarised, or a seed or scales out of range: nothing was computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowError {
    /// Row and column, from 0, of the first bad value, where it is one value.
    pub at: Option<(usize, usize)>,
    pub(crate) place: &'static str,
    pub(crate) expected: &'static str,
    pub(crate) got: &'static str,
}

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.place)?;
        if let Some((row, column)) = self.at {
            write!(f, " row {row}, column {column}")?;
        }
        write!(f, ": expected {}, got {}", self.expected, self.got)
    }
}

impl core::error::Error for WindowError {}

/// Any other input that breaks a rule: a proof, a key, a set of shards, a text in a strict spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractError {
    /// What was asked for: `inclusion proof`, `ring`, `base64`.
    pub place: &'static str,
    /// A stable word for the rule, where callers tell rules apart.
    pub reason: &'static str,
    pub(crate) expected: &'static str,
    pub(crate) got: &'static str,
}

impl ContractError {
    pub(crate) fn of(place: &'static str, expected: &'static str, got: &'static str) -> Self {
        Self::of_reason(place, "contract", expected, got)
    }

    pub(crate) fn of_reason(
        place: &'static str,
        reason: &'static str,
        expected: &'static str,
        got: &'static str,
    ) -> Self {
        Self { place, reason, expected, got }
    }
}

impl fmt::Display for ContractError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got {}", self.place, self.expected, self.got)
    }
}

impl core::error::Error for ContractError {}

/// Any error of this crate, for callers that pass all of them on.
///
/// ```text
/// Error
/// ├── Refusal     a record refused with a stable code, reason and member
/// ├── Keyring     a keyring refused as a whole
/// ├── Window      a window that cannot be summarised
/// └── Contract    a proof, a key, a ring or a text that breaks its rule
/// ```
///
/// All of them say: refuse it, a repeat will fail in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A record is refused.
    Refusal(Refusal),
    /// A keyring is refused.
    Keyring(KeyringError),
    /// A window is refused.
    Window(WindowError),
    /// Another input is refused.
    Contract(ContractError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refusal(error) => error.fmt(f),
            Self::Keyring(error) => error.fmt(f),
            Self::Window(error) => error.fmt(f),
            Self::Contract(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

impl From<Refusal> for Error {
    fn from(error: Refusal) -> Self {
        Self::Refusal(error)
    }
}

impl From<KeyringError> for Error {
    fn from(error: KeyringError) -> Self {
        Self::Keyring(error)
    }
}

impl From<WindowError> for Error {
    fn from(error: WindowError) -> Self {
        Self::Window(error)
    }
}

impl From<ContractError> for Error {
    fn from(error: ContractError) -> Self {
        Self::Contract(error)
    }
}
