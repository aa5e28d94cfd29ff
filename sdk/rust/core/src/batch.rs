//! Many Ed25519 signatures at once, each under exactly the rule of one alone.
//!
//! The usual batch equation adds signatures up under random factors and asks whether the sum is
//! nothing. Parts of small order can cancel in such a sum, so that a batch holds of which one
//! signature, asked alone, does not. Here nothing is added up: every signature has its own cofactorless
//! equation, with R compared as bytes, and what is shared is a table of its key's multiples, which
//! replaces the doublings. So a batch gives the answer of [`verify_ed25519`](crate::verify_ed25519) to
//! each, always.

use alloc::vec::Vec;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity;
use sha2::{Digest, Sha512};

use crate::signing::{is_strict_point, strict_parts, verify_ed25519};

/// To make the tables of a key costs about as much as to verify so many signatures.
const TABLE_MIN: usize = 16;
/// A scalar's 256 bits stand in so many rows, and one multiple is added for each column.
const ROWS: usize = 8;
const COLUMNS: usize = 256 / ROWS;

/// One signature to verify.
#[derive(Clone, Copy, Debug)]
pub struct SignedMessage<'a> {
    /// The public key, 32 bytes.
    pub public: &'a [u8],
    /// What was signed.
    pub message: &'a [u8],
    /// The signature, 64 bytes.
    pub signature: &'a [u8],
}

/// Returns for each signature whether it holds: what `verify_ed25519` says of it.
///
/// Signatures by one key are faster together, from sixteen of them on; they need not stand side by side.
/// Two tables of 40 KiB are held at a time.
///
/// # Examples
///
/// ```
/// use fractal_lba_core::{ed25519_public, sign_ed25519, verify_ed25519_batch, SignedMessage};
///
/// let (public, signature) = (ed25519_public(&[7; 32]), sign_ed25519(&[7; 32], b"one"));
/// let one = SignedMessage { public: &public, message: b"one", signature: &signature };
/// let other = SignedMessage { message: b"other", ..one };
/// assert_eq!(verify_ed25519_batch(&[one, other]), [true, false]);
/// ```
#[must_use]
pub fn verify_ed25519_batch(signed: &[SignedMessage<'_>]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..signed.len()).collect();
    order.sort_by_key(|place| signed[*place].public);
    let mut holds = Vec::new();
    holds.resize(signed.len(), false);
    let mut base = None;
    for places in order.chunk_by(|a, b| signed[*a].public == signed[*b].public) {
        let key = match places.len() {
            few if few < TABLE_MIN => None,
            _ => KeyTable::of(signed[places[0]].public),
        };
        for place in places {
            let SignedMessage { public, message, signature } = signed[*place];
            holds[*place] = match &key {
                Some(key) => {
                    let base = base.get_or_insert_with(|| Multiples::of(ED25519_BASEPOINT_POINT));
                    key.holds(base, message, signature)
                }
                None => verify_ed25519(public, message, signature),
            };
        }
    }
    holds
}

/// The sums of every choice among P, 2^32·P, 2^64·P, … 2^224·P.
///
/// Signatures and public keys are no secrets: which sum is taken may be seen in time.
///
/// Source: Lim and Lee (1994), doi:10.1007/3-540-48658-5_11.
struct Multiples(Vec<EdwardsPoint>);

impl Multiples {
    fn of(point: EdwardsPoint) -> Self {
        let mut sums = Vec::with_capacity(1 << ROWS);
        sums.push(EdwardsPoint::identity());
        let mut of_row = point;
        for row in 0..ROWS {
            for place in 0..1 << row {
                sums.push(sums[place] + of_row);
            }
            for _ in 0..COLUMNS {
                of_row += of_row;
            }
        }
        Self(sums)
    }

    /// Returns the sum for one column of a little-endian scalar.
    fn at(&self, scalar: &[u8; 32], column: usize) -> Option<&EdwardsPoint> {
        let bit = |row: usize| scalar[(COLUMNS * row + column) / 8] >> (column % 8) & 1;
        let choice = (0..ROWS).fold(0, |choice, row| choice | usize::from(bit(row)) << row);
        (choice != 0).then(|| &self.0[choice])
    }
}

/// Multiples of the negative of one public key.
struct KeyTable {
    public: [u8; 32],
    negative: Multiples,
}

impl KeyTable {
    fn of(public: &[u8]) -> Option<Self> {
        let public: [u8; 32] = public.try_into().ok()?;
        let point = CompressedEdwardsY(public).decompress()?;
        is_strict_point(&public).then(|| Self { public, negative: Multiples::of(-point) })
    }

    /// Returns whether S·B − k·A is R, byte for byte (RFC 8032 section 5.1.7 without the cofactor).
    fn holds(&self, base: &Multiples, message: &[u8], signature: &[u8]) -> bool {
        let Some(parts) = strict_parts(signature) else { return false };
        let mut hasher = Sha512::new();
        hasher.update(parts.r);
        hasher.update(self.public);
        hasher.update(message);
        let k = Scalar::from_bytes_mod_order_wide(&hasher.finalize().into()).to_bytes();
        let mut sum = EdwardsPoint::identity();
        for column in (0..COLUMNS).rev() {
            sum += sum;
            for multiple in [base.at(&parts.s, column), self.negative.at(&k, column)] {
                sum = multiple.map_or(sum, |multiple| sum + multiple);
            }
        }
        sum.compress().as_bytes() == &parts.r
    }
}
