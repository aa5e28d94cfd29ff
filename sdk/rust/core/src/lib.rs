//! What a Fractal LBA record is, and what two programs must agree on about it: bytes in, values out.
//!
//! Pure: no I/O, no clock, no randomness; times and secrets are arguments. `specs/pcs.md` is the
//! normative text.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod base64;
mod canonical;
mod derive;
mod document;
mod error;
mod hex;
mod identity;
mod parse;
mod read;
mod record;
mod structure;
mod timestamp;
mod value;

pub use base64::{decode_base64, encode_base64};
pub use canonical::canonical;
pub use derive::{budget, d_hat, regime, rounded, Regime};
pub use document::{LEGACY_VERSION, RECORD_BYTES_MAX, SCHEMA, VERSION};
pub use error::{ContractError, Error, KeyringError, Refusal, RefusalCode, WindowError};
pub use hex::hex;
pub use identity::pcs_id;
pub use parse::{parse_json, JCS_DEPTH_MAX, NUMBER_CHARACTERS_MAX, RECORD_DEPTH_MAX};
pub use record::{
    Delivery, Draft, FaultTolerance, MetaValue, Profile, Record, COLUMNS_MAX, ROWS_MAX, ROWS_MIN,
};
pub use timestamp::{format_timestamp, parse_timestamp, TIMESTAMP_MS_MAX};
pub use value::{Object, Value, SAFE_INTEGER_MAX};
