//! The ring: which shard a record belongs to, the same for every program and every release.
//!
//! Ring version 1, to the byte, stands in `specs/server.md`. It is consistent hashing: a shard more
//! takes its share from each of the others, and no record moves between those that were there.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use crate::canonical::Decimal;
use crate::error::ContractError;

/// Virtual nodes of a shard for each unit of its weight.
const NODES_PER_WEIGHT: u64 = 150;
/// The largest weight of a shard.
pub const WEIGHT_MAX: u64 = 16;

const NODE_DOMAIN: &[u8] = b"fractal-lba/ring/1/node\n";
const KEY_DOMAIN: &[u8] = b"fractal-lba/ring/1/key\n";

/// A shard: its name, and its weight of 1 to [`WEIGHT_MAX`] beside the others'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its name.
    pub name: String,
    /// Its weight.
    pub weight: u64,
}

/// Where the keys of one set of shards belong.
#[derive(Clone, Debug)]
pub struct Ring {
    names: Vec<String>,
    /// Point and place in `names`, ascending by point.
    points: Vec<(u32, usize)>,
}

impl Ring {
    /// The ring of some shards, whose order does not matter to any key.
    ///
    /// # Errors
    ///
    /// There is none (`no_shard`), two have one name (`shard_twice`), or a weight is out of range
    /// (`weight_out_of_range`).
    pub fn new(shards: &[Shard]) -> Result<Self, ContractError> {
        let refuse =
            |reason, expected, got| Err(ContractError::of_reason("ring", reason, expected, got));
        let mut shards: Vec<&Shard> = shards.iter().collect();
        shards.sort_by(|a, b| a.name.cmp(&b.name));
        if shards.is_empty() {
            return refuse("no_shard", "a shard", "none");
        }
        if shards.windows(2).any(|pair| pair[0].name == pair[1].name) {
            return refuse("shard_twice", "each shard once", "one twice");
        }
        if shards.iter().any(|shard| !(1..=WEIGHT_MAX).contains(&shard.weight)) {
            return refuse("weight_out_of_range", "a weight of 1 to 16", "another");
        }
        // In the order of names, each leaving what is taken: of two at one point the first has it.
        let mut owners = BTreeMap::new();
        for (place, shard) in shards.iter().enumerate() {
            for point in points_of(shard) {
                owners.entry(point).or_insert(place);
            }
        }
        let names = shards.into_iter().map(|shard| shard.name.clone()).collect();
        Ok(Self { names, points: owners.into_iter().collect() })
    }

    /// Returns the name of the shard that a record belongs to.
    #[must_use]
    pub fn owner_of(&self, tenant: &str, pcs_id: &str) -> &str {
        let key = ring_point(tenant, pcs_id);
        let next = self.points.partition_point(|(point, _)| *point < key);
        let (_, place) = self.points[next % self.points.len()];
        &self.names[place]
    }
}

/// Returns the point of a key on the ring, 0 to 2^32 − 1.
#[must_use]
pub fn ring_point(tenant: &str, pcs_id: &str) -> u32 {
    let hasher = Sha256::new().chain_update(KEY_DOMAIN).chain_update(tenant);
    let digest: [u8; 32] = hasher.chain_update(b"\n").chain_update(pcs_id).finalize().into();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// Eight points for each virtual node, all of its digest: one alone leaves shards of 64 more than a
/// fifth over their share.
fn points_of(shard: &Shard) -> impl Iterator<Item = u32> + '_ {
    (0..NODES_PER_WEIGHT * shard.weight).flat_map(|node| {
        let hasher = Sha256::new().chain_update(NODE_DOMAIN).chain_update(&shard.name);
        let hasher = hasher.chain_update(b"\n").chain_update(Decimal::of(node).digits());
        let digest: [u8; 32] = hasher.finalize().into();
        (0..8).map(move |place| {
            let word = &digest[4 * place..4 * place + 4];
            u32::from_be_bytes([word[0], word[1], word[2], word[3]])
        })
    })
}
