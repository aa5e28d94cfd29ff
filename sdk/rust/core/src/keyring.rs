//! The keyring: whose keys sign, whose tokens and certificates speak, and in which time.
//!
//! A ring is read whole or not at all: one wrong entry refuses the file. The algorithm and the tenant
//! belong to the key, never to a message.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use ed25519_dalek::VerifyingKey;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::error::{ContractError, Error};
use crate::signer::{Signer, HMAC_SECRET_BYTES_MIN};
use crate::signing::{holds, keyed, strict_key, ED25519_SIGNATURE_BYTES, HMAC_SHA256_BYTES};

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alg {
    /// HMAC-SHA256 with the whole tag.
    HmacSha256,
    /// Ed25519, pure and strict.
    Ed25519,
}

impl Alg {
    /// Returns the algorithm as it is written in a keyring.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::Ed25519 => "ed25519",
        }
    }

    pub(crate) fn named(text: &str) -> Option<Self> {
        [Self::HmacSha256, Self::Ed25519].into_iter().find(|each| each.as_str() == text)
    }

    /// Returns how long a signature is, in bytes.
    pub(crate) fn signature_bytes(self) -> usize {
        match self {
            Self::HmacSha256 => HMAC_SHA256_BYTES,
            Self::Ed25519 => ED25519_SIGNATURE_BYTES,
        }
    }
}

/// What a caller may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Operate a server.
    Operate,
    /// Read what was decided.
    Read,
    /// Send records.
    Submit,
}

impl Scope {
    /// Returns the scope as it is written in a keyring.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operate => "operate",
            Self::Read => "read",
            Self::Submit => "submit",
        }
    }

    pub(crate) fn named(text: &str) -> Option<Self> {
        [Self::Operate, Self::Read, Self::Submit].into_iter().find(|each| each.as_str() == text)
    }
}

/// What verifies, and what signs where it is known.
#[derive(Clone)]
pub(crate) enum Material {
    Hmac { secret: Vec<u8>, keyed: Hmac<Sha256> },
    Ed25519 { public: [u8; 32], key: Option<VerifyingKey>, seed: Option<[u8; 32]> },
}

impl Material {
    pub(crate) fn hmac(secret: Vec<u8>) -> Self {
        let keyed = keyed(&secret);
        Self::Hmac { secret, keyed }
    }

    pub(crate) fn ed25519(public: [u8; 32], seed: Option<[u8; 32]>) -> Self {
        Self::Ed25519 { public, key: strict_key(&public), seed }
    }
}

/// One key of a tenant. Its secret is never shown.
#[derive(Clone)]
pub struct Key {
    /// What a record calls it, unique in a ring.
    pub kid: String,
    /// Whose it is.
    pub tenant: String,
    /// First millisecond since 1970 it is valid at; none for always.
    pub not_before_ms: Option<u64>,
    /// The last one; none for ever.
    pub not_after_ms: Option<u64>,
    /// Also tried on records of version 0.1, for which a secret of any length will do.
    pub legacy: bool,
    pub(crate) material: Material,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Key");
        shown.field("kid", &self.kid).field("tenant", &self.tenant).field("alg", &self.alg());
        shown.finish_non_exhaustive()
    }
}

impl Key {
    /// Returns how it signs.
    #[must_use]
    pub fn alg(&self) -> Alg {
        match self.material {
            Material::Hmac { .. } => Alg::HmacSha256,
            Material::Ed25519 { .. } => Alg::Ed25519,
        }
    }

    /// Returns the public key of an Ed25519 key.
    #[must_use]
    pub fn public(&self) -> Option<&[u8; 32]> {
        match &self.material {
            Material::Hmac { .. } => None,
            Material::Ed25519 { public, .. } => Some(public),
        }
    }

    /// Returns whether the secret is too short for anything but records of version 0.1.
    #[must_use]
    pub fn is_short(&self) -> bool {
        matches!(&self.material, Material::Hmac { secret, .. } if secret.len() < HMAC_SECRET_BYTES_MIN)
    }

    /// Returns whether the key is valid at a time in milliseconds since 1970; bounds count.
    #[must_use]
    pub fn is_valid_at(&self, ms: u64) -> bool {
        self.not_before_ms.is_none_or(|first| first <= ms)
            && self.not_after_ms.is_none_or(|last| ms <= last)
    }

    /// Returns whether a signature of a message is this key's.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Hmac { keyed, .. } => {
                keyed.clone().chain_update(message).verify_slice(signature).is_ok()
            }
            Material::Ed25519 { key, .. } => key.is_some_and(|key| holds(&key, message, signature)),
        }
    }

    /// Returns what signs records under this key.
    ///
    /// # Errors
    ///
    /// The ring holds no secret of it, or one that is too short.
    pub fn signer(&self) -> Result<Signer, ContractError> {
        match &self.material {
            Material::Hmac { secret, .. } => Signer::hmac(&self.kid, secret),
            Material::Ed25519 { seed: Some(seed), .. } => Signer::ed25519(&self.kid, seed),
            Material::Ed25519 { seed: None, .. } => {
                Err(ContractError::of("key", "a secret to sign with", "none"))
            }
        }
    }
}

/// A bearer token or a client certificate of a tenant, known by its SHA-256 only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Whose it is.
    pub tenant: String,
    /// What it may ask for, sorted by name.
    pub scopes: Vec<Scope>,
}

/// Every key by its kid, every token and every client certificate by its SHA-256.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    pub(crate) keys: Vec<Key>,
    pub(crate) by_kid: BTreeMap<String, usize>,
    pub(crate) tokens: Identities,
    pub(crate) certificates: Identities,
}

/// Identities in the order of the file, and where each digest's is.
#[derive(Clone, Default)]
pub(crate) struct Identities {
    pub(crate) listed: Vec<Identity>,
    pub(crate) by_digest: BTreeMap<[u8; 32], usize>,
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.listed).finish()
    }
}

impl Identities {
    fn of(&self, secret: &[u8]) -> Option<&Identity> {
        // Looked up by its digest: what the time taken may tell is a digest's, which gives no token.
        let digest: [u8; 32] = Sha256::digest(secret).into();
        self.by_digest.get(&digest).map(|place| &self.listed[*place])
    }
}

impl Keyring {
    /// Returns the keys in the order of the file.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Returns the key of that name.
    #[must_use]
    pub fn key(&self, kid: &str) -> Option<&Key> {
        self.by_kid.get(kid).map(|place| &self.keys[*place])
    }

    /// Returns the keys a tenant's records of version 0.1 are tried with, in the file's order.
    pub fn legacy_keys<'a>(&'a self, tenant: &'a str) -> impl Iterator<Item = &'a Key> {
        self.keys.iter().filter(move |key| key.legacy && key.tenant == tenant)
    }

    /// Returns whose token a bearer text is.
    #[must_use]
    pub fn token(&self, bearer: &str) -> Option<&Identity> {
        self.tokens.of(bearer.as_bytes())
    }

    /// Returns whose client certificate these DER bytes are.
    #[must_use]
    pub fn certificate(&self, der: &[u8]) -> Option<&Identity> {
        self.certificates.of(der)
    }

    /// Returns whose tokens there are, in the order of the file.
    #[must_use]
    pub fn tokens(&self) -> &[Identity] {
        &self.tokens.listed
    }

    /// Returns whose certificates there are, in the order of the file.
    #[must_use]
    pub fn certificates(&self) -> &[Identity] {
        &self.certificates.listed
    }

    /// Returns what signs records under the key of that name.
    ///
    /// # Errors
    ///
    /// There is no such key, or no secret of it that may sign.
    pub fn signer(&self, kid: &str) -> Result<Signer, Error> {
        let key = self.key(kid);
        let key = key.ok_or_else(|| ContractError::of("kid", "a key of the ring", "another"))?;
        Ok(key.signer()?)
    }
}
