//! What a Fractal LBA record is, and what two programs must agree on about it: bytes in, values out.
//!
//! Pure: no I/O, no clock, no randomness; times and secrets are arguments. `specs/pcs.md` is the
//! normative text.
//!
//! ```
//! use fractal_lba_core::{summarise_bytes, AnyRecord, Keyring, DEFAULT_SCALES, DEFAULT_SEED};
//!
//! let file = br#"{"keys": [{"kid": "lab-1", "tenant": "lab", "alg": "hmac-sha256", "secret": "env:LAB_1"}]}"#;
//! let ring = Keyring::parse(file, |name| (name == "env:LAB_1").then(|| vec![7; 32]))?;
//!
//! // A window of text, as record 0 of its stream, made at 1 November 2026.
//! let text = b"to be or not to be, that is the question. ".repeat(12);
//! let draft = summarise_bytes(&text, DEFAULT_SEED, &DEFAULT_SCALES)?
//!     .draft("answers", 0, 1_793_534_400_000);
//! let body = ring.signer("lab-1")?.sign(draft)?.stored_bytes(); // what is sent and kept
//!
//! // As a server does: a refusal has a code, a reason and a member.
//! let found = ring.authenticate(&body, None)?;
//! assert_eq!(found.key.tenant, "lab");
//! assert_eq!(found.record.judge().status(), 200);
//! # Ok::<(), fractal_lba_core::Error>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod authenticate;
mod base64;
mod batch;
mod canonical;
mod check;
mod derive;
mod document;
mod error;
mod hex;
mod identity;
mod judge;
mod keyring;
mod keyring_file;
mod legacy;
mod legacy_signing;
mod merkle;
mod number;
mod parse;
mod plain;
mod plain_run;
mod read;
mod record;
mod ring;
mod scan;
mod signals;
mod signer;
mod signing;
mod structure;
mod timestamp;
mod value;

pub use authenticate::{AnyRecord, Authenticated, LEGACY_TENANT};
pub use base64::{decode_base64, encode_base64};
pub use batch::{verify_ed25519_batch, SignedMessage};
pub use canonical::canonical;
pub use derive::{budget, d_hat, regime, rounded, Regime};
pub use document::{LEGACY_VERSION, RECORD_BYTES_MAX, SCHEMA, VERSION};
pub use error::{ContractError, Error, KeyringError, Refusal, RefusalCode, WindowError};
pub use hex::hex;
pub use identity::pcs_id;
pub use judge::{judge, Outcome, Params, Reason, CURRENT_PARAMS, LEGACY_PARAMS};
pub use keyring::{Alg, Identity, Key, Keyring, Scope};
pub use keyring_file::{KEYRING_BYTES_MAX, LEGACY_KEYS_MAX};
pub use legacy::{LegacyRecord, LegacySigned};
pub use merkle::{
    inclusion_proof, leaf_hash, merkle_root, verify_consistency, verify_inclusion, Hash,
};
pub use parse::{parse_json, JCS_DEPTH_MAX, NUMBER_CHARACTERS_MAX, RECORD_DEPTH_MAX};
pub use plain_run::Checked;
pub use record::{
    Delivery, Draft, FaultTolerance, MetaValue, Profile, Record, COLUMNS_MAX, ROWS_MAX, ROWS_MIN,
};
pub use ring::{ring_point, Ring, Shard, WEIGHT_MAX};
pub use signals::{summarise_bytes, summarise_points, Summary, DEFAULT_SCALES, DEFAULT_SEED};
pub use signer::{Signer, HMAC_SECRET_BYTES_MIN};
pub use signing::{
    ed25519_public, sign_ed25519, sign_hmac, verify_ed25519, verify_hmac, ED25519_SIGNATURE_BYTES,
    HMAC_SHA256_BYTES,
};
pub use timestamp::{format_timestamp, parse_timestamp, TIMESTAMP_MS_MAX};
pub use value::{Object, Value, SAFE_INTEGER_MAX};
