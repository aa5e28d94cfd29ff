//! Sign records: a draft in, a record or its stored bytes out. Every rule of the record is checked, so
//! that nothing is signed which a verifier would refuse.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use ed25519_dalek::SigningKey;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::check::check_draft;
use crate::error::{ContractError, Refusal};
use crate::hex::{hex, hex_digits};
use crate::identity::{insert_signature, window_hash, write_members, SIGNING_LABEL};
use crate::record::{Draft, Record};
use crate::signing::{keyed, ED25519_SIGNATURE_BYTES, HMAC_SHA256_BYTES};
use crate::structure::is_key_name;

/// Bytes of an HMAC secret that may sign records of version 1.0.
pub const HMAC_SECRET_BYTES_MIN: usize = 32;

/// Signs records under one key.
///
/// # Examples
///
/// ```
/// use fractal_lba_core::{summarise_bytes, FaultTolerance, Record, Signer, DEFAULT_SCALES};
///
/// let signer = Signer::hmac("lab-1", &[7; 32])?;
/// let draft = summarise_bytes(b"a window of text", 42, &DEFAULT_SCALES)?
///     .draft("shard-1", 0, 1_795_000_000_000);
/// let record = signer.sign(draft)?;
/// assert_eq!(Record::parse(&record.stored_bytes())?, record);
/// # Ok::<(), fractal_lba_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Signer {
    kid: String,
    secret: Secret,
}

#[derive(Clone)]
enum Secret {
    /// The state behind the secret and the label.
    Hmac(Hmac<Sha256>),
    Ed25519(SigningKey),
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Signer {
    /// A signer by HMAC-SHA256.
    ///
    /// # Errors
    ///
    /// `kid` is no key id, or the secret is shorter than 32 bytes.
    pub fn hmac(kid: &str, secret: &[u8]) -> Result<Self, ContractError> {
        if secret.len() < HMAC_SECRET_BYTES_MIN {
            return Err(ContractError::of("HMAC secret", "at least 32 bytes", "fewer"));
        }
        Ok(Self {
            kid: key_id(kid)?,
            secret: Secret::Hmac(keyed(secret).chain_update(SIGNING_LABEL)),
        })
    }

    /// A signer by Ed25519; `seed` is the 32-byte seed of RFC 8032.
    ///
    /// # Errors
    ///
    /// `kid` is no key id, or the seed is not 32 bytes long.
    pub fn ed25519(kid: &str, seed: &[u8]) -> Result<Self, ContractError> {
        let seed = <&[u8; 32]>::try_from(seed)
            .map_err(|_| ContractError::of("Ed25519 seed", "32 bytes", "another number"))?;
        Ok(Self { kid: key_id(kid)?, secret: Secret::Ed25519(SigningKey::from_bytes(seed)) })
    }

    /// Returns what records call the key.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Returns the signed record of a draft.
    ///
    /// # Errors
    ///
    /// The draft breaks a rule of the record; nothing was signed.
    pub fn sign(&self, draft: Draft) -> Result<Record, Refusal> {
        let mut signed = Vec::new();
        self.write(&draft, &mut signed)?;
        let mut room = [0; ED25519_SIGNATURE_BYTES];
        let sig = self.signature(&signed, &mut room).to_vec();
        let pcs_id = hex(&window_hash(&draft.merkle_root, draft.epoch, &draft.shard_id));
        Ok(Record { kid: self.kid.clone(), pcs_id, said: draft, delivery: None, sig: Some(sig) })
    }

    /// Replaces what `out` holds by the stored bytes of the signed record of a draft. Nothing is
    /// allocated once `out` is large enough.
    ///
    /// # Errors
    ///
    /// The draft breaks a rule of the record; nothing was signed, and `out` is empty.
    pub fn sign_into(&self, draft: &Draft, out: &mut Vec<u8>) -> Result<(), Refusal> {
        out.clear();
        let (sig_at, _) = self.write(draft, out)?;
        let mut sig = [0; ED25519_SIGNATURE_BYTES];
        let sig = self.signature(out, &mut sig);
        insert_signature(out, sig_at, sig);
        Ok(())
    }

    /// Writes the members that are signed; returns where `sig` stands, and the id in hexadecimal.
    fn write(&self, draft: &Draft, out: &mut Vec<u8>) -> Result<(usize, [u8; 64]), Refusal> {
        check_draft(draft)?;
        let hash = window_hash(&draft.merkle_root, draft.epoch, &draft.shard_id);
        let id = hex_digits(&hash);
        Ok((write_members(out, draft, &self.kid, &id), id))
    }

    /// Returns the signature, which is written to the beginning of `room`.
    fn signature<'a>(
        &self,
        members: &[u8],
        room: &'a mut [u8; ED25519_SIGNATURE_BYTES],
    ) -> &'a [u8] {
        match &self.secret {
            Secret::Hmac(keyed) => {
                let tag = keyed.clone().chain_update(members).finalize().into_bytes();
                let room = &mut room[..HMAC_SHA256_BYTES];
                room.copy_from_slice(&tag);
                room
            }
            Secret::Ed25519(key) => {
                let message = [SIGNING_LABEL, members].concat();
                *room = ed25519_dalek::Signer::sign(key, &message).to_bytes();
                room
            }
        }
    }
}

fn key_id(kid: &str) -> Result<String, ContractError> {
    if !is_key_name(kid) {
        return Err(ContractError::of("kid", "[A-Za-z0-9._-]{1,64}", "another text"));
    }
    Ok(kid.into())
}
