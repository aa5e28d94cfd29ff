//! `outcomes.json` and `records_0_1.json`: what is said of a record.

use fractal_lba_core::{
    encode_base64, judge, parse_timestamp, AnyRecord, LegacyRecord, Object, Outcome, Record, Value,
    CURRENT_PARAMS, LEGACY_TENANT,
};

use crate::answers::keys::keyring;
use crate::answers::{body, real, refused, Answer};
use crate::fields::{flag, object, text, text_or_null};

fn reasons(outcome: &Outcome) -> Value<'static> {
    let reasons = outcome.reasons.iter().map(|reason| reason.as_str().into());
    reasons.collect::<Vec<Value>>().into()
}

fn status(outcome: &Outcome) -> Value<'static> {
    Value::Number(outcome.status().into())
}

/// Answers `outcomes.json`: the verdict on a record whose signature is not asked for.
pub fn outcomes(given: &Object) -> Answer {
    let record = Record::parse(&body(given)).map_err(|refusal| refused(&refusal))?;
    let outcome = judge(&record, CURRENT_PARAMS);
    let decision = outcome.decision_body(record.pcs_id(), &record.record_digest());
    Ok(object([
        ("status", status(&outcome)),
        ("accepted", outcome.accepted.into()),
        ("escalated", outcome.escalated.into()),
        ("reasons", reasons(&outcome)),
        ("recomputed_D_hat", outcome.recomputed_d_hat.map_or(Value::Null, real)),
        ("recomputed_budget", real(outcome.recomputed_budget)),
        ("params_version", outcome.params_version.into()),
        ("decision_body", encode_base64(&decision).into()),
    ]))
}

/// Answers `records_0_1.json`: all that follows from a body, as a server takes it.
///
/// # Panics
///
/// The time of receipt is none, or a case is of another version.
pub fn records_0_1(given: &Object) -> Answer {
    let ring = keyring(given)?;
    let received_at = parse_timestamp(text(given, "received_at")).expect("a timestamp");
    let tenant = text_or_null(given, "tenant").unwrap_or(LEGACY_TENANT);
    let legacy_tenant = flag(given, "accepts_legacy").then_some(tenant);
    let found =
        ring.authenticate(&body(given), legacy_tenant).map_err(|refusal| refused(&refusal))?;
    found.require_valid_key(received_at).map_err(|refusal| refused(&refusal))?;
    let outcome = found.record.judge();
    let remembered = LegacyRecord::is_remembered(&outcome).map_err(|refusal| refused(&refusal))?;
    let AnyRecord::Legacy(record) = &found.record else {
        panic!("version: expected 0.1");
    };
    assert_eq!(found.record_digest, found.content_digest, "one name for both");
    let decision = outcome.decision_body(found.record.pcs_id(), &found.record_digest);
    Ok(object([
        ("tenant", found.key.tenant.as_str().into()),
        ("kid", found.key.kid.as_str().into()),
        ("pcs_id", found.record.pcs_id().into()),
        ("digest", found.record_digest.as_str().into()),
        ("as_python", encode_base64(&record.signed.spelled_as_python()).into()),
        ("as_ecmascript", encode_base64(&record.signed.spelled_as_ecmascript()).into()),
        ("stored", encode_base64(&record.stored_bytes()).into()),
        ("status", status(&outcome)),
        ("reasons", reasons(&outcome)),
        ("recomputed_budget", real(outcome.recomputed_budget)),
        ("decision_body", encode_base64(&decision).into()),
        ("remembered", remembered.into()),
    ]))
}
