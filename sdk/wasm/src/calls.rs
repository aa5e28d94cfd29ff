//! Which request is answered by what.

use fractal_lba_core::{
    canonical, encode_base64, inclusion_proof, judge, leaf_hash, merkle_root, parse_json, pcs_id,
    ring_point, verify_consistency, verify_inclusion, AnyRecord, Object, Outcome, Record, Ring,
    Shard, Value, CURRENT_PARAMS, JCS_DEPTH_MAX,
};

use crate::fields::{bytes, count, items, many_bytes, number, object, text, wrong, Refused};
use crate::state::Held;
use crate::{keys, summaries};

/// Answers a request with `{"ok": …}` or `{"refused": …}`.
pub(crate) fn answer(request: &[u8], held: &mut Held) -> Vec<u8> {
    let parsed = parse_json(request, JCS_DEPTH_MAX).map_err(Refused::from);
    let answered = parsed.and_then(|request| match request.as_object() {
        Some(request) => dispatch(request, held),
        None => Err(wrong("request", "an object")),
    });
    let answer = match answered {
        Ok(value) => object([("ok", value)]),
        Err(Refused(members)) => object([("refused", members.into())]),
    };
    canonical(&answer.into()).unwrap_or_default()
}

fn dispatch(request: &Object, held: &mut Held) -> Result<Value<'static>, Refused> {
    match text(request, "op")? {
        "canonical" => canonical_bytes(request),
        "record" => record(request),
        "judge" => verdict(request),
        "pcs_id" => window_id(request),
        "merkle_root" => root(request),
        "inclusion_proof" => proof(request),
        "verify_inclusion" => inclusion(request),
        "verify_consistency" => consistency(request),
        "ring" => owner(request),
        "summarise_points" => summaries::points(request),
        "summarise_bytes" => summaries::bytes_window(request),
        op => keys::dispatch(op, request, held),
    }
}

fn encoded(bytes: &[u8]) -> Value<'static> {
    encode_base64(bytes).into()
}

fn canonical_bytes(request: &Object) -> Result<Value<'static>, Refused> {
    let depth_max = usize::try_from(count(request, "depth_max")?).unwrap_or(usize::MAX);
    let document = bytes(request, "document")?;
    Ok(encoded(&canonical(&parse_json(&document, depth_max)?)?))
}

fn record(request: &Object) -> Result<Value<'static>, Refused> {
    let record = Record::parse(&bytes(request, "body")?)?;
    let members = object([
        ("kid", record.kid().into()),
        ("pcs_id", record.pcs_id().into()),
        ("stored", encoded(&record.stored_bytes())),
        ("signing_input", encoded(&record.signing_input())),
        ("record_digest", record.record_digest().into()),
        ("content_digest", record.content_digest().into()),
    ]);
    Ok(members.into())
}

fn verdict(request: &Object) -> Result<Value<'static>, Refused> {
    let record = Record::parse(&bytes(request, "body")?)?;
    let outcome = judge(&record, CURRENT_PARAMS);
    Ok(outcome_members(&outcome, record.pcs_id(), &record.record_digest()).into())
}

/// Returns what is said of a record.
pub(crate) fn outcome_members(
    outcome: &Outcome,
    pcs_id: &str,
    record_digest: &str,
) -> Object<'static> {
    let reasons = outcome.reasons.iter().map(|reason| Value::from(reason.as_str()));
    object([
        ("status", number(outcome.status())),
        ("accepted", outcome.accepted.into()),
        ("escalated", outcome.escalated.into()),
        ("reasons", reasons.collect::<Vec<Value>>().into()),
        ("recomputed_D_hat", outcome.recomputed_d_hat.map_or(Value::Null, Value::Number)),
        ("recomputed_budget", Value::Number(outcome.recomputed_budget)),
        ("params_version", outcome.params_version.into()),
        ("decision_body", encoded(&outcome.decision_body(pcs_id, record_digest))),
    ])
}

/// Returns what version 0.1 says beside the outcome: its spellings, and whether it is remembered.
pub(crate) fn legacy_members(
    record: &AnyRecord,
    outcome: &Outcome,
) -> Result<Object<'static>, Refused> {
    let AnyRecord::Legacy(record) = record else { return Ok(Object::new()) };
    Ok(object([
        ("as_python", encoded(&record.signed.spelled_as_python())),
        ("as_ecmascript", encoded(&record.signed.spelled_as_ecmascript())),
        ("remembered", fractal_lba_core::LegacyRecord::is_remembered(outcome)?.into()),
    ]))
}

fn window_id(request: &Object) -> Result<Value<'static>, Refused> {
    let (root, shard_id) = (text(request, "merkle_root")?, text(request, "shard_id")?);
    Ok(pcs_id(root, count(request, "epoch")?, shard_id).into())
}

fn root(request: &Object) -> Result<Value<'static>, Refused> {
    let leaves = many_bytes(request, "leaves")?;
    Ok(encoded(&merkle_root(leaves.iter().map(|leaf| leaf_hash(leaf)))))
}

fn proof(request: &Object) -> Result<Value<'static>, Refused> {
    let leaves = many_bytes(request, "leaves")?;
    let hashes: Vec<[u8; 32]> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    let index = usize::try_from(count(request, "index")?).unwrap_or(usize::MAX);
    let proof = inclusion_proof(&hashes, index)?;
    Ok(proof.iter().map(|hash| encoded(hash)).collect::<Vec<Value>>().into())
}

fn inclusion(request: &Object) -> Result<Value<'static>, Refused> {
    let (root, leaf) = (bytes(request, "root")?, bytes(request, "leaf_hash")?);
    let (size, index) = (count(request, "size")?, count(request, "index")?);
    verify_inclusion(&root, size, index, &leaf, &many_bytes(request, "proof")?)?;
    Ok(true.into())
}

fn consistency(request: &Object) -> Result<Value<'static>, Refused> {
    let (root1, root2) = (bytes(request, "root1")?, bytes(request, "root2")?);
    let (size1, size2) = (count(request, "size1")?, count(request, "size2")?);
    verify_consistency(size1, size2, &root1, &root2, &many_bytes(request, "proof")?)?;
    Ok(true.into())
}

fn owner(request: &Object) -> Result<Value<'static>, Refused> {
    let shards = items(request, "shards")?.iter().map(|item| {
        let shard = item.as_object().ok_or_else(|| wrong("shards", "objects"))?;
        // A weight that is no count is as far out of range as 0 is.
        let weight = count(shard, "weight").unwrap_or(0);
        Ok(Shard { name: text(shard, "name")?.into(), weight })
    });
    let ring = Ring::new(&shards.collect::<Result<Vec<Shard>, Refused>>()?)?;
    let (tenant, pcs_id) = (text(request, "tenant")?, text(request, "pcs_id")?);
    let point = number(ring_point(tenant, pcs_id));
    Ok(object([("point", point), ("owner", ring.owner_of(tenant, pcs_id).into())]).into())
}
