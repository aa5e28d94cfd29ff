//! What can go wrong, and what to do about it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Every error of this crate. A message reads `where: expected X, got Y` and never holds a payload,
/// a record or a token, so that it can be logged as it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The input breaks a rule and always will: nothing was sent or written.
    Contract {
        /// Where, what was expected and what came.
        message: String,
    },
    /// No final answer came within the attempts allowed: whether the server has the record is
    /// unknown, and the same bytes may be sent again.
    Unavailable {
        /// Where, what was expected and what came.
        message: String,
        /// The server's own `code`, where its last answer had one.
        code: Option<String>,
        /// How long the server asked to be left alone.
        retry_after: Option<Duration>,
        /// Requests made, 1 or more.
        attempts: u32,
    },
    /// The deadline ended before a final answer came: as with `Unavailable`.
    Deadline {
        /// Where, what was expected and what came last.
        message: String,
        /// The server's own `code`, where its last answer had one.
        code: Option<String>,
        /// Requests made; 0 where there was no time for one.
        attempts: u32,
    },
    /// The server refused a batch as a whole, finally: that says nothing about its records.
    Refused {
        /// What came.
        message: String,
        /// The HTTP status.
        status: u16,
        /// The server's `code`, where it gave one.
        code: Option<String>,
        /// Requests made, 1 or more.
        attempts: u32,
    },
    /// No TLS with a server that is the one meant: its certificate is of an authority that is not
    /// trusted, for another name or not valid now, it refuses the client's, or the two have no
    /// version in common. It is not tried again: somebody changes something first.
    Untrusted {
        /// Where, what was expected and what came.
        message: String,
        /// Requests made, 1 or more.
        attempts: u32,
    },
    /// The URL says `https` and the server speaks no TLS, or `http` and it does. Not tried again.
    Scheme {
        /// Where, what was expected and what came.
        message: String,
        /// Requests made, 1 or more.
        attempts: u32,
    },
    /// Another process holds the outbox; the message names it.
    Locked {
        /// The stream, and the process as it says of itself.
        message: String,
    },
    /// Stored bytes are not what was written.
    Damaged {
        /// Where, what was expected and what stands there.
        message: String,
    },
    /// A later release wrote it; nothing was changed.
    Newer {
        /// The release that reads it.
        message: String,
    },
    /// There is no room, on the disk or in the outbox: nothing was written, nothing is fenced.
    Full {
        /// For what there is no room.
        message: String,
    },
    /// The outbox writes nothing since an earlier failure of the disk, or is closed. What waits is on
    /// disk; open it again.
    Fenced {
        /// Which one.
        message: String,
    },
    /// The disk failed: what was being written may or may not survive, and was not acknowledged.
    Disk {
        /// Where.
        message: String,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
}

/// The kinds of [`Error`], for a program that branches on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input breaks a rule.
    Contract,
    /// No final answer within the attempts allowed.
    Unavailable,
    /// No final answer within the deadline.
    Deadline,
    /// A batch was refused as a whole.
    Refused,
    /// No TLS with a server that is the one meant.
    Untrusted,
    /// The URL's scheme is not what the server speaks.
    Scheme,
    /// Another process holds the outbox.
    Locked,
    /// Stored bytes are not what was written.
    Damaged,
    /// A later release wrote it.
    Newer,
    /// There is no room.
    Full,
    /// Nothing is written after an earlier failure.
    Fenced,
    /// The disk failed.
    Disk,
}

impl ErrorKind {
    /// The kind as one stable word, `"unavailable"` for one.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Unavailable => "unavailable",
            Self::Deadline => "deadline",
            Self::Refused => "refused",
            Self::Untrusted => "untrusted",
            Self::Scheme => "scheme",
            Self::Locked => "locked",
            Self::Damaged => "damaged",
            Self::Newer => "newer",
            Self::Full => "full",
            Self::Fenced => "fenced",
            Self::Disk => "disk",
        }
    }
}

impl Error {
    /// What kind of error it is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Contract { .. } => ErrorKind::Contract,
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::Deadline { .. } => ErrorKind::Deadline,
            Self::Refused { .. } => ErrorKind::Refused,
            Self::Untrusted { .. } => ErrorKind::Untrusted,
            Self::Scheme { .. } => ErrorKind::Scheme,
            Self::Locked { .. } => ErrorKind::Locked,
            Self::Damaged { .. } => ErrorKind::Damaged,
            Self::Newer { .. } => ErrorKind::Newer,
            Self::Full { .. } => ErrorKind::Full,
            Self::Fenced { .. } => ErrorKind::Fenced,
            Self::Disk { .. } => ErrorKind::Disk,
        }
    }

    /// The `code` of the server's last problem document, where there was one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Unavailable { code, .. }
            | Self::Deadline { code, .. }
            | Self::Refused { code, .. } => code.as_deref(),
            _ => None,
        }
    }

    /// How many requests were made, where the error is about one.
    #[must_use]
    pub const fn attempts(&self) -> Option<u32> {
        match self {
            Self::Unavailable { attempts, .. }
            | Self::Deadline { attempts, .. }
            | Self::Refused { attempts, .. }
            | Self::Untrusted { attempts, .. }
            | Self::Scheme { attempts, .. } => Some(*attempts),
            _ => None,
        }
    }

    pub(crate) fn contract(message: impl Into<String>) -> Self {
        Self::Contract { message: message.into() }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Contract { message }
            | Self::Unavailable { message, .. }
            | Self::Deadline { message, .. }
            | Self::Refused { message, .. }
            | Self::Untrusted { message, .. }
            | Self::Scheme { message, .. }
            | Self::Locked { message }
            | Self::Damaged { message }
            | Self::Newer { message }
            | Self::Full { message }
            | Self::Fenced { message } => out.write_str(message),
            Self::Disk { message, source } => {
                write!(out, "{message}: expected a working disk, got {source}")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
