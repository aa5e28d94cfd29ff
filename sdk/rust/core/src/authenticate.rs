//! Who signed a record: bytes and a keyring in, a record with its key and digests out.
//!
//! Nothing is looked up, remembered or judged before this has passed, so that a forged record cannot
//! take the `pcs_id` of an honest one.

use alloc::string::String;
use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use crate::document::{read_document, require_version, unsupported, Version};
use crate::error::{Refusal, RefusalCode};
use crate::hex::hex;
use crate::judge::{judge, Outcome, CURRENT_PARAMS, LEGACY_PARAMS};
use crate::keyring::{Key, Keyring};
use crate::legacy::LegacyRecord;
use crate::record::Record;

/// Whose keys a record of version 0.1 is tried with where its sender names no tenant.
pub const LEGACY_TENANT: &str = "default";

/// A record of a version that is taken.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyRecord {
    /// Version 1.0.
    Current(Record),
    /// Version 0.1.
    Legacy(LegacyRecord),
}

impl AnyRecord {
    /// Returns the record a body holds; version 0.1 is refused as such where it is not taken.
    ///
    /// # Errors
    ///
    /// As [`Record::parse`], by the rules of the body's own version.
    pub fn parse(body: &[u8], accepts_legacy: bool) -> Result<Self, Refusal> {
        let document = read_document(body)?;
        match require_version(&document)? {
            Version::Current => Record::of(&document).map(Self::Current),
            Version::Legacy if accepts_legacy => LegacyRecord::of(&document).map(Self::Legacy),
            Version::Legacy => Err(unsupported("legacy_switched_off")),
        }
    }

    /// Returns the id of its window.
    #[must_use]
    pub fn pcs_id(&self) -> &str {
        match self {
            Self::Current(record) => record.pcs_id(),
            Self::Legacy(record) => &record.signed.pcs_id,
        }
    }

    /// Returns what a ledger keeps of it.
    #[must_use]
    pub fn stored_bytes(&self) -> Vec<u8> {
        match self {
            Self::Current(record) => record.stored_bytes(),
            Self::Legacy(record) => record.stored_bytes(),
        }
    }

    /// Returns the verdict under the parameters of its version that are in force; pure.
    #[must_use]
    pub fn judge(&self) -> Outcome {
        match self {
            Self::Current(record) => judge(record, CURRENT_PARAMS),
            Self::Legacy(record) => record.judge(LEGACY_PARAMS),
        }
    }
}

/// A record whose signature holds.
#[derive(Clone, Debug)]
pub struct Authenticated<'a> {
    /// The record.
    pub record: AnyRecord,
    /// The key that verified it, whose tenant is the record's.
    pub key: &'a Key,
    /// SHA-256 of the signing input, hex.
    pub record_digest: String,
    /// SHA-256 of what it says of its window, hex; the record digest again for version 0.1.
    pub content_digest: String,
}

impl Authenticated<'_> {
    /// Checks that the key was valid at a time in milliseconds since 1970: that of receipt.
    ///
    /// Asked only of what is not a repeat.
    ///
    /// # Errors
    ///
    /// `key_not_valid_now`; the member is `kid`, or none for version 0.1, which names no key.
    pub fn require_valid_key(&self, received_at_ms: u64) -> Result<(), Refusal> {
        if self.key.is_valid_at(received_at_ms) {
            return Ok(());
        }
        let code = RefusalCode::KeyNotValidNow;
        let mut refusal = Refusal::of(code, "key_not_valid_now", "a key valid now", "another");
        refusal.member = matches!(self.record, AnyRecord::Current(_)).then(|| "kid".into());
        Err(refusal)
    }
}

impl Keyring {
    /// Returns the record a body holds, with the key that verified it.
    ///
    /// `legacy_tenant` is whose legacy keys a record of version 0.1 is tried with, since it names none;
    /// anyone's word. None takes no record of that version.
    ///
    /// # Errors
    ///
    /// As [`AnyRecord::parse`], then `unknown_key`, `signature_missing`, `signature_invalid`, in this
    /// order.
    pub fn authenticate(
        &self,
        body: &[u8],
        legacy_tenant: Option<&str>,
    ) -> Result<Authenticated<'_>, Refusal> {
        match AnyRecord::parse(body, legacy_tenant.is_some())? {
            AnyRecord::Current(record) => self.authenticate_current(record),
            AnyRecord::Legacy(record) => {
                self.authenticate_legacy(record, legacy_tenant.unwrap_or(LEGACY_TENANT))
            }
        }
    }

    fn authenticate_current(&self, record: Record) -> Result<Authenticated<'_>, Refusal> {
        let unknown = |reason, expected| {
            let code = RefusalCode::UnknownKey;
            Refusal::of_member(code, reason, "kid", expected, "another")
        };
        let key = self.key(&record.kid);
        let key = key.ok_or_else(|| unknown("unknown_key", "a key of the ring"))?;
        if key.is_short() {
            return Err(unknown("short_key", "a key of at least 32 bytes"));
        }
        require_signature(record.signature())?;
        if record.signature().len() != key.alg().signature_bytes() {
            return Err(invalid("signature_length"));
        }
        let signed = record.signing_input();
        if !key.verify(&signed, record.signature()) {
            return Err(invalid("signature_mismatch"));
        }
        Ok(Authenticated {
            record_digest: hex(&Sha256::digest(&signed)),
            content_digest: record.content_digest(),
            record: AnyRecord::Current(record),
            key,
        })
    }

    fn authenticate_legacy(
        &self,
        record: LegacyRecord,
        tenant: &str,
    ) -> Result<Authenticated<'_>, Refusal> {
        let keys: Vec<&Key> =
            self.keys().iter().filter(|key| key.legacy && key.tenant == tenant).collect();
        if keys.is_empty() {
            let code = RefusalCode::UnknownKey;
            let expected = "a tenant with a key for version 0.1";
            return Err(Refusal::of(code, "no_legacy_key", expected, "another"));
        }
        let signature = record.signature();
        require_signature(signature)?;
        if keys.iter().all(|key| key.alg().signature_bytes() != signature.len()) {
            return Err(invalid("signature_length"));
        }
        let found = keys.into_iter().find(|key| record.signed.is_signed_by(key, signature));
        let key = found.ok_or_else(|| invalid("signature_mismatch"))?;
        let digest = record.signed.digest();
        Ok(Authenticated {
            record_digest: digest.clone(),
            content_digest: digest,
            record: AnyRecord::Legacy(record),
            key,
        })
    }
}

fn require_signature(signature: &[u8]) -> Result<(), Refusal> {
    if signature.is_empty() {
        let code = RefusalCode::SignatureMissing;
        return Err(Refusal::of_member(code, "signature_missing", "sig", "one", "none"));
    }
    Ok(())
}

fn invalid(reason: &'static str) -> Refusal {
    let code = RefusalCode::SignatureInvalid;
    Refusal::of_member(code, reason, "sig", "this key's signature of the record", "another")
}
