//! Read a record of version 1.0: members in, in the order of the table of `specs/pcs.md` section 1.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::canonical::Decimal;
use crate::derive::Regime;
use crate::document::{read_document, require_version, unsupported, Version, SCHEMA};
use crate::error::Refusal;
use crate::identity::pcs_id;
use crate::record::{
    Delivery, Draft, FaultTolerance, MetaValue, Profile, Record, COLUMNS_MAX, ROWS_MAX, ROWS_MIN,
};
use crate::structure::{
    check_count, check_match, check_text, is_hash, is_key_name, is_meta_name, is_shard_id, kept,
    refuse, refuse_unknown, require_array, require_boolean, require_count, require_integer,
    require_match, require_number, require_object, require_one_of, require_own_id,
    require_safe_integer, require_signature, require_small, require_text, require_timestamp, Path,
};
use crate::value::{Object, Value, SAFE_INTEGER_MAX};

pub(crate) const SCALES_MIN: usize = 2;
pub(crate) const SCALES_MAX: usize = 10;
pub(crate) const SCALE_MIN: u32 = 2;
pub(crate) const SCALE_MAX: u32 = 1_024;
pub(crate) const D_HAT_MAX: f64 = 16.0;
/// One of 20 bins always holds a twentieth of the points.
pub(crate) const COH_STAR_MIN: f64 = 0.05;
pub(crate) const FALLBACKS_MAX: usize = 8;
pub(crate) const FALLBACK_BYTES_MAX: usize = 64;
pub(crate) const META_MEMBERS_MAX: usize = 16;
pub(crate) const META_BYTES_MAX: usize = 256;
const UNIT_TOLERANCE: f64 = 1e-6;

impl Record {
    /// Returns the record of version 1.0 a body holds.
    ///
    /// # Errors
    ///
    /// Size, JSON, version, members in the order of the table, unknown members, `pcs_id`.
    ///
    /// # Examples
    ///
    /// ```
    /// let refusal = fractal_lba_core::Record::parse(br#"{"version": "1.0"}"#).unwrap_err();
    /// assert_eq!(refusal.code.as_str(), "invalid_record");
    /// assert_eq!((refusal.reason, refusal.member.as_deref()), ("missing", Some("schema")));
    /// ```
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let document = read_document(body)?;
        match require_version(&document)? {
            Version::Current => Self::of(&document),
            Version::Legacy => Err(unsupported("unsupported_version")),
        }
    }

    /// Returns the record a document of this version holds.
    pub(crate) fn of(members: &Object) -> Result<Self, Refusal> {
        require_schema(members)?;
        let kid = require_match(members.get("kid"), Path::Top("kid"), is_key_name)?;
        let id = require_match(members.get("pcs_id"), Path::Top("pcs_id"), is_hash)?;
        let said = read_draft(members)?;
        let delivery = read_delivery(members.get("delivery"))?;
        let sig = require_signature(members.get("sig"))?;
        refuse_unknown(members, None, is_member)?;
        require_own_id(id, &pcs_id(&said.merkle_root, said.epoch, &said.shard_id))?;
        Ok(Self { kid: kept(kid), pcs_id: kept(id), said, delivery, sig })
    }
}

impl Draft {
    /// Returns what members say of a window, as a record's would under their names on the wire;
    /// `kid`, `pcs_id`, `delivery` and `sig` are not looked at.
    ///
    /// # Errors
    ///
    /// `invalid_record`, in the order of the table, or `unsupported_version`.
    pub fn from_members(members: &Object) -> Result<Self, Refusal> {
        if require_version(members)? != Version::Current {
            return Err(unsupported("unsupported_version"));
        }
        require_schema(members)?;
        let said = read_draft(members)?;
        refuse_unknown(members, None, is_member)?;
        Ok(said)
    }
}

/// Whether a record may have a member of this name.
fn is_member(name: &str) -> bool {
    matches!(
        name,
        "schema"
            | "version"
            | "kid"
            | "pcs_id"
            | "merkle_root"
            | "epoch"
            | "shard_id"
            | "created_at"
            | "profile"
            | "n"
            | "d"
            | "seed"
            | "scales"
            | "N_j"
            | "D_hat"
            | "coh_star"
            | "r"
            | "budget"
            | "v_star"
            | "regime"
            | "ft"
            | "meta"
            | "delivery"
            | "sig"
    )
}

fn require_schema(members: &Object) -> Result<(), Refusal> {
    let named = |text: &str| (text == SCHEMA).then_some(());
    require_one_of(members.get("schema"), Path::Top("schema"), named)
}

/// Reads the members from `merkle_root` to `meta`.
fn read_draft(members: &Object) -> Result<Draft, Refusal> {
    let get = |name: &str| members.get(name);
    let merkle_root = require_match(get("merkle_root"), Path::Top("merkle_root"), is_hash)?;
    let epoch = require_count(get("epoch"), Path::Top("epoch"))?;
    let shard_id = require_match(get("shard_id"), Path::Top("shard_id"), is_shard_id)?;
    let created_at_ms = require_timestamp(get("created_at"), Path::Top("created_at"))?;
    let profile = require_one_of(get("profile"), Path::Top("profile"), Profile::named)?;
    let n = require_small(get("n"), Path::Top("n"), ROWS_MIN, ROWS_MAX)?;
    let d = require_small(get("d"), Path::Top("d"), 1, columns_max(profile))?;
    let seed = require_count(get("seed"), Path::Top("seed"))?;
    let scales = read_scales(get("scales"))?;
    let n_j = read_n_j(get("N_j"), &scales, Draft::points(n, d))?;
    let d_hat = require_number(get("D_hat"), Path::Top("D_hat"), -D_HAT_MAX, D_HAT_MAX)?;
    let coh_star = require_number(get("coh_star"), Path::Top("coh_star"), COH_STAR_MIN, 1.0)?;
    let r = require_number(get("r"), Path::Top("r"), 0.0, 1.0)?;
    let budget = require_number(get("budget"), Path::Top("budget"), 0.0, 1.0)?;
    let v_star = read_v_star(get("v_star"))?;
    let regime = require_one_of(get("regime"), Path::Top("regime"), Regime::named)?;
    let ft = read_ft(get("ft"))?;
    let meta = read_meta(get("meta"))?;
    Ok(Draft {
        merkle_root: kept(merkle_root),
        epoch,
        shard_id: kept(shard_id),
        created_at_ms,
        profile,
        n,
        d,
        seed,
        scales,
        n_j,
        d_hat,
        coh_star,
        r,
        budget,
        v_star,
        regime,
        ft,
        meta,
    })
}

pub(crate) fn columns_max(profile: Profile) -> u32 {
    match profile {
        Profile::Bytes => 1,
        Profile::Points => COLUMNS_MAX,
    }
}

fn read_scales(value: Option<&Value>) -> Result<Vec<u32>, Refusal> {
    let items = require_array(value, Path::Top("scales"), SCALES_MIN, SCALES_MAX)?;
    let mut scales: Vec<u32> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = Path::Item("scales", index);
        let scale = require_small(Some(item), path, SCALE_MIN, SCALE_MAX)?;
        check_doubled(scales.last(), scale, path)?;
        scales.push(scale);
    }
    Ok(scales)
}

pub(crate) fn check_doubled(
    before: Option<&u32>,
    scale: u32,
    path: Path<'_>,
) -> Result<(), Refusal> {
    if before.is_some_and(|before| scale < 2 * before) {
        return Err(refuse("not_doubled", path, "at least twice the one before", "less"));
    }
    Ok(())
}

/// The decimal text of a scale: its name in `N_j`.
pub(crate) fn scale_name(scale: u64) -> String {
    Decimal::of(scale).digits().iter().copied().map(char::from).collect()
}

fn read_n_j(value: Option<&Value>, scales: &[u32], points: u32) -> Result<Vec<u32>, Refusal> {
    let counts = require_object(value, Path::Top("N_j"))?;
    let names: Vec<String> = scales.iter().map(|scale| scale_name(u64::from(*scale))).collect();
    let cells = names
        .iter()
        .map(|name| require_small(counts.get(name), Path::Inner("N_j", name), 1, points));
    let n_j = cells.collect::<Result<Vec<u32>, Refusal>>()?;
    refuse_unknown(counts, Some("N_j"), |name| names.iter().any(|known| known == name))?;
    Ok(n_j)
}

fn read_v_star(value: Option<&Value>) -> Result<[f64; 3], Refusal> {
    let items = require_array(value, Path::Top("v_star"), 3, 3)?;
    let mut v_star = [0.0; 3];
    for (index, (component, item)) in v_star.iter_mut().zip(items).enumerate() {
        *component = require_number(Some(item), Path::Item("v_star", index), -1.0, 1.0)?;
    }
    check_unit(v_star)?;
    Ok(v_star)
}

/// Whether a vector has the length 1.
pub(crate) fn is_unit([v0, v1, v2]: [f64; 3]) -> bool {
    ((v0 * v0 + v1 * v1) + v2 * v2 - 1.0).abs() <= UNIT_TOLERANCE
}

pub(crate) fn check_unit(vector: [f64; 3]) -> Result<(), Refusal> {
    if !is_unit(vector) {
        let path = Path::Top("v_star");
        return Err(refuse("not_a_unit_vector", path, "length 1", "another length"));
    }
    Ok(())
}

fn read_ft(value: Option<&Value>) -> Result<FaultTolerance, Refusal> {
    let members = require_object(value, Path::Top("ft"))?;
    let degraded = require_boolean(members.get("degraded"), Path::Inner("ft", "degraded"))?;
    let path = Path::Inner("ft", "fallbacks");
    let items = require_array(members.get("fallbacks"), path, 0, FALLBACKS_MAX)?;
    let texts = items.iter().enumerate().map(|(index, item)| {
        let path = Path::Item("ft.fallbacks", index);
        require_text(Some(item), path, FALLBACK_BYTES_MAX).map(kept)
    });
    let fallbacks = texts.collect::<Result<Vec<String>, Refusal>>()?;
    let path = Path::Inner("ft", "clock_skew_ms");
    let clock_skew_ms = require_safe_integer(members.get("clock_skew_ms"), path)?;
    let known = ["degraded", "fallbacks", "clock_skew_ms"];
    refuse_unknown(members, Some("ft"), |name| known.contains(&name))?;
    Ok(FaultTolerance { degraded, fallbacks, clock_skew_ms })
}

fn read_meta(value: Option<&Value>) -> Result<Option<BTreeMap<String, MetaValue>>, Refusal> {
    if value.is_none() {
        return Ok(None);
    }
    let members = require_object(value, Path::Top("meta"))?;
    check_count(members.len(), Path::Top("meta"), 0, META_MEMBERS_MAX)?;
    let mut meta = BTreeMap::new();
    for (name, item) in members.iter() {
        let path = Path::Foreign("meta", name);
        check_match(name, path, is_meta_name)?;
        let item = match item {
            Value::Bool(item) => MetaValue::Bool(*item),
            Value::String(text) => MetaValue::Text(kept(check_text(text, path, META_BYTES_MAX)?)),
            _ => MetaValue::Integer(require_safe_integer(Some(item), path)?),
        };
        meta.insert(kept(name), item);
    }
    Ok(Some(meta))
}

fn read_delivery(value: Option<&Value>) -> Result<Option<Delivery>, Refusal> {
    if value.is_none() {
        return Ok(None);
    }
    let members = require_object(value, Path::Top("delivery"))?;
    let ordinal = |name| {
        let path = Path::Inner("delivery", name);
        require_integer(members.get(name), path, 1, SAFE_INTEGER_MAX)
    };
    let attempt = ordinal("attempt")?;
    let path = Path::Inner("delivery", "sent_at");
    let sent_at_ms = require_timestamp(members.get("sent_at"), path)?;
    let outbox_seq = ordinal("outbox_seq")?;
    let known = ["attempt", "sent_at", "outbox_seq"];
    refuse_unknown(members, Some("delivery"), |name| known.contains(&name))?;
    Ok(Some(Delivery { attempt, sent_at_ms, outbox_seq }))
}
