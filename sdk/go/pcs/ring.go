package pcs

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
)

// NodesPerWeight is the virtual nodes of a shard for each unit of its weight,
// WeightMax the largest weight.
const (
	NodesPerWeight = 150
	WeightMax      = 16
)

// Shard is one of a ring: its name, and its weight of 1 to WeightMax beside the
// others'.
type Shard struct {
	Name   string
	Weight int
}

// RingError is why a set of shards has no ring.
type RingError struct {
	// Reason is "no_shard", "shard_twice" or "weight_out_of_range".
	Reason string
	// Message reads "where: expected X, got Y".
	Message string
}

// Error returns the message.
func (e *RingError) Error() string { return e.Message }

// Is reports whether target is ErrContract.
func (e *RingError) Is(target error) bool { return target == ErrContract }

// Ring says where the keys of one set of shards belong: consistent hashing, ring
// version 1 of specs/server.md. It does not change.
type Ring struct {
	points []uint32 // ascending
	owners []string
}

// NewRing returns the ring of some shards. Their order does not matter to any
// key. The error is a *RingError.
func NewRing(shards []Shard) (*Ring, error) {
	if len(shards) == 0 {
		return nil, &RingError{"no_shard", "ring: expected a shard, got none"}
	}
	sorted := slices.Clone(shards)
	slices.SortFunc(sorted, func(a, b Shard) int { return strings.Compare(a.Name, b.Name) })
	for i := range sorted {
		if i > 0 && sorted[i].Name == sorted[i-1].Name {
			return nil, &RingError{"shard_twice", "ring: expected each shard once, got one twice"}
		}
	}
	owners := map[uint32]string{}
	for _, shard := range sorted {
		if shard.Weight < 1 || shard.Weight > WeightMax {
			return nil, &RingError{"weight_out_of_range", "ring: expected a weight of 1 to 16, got another"}
		}
		shard.claim(owners)
	}
	r := &Ring{points: make([]uint32, 0, len(owners)), owners: make([]string, len(owners))}
	for point := range owners {
		r.points = append(r.points, point)
	}
	slices.Sort(r.points)
	for i, point := range r.points {
		r.owners[i] = owners[point]
	}
	return r, nil
}

// claim takes the points of a shard that are free: of two shards at one point
// the first by name has it. A virtual node has eight points, all of its digest.
func (s Shard) claim(owners map[uint32]string) {
	for node := range NodesPerWeight * s.Weight {
		digest := sha256.Sum256([]byte("fractal-lba/ring/1/node\n" + s.Name + "\n" + strconv.Itoa(node)))
		for at := 0; at < len(digest); at += 4 {
			point := binary.BigEndian.Uint32(digest[at:])
			if _, taken := owners[point]; !taken {
				owners[point] = s.Name
			}
		}
	}
}

// RingPoint returns the point of a key on any ring.
func RingPoint(tenant, pcsID string) uint32 {
	digest := sha256.Sum256([]byte("fractal-lba/ring/1/key\n" + tenant + "\n" + pcsID))
	return binary.BigEndian.Uint32(digest[:])
}

// OwnerOf returns the name of the shard that a record belongs to.
func (r *Ring) OwnerOf(tenant, pcsID string) string {
	at, _ := slices.BinarySearch(r.points, RingPoint(tenant, pcsID))
	return r.owners[at%len(r.owners)]
}
