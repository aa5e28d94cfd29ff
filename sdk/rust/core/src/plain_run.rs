//! A run of bodies checked at once: signature, names and verdict of each that is its record's one
//! spelling, and nothing of any other.

use alloc::string::String;
use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use crate::batch::{verify_ed25519_batch, SignedMessage};
use crate::derive::Regime;
use crate::hex::hex;
use crate::judge::{Outcome, CURRENT_PARAMS};
use crate::keyring::{Alg, Key, Keyring};
use crate::plain::Plain;

/// A body of version 1.0 in its canonical spelling whose signature holds, judged.
#[derive(Clone, Debug)]
pub struct Checked<'a> {
    /// The key that verified it, whose tenant is the record's.
    pub key: &'a Key,
    /// The id of its window.
    pub pcs_id: &'a str,
    /// The stream's name.
    pub shard_id: &'a str,
    /// The window's number in its stream.
    pub epoch: u64,
    /// When it says it was made, in milliseconds since 1970.
    pub created_at_ms: u64,
    /// The regime it names.
    pub regime: Regime,
    /// SHA-256 of the signing input, hex.
    pub record_digest: String,
    /// SHA-256 of what it says of its window, hex.
    pub content_digest: String,
    /// The two parts of the body that a ledger keeps, one behind the other.
    pub stored: [&'a [u8]; 2],
    /// The verdict under [`CURRENT_PARAMS`].
    pub outcome: Outcome,
}

/// A record, and the key by which it says it is signed.
struct Claim<'a> {
    plain: Plain<'a>,
    key: &'a Key,
    /// The signing input.
    signed: Vec<u8>,
}

impl<'a> Claim<'a> {
    fn of(body: &'a [u8], ring: &'a Keyring) -> Option<Self> {
        let plain = Plain::read(body)?;
        let key = ring.key(plain.kid).filter(|key| !key.is_short())?;
        if plain.signature.len() != key.alg().signature_bytes() {
            return None;
        }
        Some(Self { signed: plain.signing_input(), plain, key })
    }

    fn checked(self) -> Checked<'a> {
        let plain = &self.plain;
        Checked {
            key: self.key,
            pcs_id: plain.pcs_id,
            shard_id: plain.shard_id,
            epoch: plain.epoch,
            created_at_ms: plain.created_at_ms,
            regime: plain.regime,
            record_digest: hex(&Sha256::digest(&self.signed)),
            content_digest: hex(&plain.content_hash()),
            stored: plain.stored(),
            outcome: plain.judged().outcome(CURRENT_PARAMS),
        }
    }
}

impl Keyring {
    /// Returns what is found of each body, and nothing of one that is not of version 1.0 in its canonical
    /// spelling, signed by a key of this ring: what is wrong with it, [`Keyring::authenticate`] says, which
    /// may take another spelling.
    ///
    /// What it finds is what [`Keyring::authenticate`] finds, in a fraction of the time: each body is
    /// walked once and nothing of it is written anew, and Ed25519 signatures by one key are verified
    /// together ([`verify_ed25519_batch`]).
    #[must_use]
    pub fn check_plain<'a>(&'a self, bodies: &[&'a [u8]]) -> Vec<Option<Checked<'a>>> {
        let claims: Vec<Option<Claim<'a>>> =
            bodies.iter().map(|body| Claim::of(body, self)).collect();
        let together: Vec<SignedMessage<'_>> = claims
            .iter()
            .flatten()
            .filter_map(|claim| {
                let (message, signature) = (&*claim.signed, &*claim.plain.signature);
                claim.key.public().map(|public| SignedMessage { public, message, signature })
            })
            .collect();
        let mut holds = verify_ed25519_batch(&together).into_iter();
        claims
            .into_iter()
            .map(|claim| {
                let claim = claim?;
                let held = match claim.key.alg() {
                    Alg::Ed25519 => holds.next().unwrap_or_default(),
                    Alg::HmacSha256 => claim.key.verify(&claim.signed, &claim.plain.signature),
                };
                held.then(|| claim.checked())
            })
            .collect()
    }
}
