package pcs

import (
	"crypto/sha256"
	"math/bits"
)

// Hash is a node of a Merkle tree.
type Hash = [sha256.Size]byte

// LeafHash returns the hash of one leaf. A leaf is hashed behind 0x00 and a
// node behind 0x01, so that neither can pass for the other (RFC 9162 section
// 2.1.1).
func LeafHash(leaf []byte) Hash {
	var small [1 + 512]byte
	return sha256.Sum256(append(small[:1], leaf...))
}

func nodeHash(left, right []byte) Hash {
	var node [1 + 2*sha256.Size]byte
	node[0] = 1
	copy(node[1:], left)
	copy(node[1+sha256.Size:], right)
	return sha256.Sum256(node[:])
}

// MerkleRoot returns the root over the leaves; over none it is the hash of the
// empty string.
func MerkleRoot(leaves [][]byte) Hash {
	var tree MerkleTree
	for _, leaf := range leaves {
		tree.Add(leaf)
	}
	return tree.Root()
}

// MerkleTree is the root of leaves that come one after the other, none of which
// is kept. The zero value is the empty tree.
type MerkleTree struct {
	// whole holds the roots of the whole subtrees, largest first: one for each
	// bit of size.
	whole []Hash
	size  uint64
}

// Add adds a leaf at the end.
func (t *MerkleTree) Add(leaf []byte) {
	hash := LeafHash(leaf)
	for range bits.TrailingZeros64(^t.size) {
		last := len(t.whole) - 1
		hash = nodeHash(t.whole[last][:], hash[:])
		t.whole = t.whole[:last]
	}
	t.whole = append(t.whole, hash)
	t.size++
}

// Root returns the root over the leaves so far.
func (t *MerkleTree) Root() Hash {
	if len(t.whole) == 0 {
		return sha256.Sum256(nil)
	}
	root := t.whole[len(t.whole)-1]
	for i := len(t.whole) - 2; i >= 0; i-- {
		root = nodeHash(t.whole[i][:], root[:])
	}
	return root
}

// InclusionProof returns the hashes that lead from the leaf at index to the
// root, from the bottom up (RFC 9162 section 2.1.3.1). The error is a
// *ContractError: there is no such leaf.
func InclusionProof(leaves [][]byte, index int) ([]Hash, error) {
	if index < 0 || index >= len(leaves) {
		return nil, contract("inclusion proof: expected an index below the number of leaves, got another")
	}
	level := make([]Hash, len(leaves))
	for i, leaf := range leaves {
		level[i] = LeafHash(leaf)
	}
	var proof []Hash
	for len(level) > 1 {
		if sibling := index ^ 1; sibling < len(level) { // the last of an odd level is carried up
			proof = append(proof, level[sibling])
		}
		level = parents(level)
		index /= 2
	}
	return proof, nil
}

// ConsistencyProof returns the hashes that show that the tree of all leaves
// grew from that of the first size1 of them (RFC 9162 section 2.1.4.1); none
// where it is all of them. The error is a *ContractError: size1 is no size of a
// tree that is not empty.
func ConsistencyProof(leaves [][]byte, size1 int) ([]Hash, error) {
	if size1 < 1 || size1 > len(leaves) {
		return nil, contract("consistency proof: expected a size of 1 to the number of leaves, got another")
	}
	return subproof(leaves, size1, true), nil
}

func subproof(leaves [][]byte, size1 int, isWhole bool) []Hash {
	if size1 == len(leaves) {
		if isWhole {
			return nil
		}
		return []Hash{MerkleRoot(leaves)}
	}
	split := 1 << (bits.Len(uint(len(leaves)-1)) - 1) // the largest power of two below
	if size1 <= split {
		return append(subproof(leaves[:split], size1, isWhole), MerkleRoot(leaves[split:]))
	}
	return append(subproof(leaves[split:], size1-split, false), MerkleRoot(leaves[:split]))
}

// parents returns the level above one, reusing its memory.
func parents(level []Hash) []Hash {
	above := level[:0]
	for i := 0; i+1 < len(level); i += 2 {
		above = append(above, nodeHash(level[i][:], level[i+1][:]))
	}
	if len(level)%2 == 1 {
		above = append(above, level[len(level)-1])
	}
	return above
}
