package pcs

import (
	"bytes"
	"crypto/sha256"
)

// Inclusion is a claim that a leaf stands at an index of a tree, with its
// proof. Size and root must come from one trusted place: a proof alone may hold
// for trees of several sizes.
type Inclusion struct {
	Root, LeafHash []byte
	Size, Index    uint64
	Proof          [][]byte
}

// Verify checks the claim (RFC 9162 section 2.1.3.2). The error is a
// *ContractError: it does not hold, or the proof is not exactly the one needed,
// and nothing in it may be believed.
func (c *Inclusion) Verify() error {
	const where = "inclusion proof"
	if c.Index >= c.Size {
		return unproven(where, "an index below the size")
	}
	if !areHashes(c.Proof, c.Root, c.LeafHash) {
		return unproven(where, "hashes of 32 bytes")
	}
	climb := climb{node: c.Index, last: c.Size - 1}
	running := Hash(c.LeafHash)
	for _, sibling := range c.Proof {
		if climb.last == 0 {
			return unproven(where, "no hash above the root")
		}
		if climb.isRight() {
			running = nodeHash(sibling, running[:])
			climb.skipWithout()
		} else {
			running = nodeHash(running[:], sibling)
		}
		climb.up()
	}
	if climb.last != 0 {
		return unproven(where, "hashes up to the root")
	}
	if !bytes.Equal(running[:], c.Root) {
		return unproven(where, "the root")
	}
	return nil
}

// Consistency is a claim that a tree grew from an earlier one, with its proof.
// Sizes and roots must come from trusted places.
type Consistency struct {
	Size1, Size2 uint64
	Root1, Root2 []byte
	Proof        [][]byte
}

// Verify checks the claim (RFC 9162 section 2.1.4.2). The error is a
// *ContractError: it does not hold, or the proof is not exactly the one needed.
// Nothing follows from an empty first tree, so that it is refused too.
func (c *Consistency) Verify() error {
	const where = "consistency proof"
	if c.Size1 == 0 || c.Size1 > c.Size2 {
		return unproven(where, "two sizes, the first from 1 up to the second")
	}
	if c.Size1 == c.Size2 {
		// Nothing is hashed here; the roots are what the caller trusts, as they are.
		if len(c.Proof) != 0 {
			return unproven(where, "no hash between equal sizes")
		}
		if !bytes.Equal(c.Root1, c.Root2) {
			return unproven(where, "equal roots of equal sizes")
		}
		return nil
	}
	if !areHashes(c.Proof, c.Root1, c.Root2) {
		return unproven(where, "hashes of 32 bytes")
	}
	path := c.Proof
	if c.Size1&(c.Size1-1) == 0 {
		// A whole first tree is a node of the second, and not in the proof.
		path = append([][]byte{c.Root1}, path...)
	}
	if len(path) == 0 {
		return unproven(where, "at least one hash")
	}
	climb := climb{node: c.Size1 - 1, last: c.Size2 - 1}
	for climb.node&1 == 1 {
		climb.up()
	}
	first, second := Hash(path[0]), Hash(path[0])
	for _, sibling := range path[1:] {
		if climb.last == 0 {
			return unproven(where, "no hash above the root")
		}
		if climb.isRight() {
			first, second = nodeHash(sibling, first[:]), nodeHash(sibling, second[:])
			climb.skipWithout()
		} else {
			second = nodeHash(second[:], sibling)
		}
		climb.up()
	}
	switch {
	case climb.last != 0:
		return unproven(where, "hashes up to the root")
	case !bytes.Equal(first[:], c.Root1):
		return unproven(where, "the first root")
	case !bytes.Equal(second[:], c.Root2):
		return unproven(where, "the second root")
	}
	return nil
}

// climb is where a path to the root is: its node and the last one of the level.
type climb struct{ node, last uint64 }

func (c *climb) up() { c.node, c.last = c.node>>1, c.last>>1 }

// isRight reports whether the path's node stands to the right of the next hash.
func (c *climb) isRight() bool { return c.node&1 == 1 || c.node == c.last }

// skipWithout passes over the levels on which a last node has no sibling.
func (c *climb) skipWithout() {
	for c.node&1 == 0 && c.node != 0 {
		c.up()
	}
}

func areHashes(proof [][]byte, more ...[]byte) bool {
	for _, each := range [][][]byte{proof, more} {
		for _, hash := range each {
			if len(hash) != sha256.Size {
				return false
			}
		}
	}
	return true
}

func unproven(where, expected string) error {
	return contract(where + ": expected " + expected + ", got something else")
}
