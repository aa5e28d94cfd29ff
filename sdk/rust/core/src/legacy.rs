//! The record of version 0.1: accepted from old agents, never made.
//!
//! Its signature covers eight members, [`LegacySigned`], with the four numbers rounded; the others can
//! be changed by anyone on the way. They are read, since a verdict is checked against them, and
//! forgotten: what is kept, [`LegacyRecord::stored_bytes`], is what was signed.

use alloc::string::String;
use alloc::vec::Vec;

use crate::base64::encode_base64;
use crate::canonical::canonical;
use crate::derive::{budget, legacy_d_hat, regime, rounded, Regime};
use crate::document::{LEGACY_VERSION, SCHEMA};
use crate::error::{Refusal, RefusalCode};
use crate::identity::pcs_id;
use crate::judge::{is_consistent, listed, Outcome, Params, Reason};
use crate::read::scale_name;
use crate::structure::{
    check_match, is_hash, kept, refuse_unknown, require_array, require_count, require_integer,
    require_match, require_number, require_object, require_one_of, require_own_id,
    require_safe_integer, require_signature, require_text, Path,
};
use crate::value::{Object, Value, SAFE_INTEGER_MAX};

const SHARD_ID_BYTES_MAX: usize = 128;
const SENT_AT_BYTES_MAX: usize = 64;
const SCALES_MIN: usize = 2;
const SCALES_MAX: usize = 16;
const SCALE_MIN: u64 = 2;
const SCALE_MAX: u64 = 65_536;
const V_STAR_MAX: usize = 4_096;
const COH_STAR_MAX: f64 = 1.05;
/// Of the signed numbers: nine decimals of it are exact in a double, so rounding twice is once.
const NUMBER_MAX: f64 = 1_000_000.0;

/// What the signature covers, and all that is remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct LegacySigned {
    /// The id of its window.
    pub pcs_id: String,
    /// 64 lower-case hexadecimal digits.
    pub merkle_root: String,
    /// 0 … 2^53−1
    pub epoch: u64,
    /// 1 … 128 bytes of UTF-8 without control characters.
    pub shard_id: String,
    /// ±1,000,000, rounded to nine decimals, as are the next three.
    pub d_hat: f64,
    /// ±1,000,000
    pub coh_star: f64,
    /// ±1,000,000
    pub r: f64,
    /// ±1,000,000
    pub budget: f64,
}

/// A record whose structure and `pcs_id` are right; its signature is not checked by that.
#[derive(Clone, Debug, PartialEq)]
pub struct LegacyRecord {
    /// What was signed.
    pub signed: LegacySigned,
    /// (scale, occupied cells), ascending; anyone's word.
    pub n_j: Vec<(u64, u64)>,
    /// Anyone's word too.
    pub regime: Regime,
    pub(crate) signature: Vec<u8>,
}

impl LegacyRecord {
    /// Returns its signature: 32 or 64 bytes, or none where `sig` is absent or empty.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Returns the record a document of this version holds; members it does not have are ignored.
    pub(crate) fn of(members: &Object) -> Result<Self, Refusal> {
        let get = |name: &str| members.get(name);
        let id = require_match(get("pcs_id"), Path::Top("pcs_id"), is_hash)?;
        let named = |text: &str| (text == SCHEMA).then_some(());
        require_one_of(get("schema"), Path::Top("schema"), named)?;
        let shard_id = read_shard_id(get("shard_id"))?;
        let epoch = require_count(get("epoch"), Path::Top("epoch"))?;
        require_safe_integer(get("attempt"), Path::Top("attempt"))?;
        require_text(get("sent_at"), Path::Top("sent_at"), SENT_AT_BYTES_MAX)?;
        require_safe_integer(get("seed"), Path::Top("seed"))?;
        let scales = read_scales(get("scales"))?;
        let n_j = read_n_j(get("N_j"), &scales)?;
        let coh_star = read_number(get("coh_star"), "coh_star")?;
        check_v_star(get("v_star"))?;
        let d_hat = read_number(get("D_hat"), "D_hat")?;
        let r = read_number(get("r"), "r")?;
        let regime = require_one_of(get("regime"), Path::Top("regime"), Regime::named)?;
        let budget = read_number(get("budget"), "budget")?;
        let merkle_root = require_match(get("merkle_root"), Path::Top("merkle_root"), is_hash)?;
        let signature = require_signature(get("sig"))?.unwrap_or_default();
        require_own_id(id, &pcs_id(merkle_root, epoch, shard_id))?;
        let signed = LegacySigned {
            pcs_id: kept(id),
            merkle_root: kept(merkle_root),
            epoch,
            shard_id: kept(shard_id),
            d_hat,
            coh_star,
            r,
            budget,
        };
        Ok(Self { signed, n_j, regime, signature })
    }

    /// Returns what a ledger keeps: the signed members, `schema`, `version` and `sig`.
    ///
    /// Nothing else, since whoever carried the record could have changed it: two copies of one record
    /// that differ in what is not signed are stored alike.
    #[must_use]
    pub fn stored_bytes(&self) -> Vec<u8> {
        let signed = &self.signed;
        let mut kept = Object::new();
        kept.insert("schema", SCHEMA);
        kept.insert("version", LEGACY_VERSION);
        kept.insert("pcs_id", signed.pcs_id.as_str());
        kept.insert("merkle_root", signed.merkle_root.as_str());
        kept.insert("epoch", Value::Number(signed.epoch as f64));
        kept.insert("shard_id", signed.shard_id.as_str());
        kept.insert("D_hat", Value::Number(signed.d_hat));
        kept.insert("coh_star", Value::Number(signed.coh_star));
        kept.insert("r", Value::Number(signed.r));
        kept.insert("budget", Value::Number(signed.budget));
        kept.insert("sig", encode_base64(&self.signature));
        // Every number is finite: it was read from JSON.
        canonical(&kept.into()).unwrap_or_default()
    }

    /// Returns the verdict under a parameter set; every check is run.
    ///
    /// An outcome that accepts follows from the signed members alone.
    ///
    /// Source: `specs/pcs.md` section 7.3.
    #[must_use]
    pub fn judge(&self, params: Params) -> Outcome {
        let LegacySigned { d_hat, coh_star, r, .. } = self.signed;
        let recomputed_budget = budget(d_hat, coh_star, r);
        let d_hat_differs = (legacy_d_hat(&self.n_j) - d_hat).abs() > params.tol_d;
        let budget_differs = (recomputed_budget - self.signed.budget).abs() > params.tol_budget;
        let spoiled = listed([
            (d_hat_differs, Reason::DHatMismatch),
            (!is_consistent(&self.n_j), Reason::NJInconsistent),
            (!(0.0..=COH_STAR_MAX).contains(&coh_star), Reason::CohStarBounds),
            (!(0.0..=1.0).contains(&r), Reason::RBounds),
            (regime(d_hat, coh_star) != self.regime, Reason::RegimeMismatch),
        ]);
        let odd = listed([(budget_differs, Reason::BudgetDeviation)]);
        Outcome {
            accepted: spoiled.is_empty(),
            escalated: spoiled.is_empty() && !odd.is_empty(),
            reasons: [spoiled, odd].concat(),
            recomputed_d_hat: None,
            recomputed_budget,
            params_version: params.version,
        }
    }

    /// Returns whether an outcome is kept: only one that accepts. A relay can spoil a copy of such a
    /// record; it must not decide for the honest sender.
    ///
    /// # Errors
    ///
    /// `unsigned_member_mismatch`: a check failed that asks an unsigned member, so that the outcome is
    /// not even the record's.
    pub fn is_remembered(outcome: &Outcome) -> Result<bool, Refusal> {
        for reason in &outcome.reasons {
            let member = match reason {
                Reason::DHatMismatch | Reason::NJInconsistent => "N_j",
                Reason::RegimeMismatch => "regime",
                _ => continue,
            };
            let code = RefusalCode::UnsignedMemberMismatch;
            let expected = "what agrees with the signed members";
            return Err(Refusal::of_member(code, reason.as_str(), member, expected, "another"));
        }
        Ok(outcome.accepted)
    }
}

fn read_number(value: Option<&Value>, name: &str) -> Result<f64, Refusal> {
    require_number(value, Path::Top(name), -NUMBER_MAX, NUMBER_MAX).map(rounded)
}

fn read_shard_id<'a>(value: Option<&'a Value<'a>>) -> Result<&'a str, Refusal> {
    let path = Path::Top("shard_id");
    let text = require_text(value, path, SHARD_ID_BYTES_MAX)?;
    // A control character in the name of a stream would be one in a log, and in a key on disk.
    let form = |text: &str| !text.is_empty() && !text.bytes().any(|byte| byte.is_ascii_control());
    check_match(text, path, form)
}

fn read_scales(value: Option<&Value>) -> Result<Vec<u64>, Refusal> {
    let items = require_array(value, Path::Top("scales"), SCALES_MIN, SCALES_MAX)?;
    let mut scales = Vec::with_capacity(items.len());
    let mut least = SCALE_MIN;
    for (index, item) in items.iter().enumerate() {
        let scale = require_integer(Some(item), Path::Item("scales", index), least, SCALE_MAX)?;
        scales.push(scale);
        least = scale + 1;
    }
    Ok(scales)
}

fn read_n_j(value: Option<&Value>, scales: &[u64]) -> Result<Vec<(u64, u64)>, Refusal> {
    let counts = require_object(value, Path::Top("N_j"))?;
    let names: Vec<String> = scales.iter().map(|scale| scale_name(*scale)).collect();
    let pairs = scales.iter().zip(&names).map(|(scale, name)| {
        let path = Path::Inner("N_j", name);
        let cells = require_integer(counts.get(name), path, 1, SAFE_INTEGER_MAX)?;
        Ok((*scale, cells))
    });
    let n_j = pairs.collect::<Result<Vec<(u64, u64)>, Refusal>>()?;
    refuse_unknown(counts, Some("N_j"), |name| names.iter().any(|known| known == name))?;
    Ok(n_j)
}

fn check_v_star(value: Option<&Value>) -> Result<(), Refusal> {
    let items = require_array(value, Path::Top("v_star"), 1, V_STAR_MAX)?;
    for (index, item) in items.iter().enumerate() {
        require_number(Some(item), Path::Item("v_star", index), f64::MIN, f64::MAX)?;
    }
    Ok(())
}
