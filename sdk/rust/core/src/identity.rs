//! What a record is called and what is signed of it.
//!
//! Owns the byte strings behind `pcs_id`, `record_digest` and `content_digest`. Each of the last two
//! opens with its own label, so that no bytes made for one use can pass for another.

use alloc::string::String;
use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use crate::base64::encode_into;
use crate::canonical::{write_integer, write_number, write_string, write_unsigned, Decimal};
use crate::document::{SCHEMA, VERSION};
use crate::hex::hex;
use crate::record::{Delivery, Draft, FaultTolerance, MetaValue, Record};
use crate::timestamp::write_timestamp;

pub(crate) const SIGNING_LABEL: &[u8] = b"fractal-lba/pcs/1\n";
pub(crate) const CONTENT_LABEL: &[u8] = b"fractal-lba/content/1\n";

/// Returns the id of the window `epoch` of the stream `shard_id`, in lower-case hex.
///
/// `shard_id` holds no `|` in a valid record, so different windows have different ids.
#[must_use]
pub fn pcs_id(merkle_root: &str, epoch: u64, shard_id: &str) -> String {
    hex(&window_hash(merkle_root, epoch, shard_id))
}

pub(crate) fn window_hash(merkle_root: &str, epoch: u64, shard_id: &str) -> [u8; 32] {
    let decimal = Decimal::of(epoch);
    let mut hasher = Sha256::new();
    for part in [merkle_root.as_bytes(), b"|", decimal.digits(), b"|", shard_id.as_bytes()] {
        hasher.update(part);
    }
    hasher.finalize().into()
}

impl Record {
    /// Returns the bytes a signature covers: every member but `sig` and `delivery`.
    #[must_use]
    pub fn signing_input(&self) -> Vec<u8> {
        let mut out = SIGNING_LABEL.to_vec();
        write_members(&mut out, &self.said, &self.kid, self.pcs_id.as_bytes());
        out
    }

    /// Returns the name of this signed record: SHA-256 of its signing input, in lower-case hex.
    #[must_use]
    pub fn record_digest(&self) -> String {
        hex(&Sha256::digest(self.signing_input()))
    }

    /// Returns the name of what it says of its window, in lower-case hex: an honest re-run over the
    /// same window has the same one.
    #[must_use]
    pub fn content_digest(&self) -> String {
        let mut out = CONTENT_LABEL.to_vec();
        write_content(&mut out, &self.said, self.pcs_id.as_bytes());
        hex(&Sha256::digest(out))
    }

    /// Returns the canonical bytes with `sig` and without `delivery`: what a ledger keeps.
    #[must_use]
    pub fn stored_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let sig_at = write_members(&mut out, &self.said, &self.kid, self.pcs_id.as_bytes());
        if let Some(sig) = &self.sig {
            insert_signature(&mut out, sig_at, sig);
        }
        out
    }

    /// Returns the canonical bytes with `sig` and this delivery: what goes over the wire.
    ///
    /// A number of the delivery outside 1 … 2^53−1, or a time after the year 9999, gives a record
    /// that is refused as `invalid_record`.
    #[must_use]
    pub fn sent_bytes(&self, delivery: Delivery) -> Vec<u8> {
        const BEHIND: &[u8] = b",\"epoch\":";
        let stored = self.stored_bytes();
        // Behind `d`, whose value is a number, and before `epoch`: no string stands between them.
        let place = stored.windows(BEHIND.len()).position(|window| window == BEHIND);
        let (before, behind) = stored.split_at(place.unwrap_or(stored.len()));
        let mut out = before.to_vec();
        out.extend_from_slice(b",\"delivery\":{\"attempt\":");
        write_unsigned(&mut out, delivery.attempt);
        out.extend_from_slice(b",\"outbox_seq\":");
        write_unsigned(&mut out, delivery.outbox_seq);
        out.extend_from_slice(b",\"sent_at\":\"");
        write_timestamp(&mut out, delivery.sent_at_ms);
        out.extend_from_slice(b"\"}");
        out.extend_from_slice(behind);
        out
    }
}

/// Puts `sig` where it stands among the members that [`write_members`] wrote.
pub(crate) fn insert_signature(out: &mut Vec<u8>, sig_at: usize, sig: &[u8]) {
    const OPENING: &[u8] = b"\"sig\":\"";
    const CLOSING: &[u8] = b"\",";
    let text_at = sig_at + OPENING.len();
    let text_end = text_at + sig.len().div_ceil(3) * 4;
    let end = text_end + CLOSING.len();
    let written = out.len();
    out.resize(written + end - sig_at, 0);
    out.copy_within(sig_at..written, end);
    out[sig_at..text_at].copy_from_slice(OPENING);
    encode_into(&mut out[text_at..text_end], sig);
    out[text_end..end].copy_from_slice(CLOSING);
}

/// Writes all members but `sig` and `delivery`, in canonical order, and returns where `sig` stands.
///
/// The order is that of UTF-16 code units: capitals first.
pub(crate) fn write_members(out: &mut Vec<u8>, said: &Draft, kid: &str, id: &[u8]) -> usize {
    open(out, said);
    number(out, b",\"budget\":", said.budget);
    write_coherence(out, said);
    out.extend_from_slice(b",\"created_at\":\"");
    write_timestamp(out, said.created_at_ms);
    integer(out, b"\",\"d\":", said.d.into());
    integer(out, b",\"epoch\":", said.epoch);
    write_ft(out, &said.ft);
    tame(out, b",\"kid\":\"", kid);
    tame(out, b"\",\"merkle_root\":\"", &said.merkle_root);
    out.push(b'"');
    write_meta(out, said);
    integer(out, b",\"n\":", said.n.into());
    out.extend_from_slice(b",\"pcs_id\":\"");
    out.extend_from_slice(id);
    tame(out, b"\",\"profile\":\"", said.profile.as_str());
    number(out, b"\",\"r\":", said.r);
    write_stream(out, said);
    let sig_at = out.len();
    close(out, said);
    sig_at
}

/// Writes the members that `content_digest` covers.
fn write_content(out: &mut Vec<u8>, said: &Draft, id: &[u8]) {
    open(out, said);
    write_coherence(out, said);
    integer(out, b",\"d\":", said.d.into());
    integer(out, b",\"epoch\":", said.epoch);
    tame(out, b",\"merkle_root\":\"", &said.merkle_root);
    integer(out, b"\",\"n\":", said.n.into());
    out.extend_from_slice(b",\"pcs_id\":\"");
    out.extend_from_slice(id);
    tame(out, b"\",\"profile\":\"", said.profile.as_str());
    out.push(b'"');
    write_stream(out, said);
    close(out, said);
}

/// Writes `D_hat` and `N_j`.
fn open(out: &mut Vec<u8>, said: &Draft) {
    number(out, b"{\"D_hat\":", said.d_hat);
    out.extend_from_slice(b",\"N_j\":{");
    // Names sort as texts: "128" before "16" before "2".
    let mut order = [0_usize; crate::read::SCALES_MAX];
    let order = &mut order[..said.scales.len().min(crate::read::SCALES_MAX)];
    order.iter_mut().enumerate().for_each(|(place, index)| *index = place);
    order.sort_unstable_by_key(|index| DecimalText::of(said.scales[*index]));
    for (place, index) in order.iter().enumerate() {
        out.extend_from_slice(if place == 0 { b"\"" } else { b",\"" });
        write_unsigned(out, said.scales[*index].into());
        integer(out, b"\":", said.n_j[*index].into());
    }
    out.push(b'}');
}

/// Sorts numbers of at most nine digits as their decimal texts.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct DecimalText {
    /// The digits moved to the left of nine.
    aligned: u32,
    /// Of texts that are alike that far, the shorter one is first.
    number: u32,
}

impl DecimalText {
    fn of(number: u32) -> Self {
        let mut aligned = number;
        while aligned < 100_000_000 && aligned > 0 {
            aligned *= 10;
        }
        Self { aligned, number }
    }
}

fn write_coherence(out: &mut Vec<u8>, said: &Draft) {
    number(out, b",\"coh_star\":", said.coh_star);
}

/// Writes `regime`, `scales`, `schema`, `seed` and `shard_id`, and the comma behind them.
fn write_stream(out: &mut Vec<u8>, said: &Draft) {
    tame(out, b",\"regime\":\"", said.regime.as_str());
    out.extend_from_slice(b"\",\"scales\":[");
    for (place, scale) in said.scales.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_unsigned(out, (*scale).into());
    }
    tame(out, b"],\"schema\":\"", SCHEMA);
    integer(out, b"\",\"seed\":", said.seed);
    tame(out, b",\"shard_id\":\"", &said.shard_id);
    out.extend_from_slice(b"\",");
}

/// Writes `v_star` and `version`.
fn close(out: &mut Vec<u8>, said: &Draft) {
    out.extend_from_slice(b"\"v_star\":[");
    for (place, component) in said.v_star.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_number(out, *component);
    }
    tame(out, b"],\"version\":\"", VERSION);
    out.extend_from_slice(b"\"}");
}

fn write_ft(out: &mut Vec<u8>, ft: &FaultTolerance) {
    out.extend_from_slice(b",\"ft\":{\"clock_skew_ms\":");
    write_integer(out, ft.clock_skew_ms);
    out.extend_from_slice(b",\"degraded\":");
    out.extend_from_slice(if ft.degraded { b"true" } else { b"false" });
    out.extend_from_slice(b",\"fallbacks\":[");
    for (place, text) in ft.fallbacks.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_string(out, text);
    }
    out.extend_from_slice(b"]}");
}

fn write_meta(out: &mut Vec<u8>, said: &Draft) {
    let Some(meta) = &said.meta else { return };
    out.extend_from_slice(b",\"meta\":{");
    for (place, (name, value)) in meta.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        match value {
            MetaValue::Text(text) => write_string(out, text),
            MetaValue::Integer(integer) => write_integer(out, *integer),
            MetaValue::Bool(true) => out.extend_from_slice(b"true"),
            MetaValue::Bool(false) => out.extend_from_slice(b"false"),
        }
    }
    out.push(b'}');
}

fn number(out: &mut Vec<u8>, name: &[u8], value: f64) {
    out.extend_from_slice(name);
    write_number(out, value);
}

fn integer(out: &mut Vec<u8>, name: &[u8], value: u64) {
    out.extend_from_slice(name);
    write_unsigned(out, value);
}

/// Writes a text that needs no escape.
fn tame(out: &mut Vec<u8>, name: &[u8], text: &str) {
    out.extend_from_slice(name);
    out.extend_from_slice(text.as_bytes());
}
