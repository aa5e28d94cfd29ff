//! The rules of a record for a draft that did not come as JSON: what its types leave open, in the
//! order of the table of `specs/pcs.md` section 1.

use crate::error::Refusal;
use crate::read::{
    check_doubled, check_unit, columns_max, scale_name, COH_STAR_MIN, D_HAT_MAX, FALLBACKS_MAX,
    FALLBACK_BYTES_MAX, META_BYTES_MAX, META_MEMBERS_MAX, SCALES_MAX, SCALES_MIN, SCALE_MAX,
    SCALE_MIN,
};
use crate::record::{Draft, FaultTolerance, MetaValue, ROWS_MAX, ROWS_MIN};
use crate::structure::{
    check_count, check_match, check_number, check_text, is_hash, is_meta_name, is_shard_id, refuse,
    Path,
};
use crate::timestamp::TIMESTAMP_MS_MAX;
use crate::value::SAFE_INTEGER_MAX;

/// Checks every member of a draft.
pub(crate) fn check_draft(draft: &Draft) -> Result<(), Refusal> {
    check_match(&draft.merkle_root, Path::Top("merkle_root"), is_hash)?;
    check_safe(draft.epoch, Path::Top("epoch"))?;
    check_match(&draft.shard_id, Path::Top("shard_id"), is_shard_id)?;
    if draft.created_at_ms > TIMESTAMP_MS_MAX {
        let path = Path::Top("created_at");
        return Err(refuse("wrong_format", path, "a time up to the year 9999", "a later one"));
    }
    check_range(draft.n, Path::Top("n"), ROWS_MIN, ROWS_MAX)?;
    check_range(draft.d, Path::Top("d"), 1, columns_max(draft.profile))?;
    check_safe(draft.seed, Path::Top("seed"))?;
    check_scales(draft)?;
    check_number(draft.d_hat, Path::Top("D_hat"), -D_HAT_MAX, D_HAT_MAX)?;
    check_number(draft.coh_star, Path::Top("coh_star"), COH_STAR_MIN, 1.0)?;
    check_number(draft.r, Path::Top("r"), 0.0, 1.0)?;
    check_number(draft.budget, Path::Top("budget"), 0.0, 1.0)?;
    for (index, component) in draft.v_star.iter().enumerate() {
        check_number(*component, Path::Item("v_star", index), -1.0, 1.0)?;
    }
    check_unit(draft.v_star)?;
    check_ft(&draft.ft)?;
    check_meta(draft)
}

fn check_scales(draft: &Draft) -> Result<(), Refusal> {
    check_count(draft.scales.len(), Path::Top("scales"), SCALES_MIN, SCALES_MAX)?;
    let mut before = None;
    for (index, scale) in draft.scales.iter().enumerate() {
        let path = Path::Item("scales", index);
        check_range(*scale, path, SCALE_MIN, SCALE_MAX)?;
        check_doubled(before, *scale, path)?;
        before = Some(scale);
    }
    let points = Draft::points(draft.n, draft.d);
    for (place, scale) in draft.scales.iter().enumerate() {
        let cells = draft.n_j.get(place);
        if !cells.is_some_and(|cells| (1..=points).contains(cells)) {
            let name = scale_name((*scale).into());
            let reason = if cells.is_none() { "missing" } else { "out_of_range" };
            let path = Path::Inner("N_j", &name);
            return Err(refuse(reason, path, "a count of at most the points", "another"));
        }
    }
    if draft.n_j.len() > draft.scales.len() {
        return Err(refuse("unknown_member", Path::Inner("N_j", "?"), "no such member", "one"));
    }
    Ok(())
}

fn check_ft(ft: &FaultTolerance) -> Result<(), Refusal> {
    let path = Path::Inner("ft", "fallbacks");
    check_count(ft.fallbacks.len(), path, 0, FALLBACKS_MAX)?;
    for (index, text) in ft.fallbacks.iter().enumerate() {
        check_text(text, Path::Item("ft.fallbacks", index), FALLBACK_BYTES_MAX)?;
    }
    check_safe(ft.clock_skew_ms.unsigned_abs(), Path::Inner("ft", "clock_skew_ms"))
}

fn check_meta(draft: &Draft) -> Result<(), Refusal> {
    let Some(meta) = &draft.meta else { return Ok(()) };
    check_count(meta.len(), Path::Top("meta"), 0, META_MEMBERS_MAX)?;
    for (name, value) in meta {
        let path = Path::Foreign("meta", name);
        check_match(name, path, is_meta_name)?;
        match value {
            MetaValue::Text(text) => check_text(text, path, META_BYTES_MAX).map(|_| ())?,
            MetaValue::Integer(integer) => check_safe(integer.unsigned_abs(), path)?,
            MetaValue::Bool(_) => {}
        }
    }
    Ok(())
}

fn check_range(integer: u32, path: Path<'_>, least: u32, most: u32) -> Result<(), Refusal> {
    if !(least..=most).contains(&integer) {
        return Err(refuse("out_of_range", path, "an integer in its range", "one outside"));
    }
    Ok(())
}

/// Checks an integer's size.
fn check_safe(size: u64, path: Path<'_>) -> Result<(), Refusal> {
    if size > SAFE_INTEGER_MAX {
        let expected = "an integer within ±(2^53−1)";
        return Err(refuse("not_an_integer", path, expected, "another number"));
    }
    Ok(())
}
