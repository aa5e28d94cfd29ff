package signals

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
)

const (
	directions = 100
	bins       = 20
	// A projection narrower than this (the cube's side is 1) lies in one bin: its
	// spread is rounding.
	spanMin = 1e-9
)

// direction returns one of a seed's directions, a point of the unit sphere. It
// comes from + - * and the square root of hashed words alone: sine and cosine
// differ between machines (Marsaglia 1972, doi:10.1214/aoms/1177692644).
func direction(seed int64, index uint32) point {
	input := binary.BigEndian.AppendUint64([]byte("fractal-lba/direction/1"), uint64(seed))
	input = binary.BigEndian.AppendUint32(input, index)
	for block := uint32(0); ; block++ {
		digest := sha256.Sum256(binary.BigEndian.AppendUint32(input[:len(input):len(input)], block))
		for at := 0; at < len(digest); at += 16 {
			u, v := unit(digest[at:]), unit(digest[at+8:])
			s := float64(u*u) + float64(v*v)
			if s >= 1 || s == 0 {
				continue
			}
			q := math.Sqrt(1 - s)
			return point{2 * u * q, 2 * v * q, 1 - float64(2*s)}
		}
	}
}

// unit returns a word as a number of -1 to 1.
func unit(word []byte) float64 {
	// Exact, and so the same fused or not: 53 bits times a power of two.
	return float64(float64(binary.BigEndian.Uint64(word)>>11)*0x1p-52) - 1
}

// coherence returns the largest share of points in one bin, and the first
// direction that reaches it. Shares are compared as counts, never as rounded
// quotients.
func coherence(cube []point, seed int64) (float64, point) {
	along := make([]float64, len(cube))
	best, fullest := point{}, 0
	for index := range uint32(directions) {
		v := direction(seed, index)
		if count := fullestBin(cube, v, along); count > fullest {
			best, fullest = v, count
		}
	}
	return float64(fullest) / float64(len(cube)), best
}

// fullestBin returns how many points lie in the fullest of 20 equal bins along a
// direction; along is memory that is overwritten.
func fullestBin(cube []point, v point, along []float64) int {
	low, high := math.Inf(1), math.Inf(-1)
	for i := range cube {
		p := float64(float64(cube[i][0]*v[0])+float64(cube[i][1]*v[1])) + float64(cube[i][2]*v[2])
		low, high = min(low, p), max(high, p)
		along[i] = p
	}
	span := high - low
	if span < spanMin {
		return len(cube)
	}
	var counts [bins + 1]int
	for _, p := range along {
		counts[int(bins*(p-low)/span)]++ // truncation is the floor: nothing is negative
	}
	counts[bins-1] += counts[bins] // the upper edge belongs to the last bin
	fullest := 0
	for _, count := range counts[:bins] {
		fullest = max(fullest, count)
	}
	return fullest
}
