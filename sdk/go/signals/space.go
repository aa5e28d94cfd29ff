package signals

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
)

// Below this the division would blow noise up to structure; such a window is one
// point.
const rangeMin = 1e-300

type point [3]float64

// inSpace returns a window's points in three dimensions: of one column its delay
// embedding (Takens 1981, doi:10.1007/BFb0091924), two with a zero, three as
// they are, more of them projected.
func inSpace(window [][]float64, seed int64) []point {
	columns := len(window[0])
	if columns == 1 {
		series := make([]float64, len(window))
		for i, row := range window {
			series[i] = row[0]
		}
		return embedded(series)
	}
	points := make([]point, len(window))
	if columns <= 3 {
		for i, row := range window {
			copy(points[i][:], row)
		}
		return points
	}
	signs := projectionSigns(seed, columns)
	for i, row := range window {
		for j, x := range row {
			for k := range 3 {
				points[i][k] += float64(signs[3*j+k] * x)
			}
		}
	}
	return points
}

// embedded returns the points (x_t, x_t+1, x_t+2) of a series.
func embedded(series []float64) []point {
	points := make([]point, len(series)-2)
	for t := range points {
		copy(points[t][:], series[t:])
	}
	return points
}

// projectionSigns returns 1 where bit 3j + k of the seed's stream is 1, else -1,
// at 3j + k (Achlioptas 2003, doi:10.1016/S0022-0000(03)00025-4).
func projectionSigns(seed int64, columns int) []float64 {
	signs := make([]float64, 0, 3*columns)
	for block := uint32(0); len(signs) < 3*columns; block++ {
		input := binary.BigEndian.AppendUint64([]byte("fractal-lba/projection/1"), uint64(seed))
		digest := sha256.Sum256(binary.BigEndian.AppendUint32(input, block))
		for bit := 0; bit < 8*len(digest) && len(signs) < 3*columns; bit++ {
			sign := -1.0
			if digest[bit/8]>>(7-bit%8)&1 == 1 {
				sign = 1
			}
			signs = append(signs, sign)
		}
	}
	return signs
}

// unitCube moves and scales points, alike in all directions, into the unit cube,
// in place. The column of the largest range fills 0 to 1; the others keep their
// proportion to it.
func unitCube(points []point) []point {
	lows, extent := points[0], 0.0
	for k := range 3 {
		high := lows[k]
		for i := range points {
			lows[k] = min(lows[k], points[i][k])
			high = max(high, points[i][k])
		}
		extent = max(extent, high-lows[k])
	}
	if extent < rangeMin {
		clear(points)
		return points
	}
	for i := range points {
		for k := range 3 {
			points[i][k] = (points[i][k] - lows[k]) / extent
		}
	}
	return points
}

// occupiedCells returns how many of the scale^3 cells of the unit cube hold a
// point. The upper edge belongs to the last cell.
func occupiedCells(cube []point, scale int64) int64 {
	cells := make([]uint32, len(cube)) // at most 1,024 cells along an axis: 30 bits
	for i := range cube {
		for k := range 3 {
			along := min(int64(cube[i][k]*float64(scale)), scale-1) // no coordinate is negative
			cells[i] = cells[i]*uint32(scale) + uint32(along)
		}
	}
	slices.Sort(cells)
	return int64(len(slices.Compact(cells)))
}

// quantised returns the coordinates point by point, each as one byte.
func quantised(cube []point) []byte {
	packed := make([]byte, 0, 3*len(cube))
	for i := range cube {
		for k := range 3 {
			packed = append(packed, byte(math.Floor(float64(255*cube[i][k])+0.5)))
		}
	}
	return packed
}
