//! Read a body that is its own canonical form in one walk: the spelling that programs send.
//!
//! The rule: this way only ever says yes, and only to what [`Record::parse`](crate::Record::parse) takes,
//! with the same values. Members stand in one order there, and each has one spelling, so that what is
//! signed, hashed and kept are pieces of the body itself. Of anything else it says nothing.

use alloc::vec::Vec;
use core::ops::Range;

use sha2::{Digest, Sha256};

use crate::base64::decode_base64;
use crate::derive::Regime;
use crate::document::RECORD_BYTES_MAX;
use crate::hex::hex_digits;
use crate::identity::{window_hash, CONTENT_LABEL, SIGNING_LABEL};
use crate::judge::Judged;
use crate::read::{
    columns_max, is_unit, COH_STAR_MIN, D_HAT_MAX, FALLBACKS_MAX, FALLBACK_BYTES_MAX,
    META_BYTES_MAX, META_MEMBERS_MAX, SCALES_MAX, SCALES_MIN, SCALE_MAX, SCALE_MIN,
};
use crate::record::{Draft, Profile, ROWS_MAX, ROWS_MIN};
use crate::scan::Scan;
use crate::structure::{is_hash, is_key_name, is_meta_name, is_shard_id};
use crate::timestamp::parse_timestamp;
use crate::value::SAFE_INTEGER_MAX;

/// (scale, occupied cells) of each scale, ascending.
#[derive(Default)]
struct Counts {
    pairs: [(u64, u64); SCALES_MAX],
    length: usize,
}

impl Counts {
    fn as_slice(&self) -> &[(u64, u64)] {
        &self.pairs[..self.length]
    }
}

/// What a body says that is its record's one spelling. Its signature is not checked by that.
pub(crate) struct Plain<'a> {
    pub(crate) kid: &'a str,
    pub(crate) pcs_id: &'a str,
    pub(crate) shard_id: &'a str,
    pub(crate) epoch: u64,
    pub(crate) created_at_ms: u64,
    pub(crate) regime: Regime,
    pub(crate) signature: Vec<u8>,
    d_hat: f64,
    coh_star: f64,
    r: f64,
    budget: f64,
    is_degraded: bool,
    counts: Counts,
    body: &'a [u8],
    places: Places,
}

/// Where those members stand that some of the canonical bytes leave out, each with one of its commas.
#[derive(Default)]
struct Places {
    budget: Range<usize>,
    created_at: Range<usize>,
    delivery: Range<usize>,
    /// `ft` and `kid`.
    ft: Range<usize>,
    meta: Range<usize>,
    r: Range<usize>,
    sig: Range<usize>,
}

impl<'a> Plain<'a> {
    /// Returns what a body says, and nothing where it is not a record's one spelling.
    pub(crate) fn read(body: &'a [u8]) -> Option<Self> {
        if body.len() > RECORD_BYTES_MAX {
            return None;
        }
        let scan = &mut Scan::of(body)?;
        let mut places = Places::default();
        scan.pass("{\"D_hat\":")?;
        let d_hat = scan.number_in(-D_HAT_MAX, D_HAT_MAX)?;
        scan.pass(",\"N_j\":{")?;
        let named = read_n_j(scan)?;
        places.budget = here(scan);
        scan.pass(",\"budget\":")?;
        let budget = scan.number_in(0.0, 1.0)?;
        places.budget.end = scan.at();
        scan.pass(",\"coh_star\":")?;
        let coh_star = scan.number_in(COH_STAR_MIN, 1.0)?;
        places.created_at = here(scan);
        scan.pass(",\"created_at\":\"")?;
        let created_at_ms = read_timestamp(scan)?;
        places.created_at.end = scan.at();
        scan.pass(",\"d\":")?;
        let d = scan.count()?;
        places.delivery = here(scan);
        if scan.has(",\"delivery\":{\"attempt\":") {
            read_delivery(scan)?;
        }
        places.delivery.end = scan.at();
        scan.pass(",\"epoch\":")?;
        let epoch = scan.count()?;
        places.ft = here(scan);
        scan.pass(",\"ft\":{\"clock_skew_ms\":")?;
        let is_degraded = read_ft(scan)?;
        scan.pass(",\"kid\":\"")?;
        let kid = scan.tame().filter(|kid| is_key_name(kid))?;
        places.ft.end = scan.at();
        scan.pass(",\"merkle_root\":\"")?;
        let merkle_root = scan.tame().filter(|root| is_hash(root))?;
        places.meta = here(scan);
        if scan.has(",\"meta\":{") {
            read_meta(scan)?;
        }
        places.meta.end = scan.at();
        scan.pass(",\"n\":")?;
        let n = scan.count_in(ROWS_MIN, ROWS_MAX)?;
        scan.pass(",\"pcs_id\":\"")?;
        let pcs_id = scan.tame()?;
        scan.pass(",\"profile\":\"")?;
        let profile = Profile::named(scan.tame()?)?;
        let d = u32::try_from(d).ok().filter(|d| (1..=columns_max(profile)).contains(d))?;
        places.r = here(scan);
        scan.pass(",\"r\":")?;
        let r = scan.number_in(0.0, 1.0)?;
        places.r.end = scan.at();
        scan.pass(",\"regime\":\"")?;
        let regime = Regime::named(scan.tame()?)?;
        scan.pass(",\"scales\":[")?;
        let counts = read_scales(scan, named, Draft::points(n, d))?;
        scan.pass(",\"schema\":\"fractal-lba-kakeya\",\"seed\":")?;
        scan.count()?;
        scan.pass(",\"shard_id\":\"")?;
        let shard_id = scan.tame().filter(|shard_id| is_shard_id(shard_id))?;
        scan.pass(",")?;
        places.sig = here(scan);
        scan.pass("\"sig\":\"")?;
        let signature = decode_base64(scan.tame()?).ok()?;
        scan.pass(",")?;
        places.sig.end = scan.at();
        scan.pass("\"v_star\":[")?;
        read_v_star(scan)?;
        scan.pass(",\"version\":\"1.0\"}")?;
        let is_own = hex_digits(&window_hash(merkle_root, epoch, shard_id)) == *pcs_id.as_bytes();
        (scan.is_over() && is_own).then_some(Self {
            kid,
            pcs_id,
            shard_id,
            epoch,
            created_at_ms,
            regime,
            signature,
            d_hat,
            coh_star,
            r,
            budget,
            is_degraded,
            counts,
            body,
            places,
        })
    }

    /// Returns what is judged.
    pub(crate) fn judged(&self) -> Judged<'_> {
        Judged {
            counts: self.counts.as_slice(),
            d_hat: self.d_hat,
            coh_star: self.coh_star,
            r: self.r,
            budget: self.budget,
            regime: self.regime,
            is_degraded: self.is_degraded,
        }
    }

    /// Returns the bytes a signature covers.
    pub(crate) fn signing_input(&self) -> Vec<u8> {
        let Places { delivery, sig, .. } = &self.places;
        let mut out = Vec::with_capacity(SIGNING_LABEL.len() + self.body.len());
        out.extend_from_slice(SIGNING_LABEL);
        out.extend_from_slice(&self.body[..delivery.start]);
        out.extend_from_slice(&self.body[delivery.end..sig.start]);
        out.extend_from_slice(&self.body[sig.end..]);
        out
    }

    /// Returns the hash that names what it says of its window.
    pub(crate) fn content_hash(&self) -> [u8; 32] {
        let Places { budget, created_at, delivery, ft, meta, r, sig } = &self.places;
        let mut hasher = Sha256::new().chain_update(CONTENT_LABEL);
        let mut from = 0;
        for left_out in [budget, created_at, delivery, ft, meta, r, sig] {
            hasher.update(&self.body[from..left_out.start]);
            from = left_out.end;
        }
        hasher.chain_update(&self.body[from..]).finalize().into()
    }

    /// Returns the two parts of the body that a ledger keeps.
    pub(crate) fn stored(&self) -> [&'a [u8]; 2] {
        let Range { start, end } = self.places.delivery;
        [&self.body[..start], &self.body[end..]]
    }
}

/// A place that begins, and as yet ends, where a walk is.
fn here(scan: &Scan<'_>) -> Range<usize> {
    scan.at()..scan.at()
}

/// Returns whether a list goes on; what stands between its items, or behind the last one, is passed.
fn goes_on(scan: &mut Scan<'_>, end: &str) -> Option<bool> {
    if scan.has(",") {
        return Some(true);
    }
    scan.pass(end).map(|()| false)
}

fn read_timestamp(scan: &mut Scan<'_>) -> Option<u64> {
    parse_timestamp(scan.tame()?).ok()
}

/// Reads the counts of `N_j` in the order of their names.
fn read_n_j(scan: &mut Scan<'_>) -> Option<Counts> {
    let mut named = Counts::default();
    let mut before = "";
    loop {
        scan.pass("\"")?;
        let name = scan.tame()?;
        if name <= before || named.length == SCALES_MAX {
            return None;
        }
        before = name;
        let mut digits = Scan::of(name.as_bytes())?;
        let scale = digits.count().filter(|_| digits.is_over())?;
        scan.pass(":")?;
        named.pairs[named.length] = (scale, scan.count_in(1, ROWS_MAX)?.into());
        named.length += 1;
        if !goes_on(scan, "}")? {
            return Some(named);
        }
    }
}

/// Reads `scales`, and returns the count of each: no scale without one, and no count without a scale.
fn read_scales(scan: &mut Scan<'_>, named: Counts, points: u32) -> Option<Counts> {
    let mut counts = Counts::default();
    let mut least = SCALE_MIN;
    loop {
        let scale = u64::from(scan.count_in(least, SCALE_MAX)?);
        let (_, cells) = named.as_slice().iter().find(|(name, _)| *name == scale)?;
        if *cells > points.into() || counts.length == SCALES_MAX {
            return None;
        }
        counts.pairs[counts.length] = (scale, *cells);
        counts.length += 1;
        least = 2 * scale as u32;
        if !goes_on(scan, "]")? {
            break;
        }
    }
    ((SCALES_MIN..=SCALES_MAX).contains(&counts.length) && counts.length == named.length)
        .then_some(counts)
}

/// Passes `delivery` from the number of the attempt on.
fn read_delivery(scan: &mut Scan<'_>) -> Option<()> {
    let ordinal = 1..=SAFE_INTEGER_MAX;
    scan.count().filter(|attempt| ordinal.contains(attempt))?;
    scan.pass(",\"outbox_seq\":")?;
    scan.count().filter(|seq| ordinal.contains(seq))?;
    scan.pass(",\"sent_at\":\"")?;
    read_timestamp(scan)?;
    scan.pass("}")
}

/// Passes `ft` from the clock's skew on; returns whether it says degraded.
fn read_ft(scan: &mut Scan<'_>) -> Option<bool> {
    scan.integer()?;
    scan.pass(",\"degraded\":")?;
    let is_degraded = read_bool(scan)?;
    scan.pass(",\"fallbacks\":[")?;
    if scan.has("]}") {
        return Some(is_degraded);
    }
    for _ in 0..FALLBACKS_MAX {
        scan.pass("\"")?;
        scan.text_bytes().filter(|bytes| *bytes <= FALLBACK_BYTES_MAX)?;
        if !goes_on(scan, "]}")? {
            return Some(is_degraded);
        }
    }
    None
}

fn read_bool(scan: &mut Scan<'_>) -> Option<bool> {
    if scan.has("true") {
        return Some(true);
    }
    scan.pass("false").map(|()| false)
}

/// Passes `meta` from its first name on.
fn read_meta(scan: &mut Scan<'_>) -> Option<()> {
    if scan.has("}") {
        return Some(());
    }
    let mut before = "";
    for _ in 0..META_MEMBERS_MAX {
        scan.pass("\"")?;
        let name = scan.tame().filter(|name| *name > before && is_meta_name(name))?;
        before = name;
        scan.pass(":")?;
        if scan.has("\"") {
            scan.text_bytes().filter(|bytes| *bytes <= META_BYTES_MAX)?;
        } else if !scan.has("true") && !scan.has("false") {
            scan.integer()?;
        }
        if !goes_on(scan, "}")? {
            return Some(());
        }
    }
    None
}

fn read_v_star(scan: &mut Scan<'_>) -> Option<()> {
    let v0 = scan.number_in(-1.0, 1.0)?;
    scan.pass(",")?;
    let v1 = scan.number_in(-1.0, 1.0)?;
    scan.pass(",")?;
    let v2 = scan.number_in(-1.0, 1.0)?;
    scan.pass("]")?;
    is_unit([v0, v1, v2]).then_some(())
}
