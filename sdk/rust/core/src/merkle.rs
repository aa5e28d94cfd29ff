//! Merkle trees over the leaves of a window (RFC 6962, RFC 9162 section 2.1).
//!
//! A leaf is hashed behind `0x00` and a node behind `0x01`, so that neither can pass for the other. A
//! tree of n > 1 leaves splits at the largest power of two below n; an odd node is carried up as it
//! is, never doubled, so that two windows never share a root.

use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use crate::error::ContractError;

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Returns the hash of one leaf.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

/// Returns the root over leaves of which the hashes are at hand, as [`leaf_hash`] gives them; over none
/// it is the hash of the empty string.
#[must_use]
pub fn merkle_root(leaf_hashes: impl IntoIterator<Item = Hash>) -> Hash {
    let mut level: Vec<Hash> = leaf_hashes.into_iter().collect();
    while level.len() > 1 {
        go_up(&mut level);
    }
    level.first().copied().unwrap_or_else(|| Sha256::digest([]).into())
}

/// Returns the hashes that lead from the leaf at `index` to the root, from the bottom up.
///
/// # Errors
///
/// There is no such leaf.
///
/// Source: RFC 9162 section 2.1.3.1.
pub fn inclusion_proof(leaf_hashes: &[Hash], index: usize) -> Result<Vec<Hash>, ContractError> {
    let is_leaf = index < leaf_hashes.len();
    require(is_leaf, INCLUSION, "inclusion", "an index below the number of leaves")?;
    let mut level = leaf_hashes.to_vec();
    let (mut place, mut proof) = (index, Vec::new());
    while level.len() > 1 {
        // The last node of an odd level has no sibling and is carried up.
        proof.extend(level.get(place ^ 1));
        go_up(&mut level);
        place /= 2;
    }
    Ok(proof)
}

/// Checks that a leaf stands at `index` of the tree of `size` leaves with this root.
///
/// # Errors
///
/// It does not, or the proof is not exactly the one needed, or a hash is not 32 bytes long; nothing
/// in it may be believed.
///
/// # Examples
///
/// ```
/// use fractal_lba_core::{inclusion_proof, leaf_hash, merkle_root, verify_inclusion};
///
/// let leaves = [leaf_hash(b"one"), leaf_hash(b"two"), leaf_hash(b"three")];
/// let (root, proof) = (merkle_root(leaves), inclusion_proof(&leaves, 2)?);
/// verify_inclusion(&root, 3, 2, &leaves[2], &proof)?;
/// assert!(verify_inclusion(&root, 3, 1, &leaves[2], &proof).is_err());
/// # Ok::<(), fractal_lba_core::ContractError>(())
/// ```
///
/// Source: RFC 9162 section 2.1.3.2.
pub fn verify_inclusion<P: AsRef<[u8]>>(
    root: &[u8],
    size: u64,
    index: u64,
    leaf_hash: &[u8],
    proof: &[P],
) -> Result<(), ContractError> {
    let require = |holds, expected| require(holds, INCLUSION, "inclusion", expected);
    require(index < size, "an index below the size")?;
    let root = hash_of(root, INCLUSION, "inclusion")?;
    let mut running = hash_of(leaf_hash, INCLUSION, "inclusion")?;
    let (mut node, mut last) = (index, size - 1);
    for sibling in proof {
        require(last != 0, "no hash above the root")?;
        let sibling = hash_of(sibling.as_ref(), INCLUSION, "inclusion")?;
        if node & 1 == 1 || node == last {
            running = node_hash(&sibling, &running);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            running = node_hash(&running, &sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    require(last == 0, "hashes up to the root")?;
    require(running == root, "the root")
}

/// Checks that the tree of `size2` leaves grew from the one of `size1`.
///
/// # Errors
///
/// It did not, or the proof is not exactly the one needed. Nothing follows from an empty first tree,
/// so that a `size1` of 0 is refused too.
///
/// Source: RFC 9162 section 2.1.4.2.
pub fn verify_consistency<P: AsRef<[u8]>>(
    size1: u64,
    size2: u64,
    root1: &[u8],
    root2: &[u8],
    proof: &[P],
) -> Result<(), ContractError> {
    let require = |holds, expected| require(holds, CONSISTENCY, "consistency", expected);
    let hash_of = |bytes| hash_of(bytes, CONSISTENCY, "consistency");
    require(0 < size1 && size1 <= size2, "two sizes, the first from 1 up to the second")?;
    if size1 == size2 {
        // Nothing is hashed here; the roots are whatever the caller trusts, compared as they are.
        require(proof.is_empty(), "no hash between equal sizes")?;
        return require(root1 == root2, "equal roots of equal sizes");
    }
    let (root1, root2) = (hash_of(root1)?, hash_of(root2)?);
    let hashes = proof.iter().map(|each| hash_of(each.as_ref()));
    let mut path = hashes.collect::<Result<Vec<Hash>, ContractError>>()?;
    if size1.is_power_of_two() {
        // A whole first tree is a node of the second, and not in the proof.
        path.insert(0, root1);
    }
    let Some((start, siblings)) = path.split_first() else {
        return require(false, "at least one hash");
    };
    let (mut node, mut last) = (size1 - 1, size2 - 1);
    while node & 1 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    let (mut first, mut second) = (*start, *start);
    for sibling in siblings {
        require(last != 0, "no hash above the root")?;
        if node & 1 == 1 || node == last {
            first = node_hash(sibling, &first);
            second = node_hash(sibling, &second);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            second = node_hash(&second, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    require(last == 0, "hashes up to the root")?;
    require(first == root1, "the first root")?;
    require(second == root2, "the second root")
}

const INCLUSION: &str = "inclusion proof";
const CONSISTENCY: &str = "consistency proof";

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// Replaces a level by the one above it.
fn go_up(level: &mut Vec<Hash>) {
    let nodes = level.len();
    for parent in 0..nodes / 2 {
        level[parent] = node_hash(&level[2 * parent], &level[2 * parent + 1]);
    }
    if nodes % 2 == 1 {
        level[nodes / 2] = level[nodes - 1];
    }
    level.truncate(nodes.div_ceil(2));
}

fn hash_of(bytes: &[u8], place: &'static str, reason: &'static str) -> Result<Hash, ContractError> {
    let error = ContractError::of_reason(place, reason, "hashes of 32 bytes", "another length");
    bytes.try_into().map_err(|_| error)
}

fn require(
    holds: bool,
    place: &'static str,
    reason: &'static str,
    expected: &'static str,
) -> Result<(), ContractError> {
    if holds {
        return Ok(());
    }
    Err(ContractError::of_reason(place, reason, expected, "something else"))
}
