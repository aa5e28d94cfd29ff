//! `merkle_roots.json`, `merkle_inclusion.json`, `merkle_consistency.json` and `ring.json`.

use fractal_lba_core::{
    hex, leaf_hash, merkle_root, ring_point, verify_consistency, verify_inclusion, Object, Ring,
    Shard, Value,
};

use crate::answers::Answer;
use crate::fields::{bytes_of_hex, hexadecimal, items, member, object, text};

fn hashes(given: &Object, name: &str) -> Vec<Vec<u8>> {
    let texts = items(given, name).iter().map(|item| item.as_str().expect("a text"));
    texts.map(bytes_of_hex).collect()
}

/// Answers `merkle_roots.json`.
pub fn merkle_roots(given: &Object) -> Answer {
    let leaves = hashes(given, "leaves");
    let root = merkle_root(leaves.iter().map(|leaf| leaf_hash(leaf)));
    Ok(object([("root", hex(&root).into())]))
}

fn proof_refused(reason: &str) -> Object<'static> {
    object([("code", "proof_refused".into()), ("reason", reason.into()), ("member", Value::Null)])
}

/// Returns a size or an index; one below zero cannot even be said to the SDK.
fn place(given: &Object, name: &str, reason: &str) -> Result<u64, Object<'static>> {
    let integer = member(given, name).as_integer().expect("an integer");
    u64::try_from(integer).map_err(|_| proof_refused(reason))
}

/// Answers `merkle_inclusion.json`.
pub fn merkle_inclusion(given: &Object) -> Answer {
    let size = place(given, "size", "inclusion")?;
    let index = place(given, "index", "inclusion")?;
    let (root, leaf) = (hexadecimal(given, "root"), hexadecimal(given, "leaf_hash"));
    verify_inclusion(&root, size, index, &leaf, &hashes(given, "proof"))
        .map(|()| Object::new())
        .map_err(|error| proof_refused(error.reason))
}

/// Answers `merkle_consistency.json`.
pub fn merkle_consistency(given: &Object) -> Answer {
    let size1 = place(given, "size1", "consistency")?;
    let size2 = place(given, "size2", "consistency")?;
    let (root1, root2) = (hexadecimal(given, "root1"), hexadecimal(given, "root2"));
    verify_consistency(size1, size2, &root1, &root2, &hashes(given, "proof"))
        .map(|()| Object::new())
        .map_err(|error| proof_refused(error.reason))
}

/// Answers `ring.json`.
pub fn ring(given: &Object) -> Answer {
    let shard = |value: &Value| {
        let shard = value.as_object().expect("a shard is an object");
        // A weight below zero is as far out of range as 0 is.
        let weight = member(shard, "weight").as_integer().expect("an integer");
        Shard { name: text(shard, "name").into(), weight: u64::try_from(weight).unwrap_or(0) }
    };
    let shards: Vec<Shard> = items(given, "shards").iter().map(shard).collect();
    let ring = Ring::new(&shards).map_err(|error| {
        object([
            ("code", "ring_refused".into()),
            ("reason", error.reason.into()),
            ("member", "shards".into()),
        ])
    })?;
    let (tenant, pcs_id) = (text(given, "tenant"), text(given, "pcs_id"));
    Ok(object([
        ("point", format!("{:08x}", ring_point(tenant, pcs_id)).into()),
        ("owner", ring.owner_of(tenant, pcs_id).into()),
    ]))
}
