//! Many Ed25519 signatures at once, each under exactly the rule of one alone.
//!
//! The usual batch equation adds signatures up under random factors and asks whether the sum is
//! nothing. Parts of small order can cancel in such a sum, so that a batch holds of which one
//! signature, asked alone, does not. Here nothing is added up: every signature has its own cofactorless
//! equation, with R compared as bytes, and what is shared is a table of its key's multiples, which
//! replaces the doublings. So a batch gives the answer of [`verify_ed25519`](crate::verify_ed25519) to
//! each, always.

use alloc::vec::Vec;

use curve25519_dalek::constants::ED25519_BASEPOINT_TABLE;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsBasepointTable};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::BasepointTable;
use sha2::{Digest, Sha512};

use crate::signing::{is_strict_point, strict_parts, verify_ed25519};

/// To make a key's table costs about as much as to verify so many signatures.
const TABLE_MIN: usize = 8;

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
/// Signatures by one key are faster together, from eight of them on; they need not stand side by side.
/// One table of about 30 KiB is held at a time.
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
    for places in order.chunk_by(|a, b| signed[*a].public == signed[*b].public) {
        let table = match places.len() {
            few if few < TABLE_MIN => None,
            _ => KeyTable::of(signed[places[0]].public),
        };
        for place in places {
            let SignedMessage { public, message, signature } = signed[*place];
            holds[*place] = match &table {
                Some(table) => table.holds(message, signature),
                None => verify_ed25519(public, message, signature),
            };
        }
    }
    holds
}

/// Multiples of one public key.
struct KeyTable {
    public: [u8; 32],
    multiples: EdwardsBasepointTable,
}

impl KeyTable {
    fn of(public: &[u8]) -> Option<Self> {
        let public: [u8; 32] = public.try_into().ok()?;
        let point = CompressedEdwardsY(public).decompress()?;
        is_strict_point(&public)
            .then(|| Self { public, multiples: EdwardsBasepointTable::create(&point) })
    }

    /// Returns whether S·B − k·A is R, byte for byte (RFC 8032 section 5.1.7 without the cofactor).
    fn holds(&self, message: &[u8], signature: &[u8]) -> bool {
        let Some(parts) = strict_parts(signature) else { return false };
        let Some(s) = Option::<Scalar>::from(Scalar::from_canonical_bytes(parts.s)) else {
            return false;
        };
        let hashed = Sha512::new().chain_update(parts.r).chain_update(self.public);
        let k = Scalar::from_bytes_mod_order_wide(&hashed.chain_update(message).finalize().into());
        let r = ED25519_BASEPOINT_TABLE * &s - &self.multiples * &k;
        r.compress().as_bytes() == &parts.r
    }
}
