// Package signals says what a window of data looks like, in a few numbers that
// every language agrees on to the bit.
//
// The rule: IEEE-754 double, one correctly rounded operation at a time, in the
// order in which specs/signals.md writes them. Go may fuse x*y + z into one
// operation, and does on some machines; an explicit conversion of the product
// forbids it, so every product that is added stands in one here.
//
// The package does no I/O and reads no clock.
package signals

import (
	"encoding/binary"
	"encoding/hex"
	"math"

	"fractallba/pcs"
)

// DefaultSeed chooses the signs and the directions where nothing else does.
const DefaultSeed int64 = 42

// DefaultScales returns the scales of a record where nothing else is chosen.
func DefaultScales() []int64 { return []int64{2, 4, 8, 16, 32} }

// Summary is what a record says of its window.
type Summary struct {
	Profile pcs.Profile
	// N and D are the rows and columns of the window as given.
	N, D int64
	// Seed chose the signs and the directions.
	Seed int64
	// Scales are cells along each axis of the unit cube, ascending, and NJ the
	// occupied cells at each.
	Scales, NJ []int64
	// DHat is the slope of log2 cells over log2 scale, a box-counting dimension.
	DHat float64
	// CohStar is the largest share of points in one of 20 slabs, 0.05 to 1, and
	// VStar the direction across that slab, a unit vector.
	CohStar float64
	VStar   [3]float64
	// R is compressed length over length, 0 to 1.
	R float64
	// Regime is what DHat and CohStar say together.
	Regime pcs.Regime
	// Budget is the share of attention the window asks for, 0 to 1.
	Budget float64
	// MerkleRoot is in hexadecimal and binds the window bit for bit.
	MerkleRoot string
}

// Fill sets the members of a record that come from its window.
func (s *Summary) Fill(m *pcs.Members) {
	m.Profile, m.N, m.D, m.Seed = s.Profile, s.N, s.D, s.Seed
	m.Scales, m.NJ = append([]int64(nil), s.Scales...), append([]int64(nil), s.NJ...)
	m.DHat, m.CohStar, m.VStar, m.R = s.DHat, s.CohStar, s.VStar, s.R
	m.Regime, m.Budget, m.MerkleRoot = s.Regime, s.Budget, s.MerkleRoot
}

// OfPoints returns the summary of a table of numbers, profile points/1.
//
// window is 3 to 65,536 rows of 1 to 4,096 columns each, in raw data units:
// finite, and at most 1e300 in magnitude. seed is 0 to 2^53-1; scales are 2 to
// 10 of 2 to 1,024, each at least twice the one before. The error is a
// *WindowError, and nothing was computed.
func OfPoints(window [][]float64, seed int64, scales []int64) (*Summary, error) {
	if err := checkOptions(seed, scales); err != nil {
		return nil, err
	}
	if err := checkRows(window); err != nil {
		return nil, err
	}
	var tree pcs.MerkleTree
	leaf := make([]byte, 0, 8*len(window[0]))
	for _, row := range window {
		leaf = leaf[:0]
		for _, value := range row {
			leaf = binary.LittleEndian.AppendUint64(leaf, math.Float64bits(value))
		}
		tree.Add(leaf)
	}
	cube := unitCube(inSpace(window, seed))
	s := &Summary{Profile: pcs.ProfilePoints, N: int64(len(window)), D: int64(len(window[0]))}
	return s.of(tree.Root(), cube, quantised(cube), seed, scales)
}

// OfBytes returns the summary of a byte string (text, a log, a file), profile
// bytes/1: 3 to 65,536 bytes, whose values form a series of one column. The rest
// is as for OfPoints.
func OfBytes(data []byte, seed int64, scales []int64) (*Summary, error) {
	if err := checkOptions(seed, scales); err != nil {
		return nil, err
	}
	if len(data) < rowsMin || len(data) > rowsMax {
		return nil, whole("data: expected 3 to 65536 bytes, got another number")
	}
	var tree pcs.MerkleTree
	for start := 0; start < len(data); start += leafBytes {
		tree.Add(data[start:min(start+leafBytes, len(data))])
	}
	series := make([]float64, len(data))
	for i, b := range data {
		series[i] = float64(b)
	}
	s := &Summary{Profile: pcs.ProfileBytes, N: int64(len(data)), D: 1}
	return s.of(tree.Root(), unitCube(embedded(series)), data, seed, scales)
}

func (s *Summary) of(
	root pcs.Hash, cube []point, toPack []byte, seed int64, scales []int64,
) (*Summary, error) {
	s.Seed, s.Scales, s.MerkleRoot = seed, append([]int64(nil), scales...), hex.EncodeToString(root[:])
	s.NJ = make([]int64, len(scales))
	for i, scale := range scales {
		s.NJ[i] = occupiedCells(cube, scale)
	}
	var err error
	if s.DHat, err = pcs.DHat(s.Scales, s.NJ); err != nil {
		return nil, err
	}
	share, along := coherence(cube, seed)
	s.CohStar = pcs.Rounded(share)
	for k := range along {
		s.VStar[k] = pcs.Rounded(along[k])
	}
	s.R = pcs.Rounded(min(1, float64(packedBytes(toPack))/float64(len(toPack))))
	s.Regime = pcs.RegimeOf(s.DHat, s.CohStar)
	s.Budget = pcs.Budget(s.DHat, s.CohStar, s.R)
	return s, nil
}
