//! The PCS record, version 1.0: what its members are, and the checks that each has passed.
//!
//! A [`Record`] can only be had from bytes that hold one ([`Record::parse`]) or from a [`Draft`] that
//! a key signs ([`Signer::sign`](crate::Signer::sign)), so whoever holds one holds a sound one. Its signature
//! is not checked by that.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::derive::Regime;

/// Rows of a window.
pub const ROWS_MIN: u32 = 3;
/// Rows of a window.
pub const ROWS_MAX: u32 = 65_536;
/// Columns of a window.
pub const COLUMNS_MAX: u32 = 4_096;

/// How a window became points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// `points/1`: a table of doubles.
    Points,
    /// `bytes/1`: a byte string.
    Bytes,
}

impl Profile {
    /// Returns the profile as it is written on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Points => "points/1",
            Self::Bytes => "bytes/1",
        }
    }

    pub(crate) fn named(text: &str) -> Option<Self> {
        [Self::Points, Self::Bytes].into_iter().find(|each| each.as_str() == text)
    }
}

/// What the agent had to weaken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultTolerance {
    /// Something was lost or substituted.
    pub degraded: bool,
    /// 0 … 8 reasons, at most 64 bytes each.
    pub fallbacks: Vec<String>,
    /// The agent's estimate, ±(2^53−1).
    pub clock_skew_ms: i64,
}

/// A value in `meta`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetaValue {
    /// At most 256 bytes.
    Text(String),
    /// ±(2^53−1)
    Integer(i64),
    /// `true` or `false`
    Bool(bool),
}

/// One attempt to send a record: unsigned, and different on every retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// 1 … 2^53−1
    pub attempt: u64,
    /// Milliseconds since 1970.
    pub sent_at_ms: u64,
    /// 1 … 2^53−1
    pub outbox_seq: u64,
}

/// What a producer says of a window: every member but `kid`, `pcs_id`, `delivery` and `sig`.
///
/// Ranges are those of `specs/pcs.md` section 1; [`Signer::sign`](crate::Signer::sign) checks them all.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// 64 lower-case hexadecimal digits; binds the window bit for bit.
    pub merkle_root: String,
    /// The window's number in its stream, 0 … 2^53−1.
    pub epoch: u64,
    /// The stream's name, `[A-Za-z0-9._:-]{1,128}`.
    pub shard_id: String,
    /// Milliseconds since 1970, up to the year 9999.
    pub created_at_ms: u64,
    /// How the window became points.
    pub profile: Profile,
    /// Rows of the window as given, 3 … 65,536.
    pub n: u32,
    /// Columns of the window as given, 1 … 4,096.
    pub d: u32,
    /// Chooses the signs and the directions, 0 … 2^53−1.
    pub seed: u64,
    /// 2 … 10 scales of 2 … 1,024, each at least twice the one before.
    pub scales: Vec<u32>,
    /// Occupied cells at each scale, in the order of `scales`.
    pub n_j: Vec<u32>,
    /// −16 … 16
    pub d_hat: f64,
    /// 0.05 … 1
    pub coh_star: f64,
    /// 0 … 1
    pub r: f64,
    /// 0 … 1
    pub budget: f64,
    /// A unit vector.
    pub v_star: [f64; 3],
    /// What `d_hat` and `coh_star` say together.
    pub regime: Regime,
    /// What the agent had to weaken.
    pub ft: FaultTolerance,
    /// 0 … 16 members, names `[a-z0-9_.]{1,64}`.
    pub meta: Option<BTreeMap<String, MetaValue>>,
}

impl Draft {
    /// Returns (scale, occupied cells) of each scale, ascending.
    #[must_use]
    pub fn counts(&self) -> Vec<(u64, u64)> {
        let pairs = self.scales.iter().zip(&self.n_j);
        pairs.map(|(scale, cells)| (u64::from(*scale), u64::from(*cells))).collect()
    }

    /// How many points the window became: a delay embedding of three loses two.
    pub(crate) fn points(n: u32, d: u32) -> u32 {
        if d == 1 {
            n - 2
        } else {
            n
        }
    }
}

/// A record whose structure and `pcs_id` are right; its signature is not checked by that.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub(crate) kid: String,
    pub(crate) pcs_id: String,
    pub(crate) said: Draft,
    pub(crate) delivery: Option<Delivery>,
    /// None where `sig` is absent, no bytes where it is the empty string.
    pub(crate) sig: Option<Vec<u8>>,
}

impl Record {
    /// Which key signed it, by its word.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The id of its window, 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn pcs_id(&self) -> &str {
        &self.pcs_id
    }

    /// What it says of its window.
    #[must_use]
    pub fn said(&self) -> &Draft {
        &self.said
    }

    /// The attempt that brought it, where it says so; anyone's word.
    #[must_use]
    pub fn delivery(&self) -> Option<Delivery> {
        self.delivery
    }

    /// Its signature: 32 or 64 bytes, or none where `sig` is absent or empty.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        self.sig.as_deref().unwrap_or_default()
    }
}
