package pcs

import (
	"math"
	"slices"
)

// The bounds of regimes.
const (
	stickyCohStarMin = 0.70
	stickyDHatMax    = 1.5
	nonStickyDHatMin = 2.6
)

// Rounded returns a finite number rounded to 9 decimals, half away from zero,
// and never -0.
func Rounded(x float64) float64 {
	// A product is rounded by itself: a conversion forbids to fuse it with the sum.
	size := math.Floor(float64(math.Abs(x)*1e9)+0.5) / 1e9
	if x < 0 && size != 0 {
		return -size
	}
	return size
}

// slopes returns the slope of log2 counts over log2 scales between each two
// scales, ascending. math.Log2 is good to 1 ulp and exact at powers of two,
// which is all that the ninth decimal needs.
func slopes(scales, counts []int64) []float64 {
	found := make([]float64, 0, len(scales)*(len(scales)-1)/2)
	for a := range scales {
		for b := a + 1; b < len(scales); b++ {
			rise := math.Log2(float64(counts[b])) - math.Log2(float64(counts[a]))
			found = append(found, rise/(math.Log2(float64(scales[b]))-math.Log2(float64(scales[a]))))
		}
	}
	slices.Sort(found)
	return found
}

// DHat returns the box-counting dimension of a record: the median slope of log2
// counts over log2 scales, over all pairs of scales, rounded.
//
// There are two or more scales, ascending, each at least 1, and a count of at
// least 1 for each. The error is a *ContractError: there are not.
//
// Source: Sen (1968), doi:10.1080/01621459.1968.10480934; the mean of the middle
// two if even.
func DHat(scales, counts []int64) (float64, error) {
	if !areCounted(scales, counts) {
		return 0, contract("counts: expected one for each of two or more ascending scales, got others")
	}
	return dHat(scales, counts), nil
}

func areCounted(scales, counts []int64) bool {
	if len(scales) < 2 || len(scales) != len(counts) {
		return false
	}
	for i := range scales {
		if scales[i] < 1 || counts[i] < 1 || i > 0 && scales[i] <= scales[i-1] {
			return false
		}
	}
	return true
}

func dHat(scales, counts []int64) float64 {
	found := slopes(scales, counts)
	middle := len(found) / 2
	if len(found)%2 == 1 {
		return Rounded(found[middle])
	}
	return Rounded((found[middle-1] + found[middle]) / 2)
}

// RegimeOf returns the regime of two rounded values.
func RegimeOf(dHat, cohStar float64) Regime {
	switch {
	case cohStar >= stickyCohStarMin && dHat <= stickyDHatMax:
		return Sticky
	case dHat >= nonStickyDHatMin:
		return NonSticky
	}
	return Mixed
}

// Budget returns the share of attention a window deserves, 0 to 1, rounded, from
// three rounded values.
func Budget(dHat, cohStar, r float64) float64 {
	share := 0.10 + float64(0.30*(1-r))
	share += float64(0.50 * max(0, dHat-2.2))
	share += float64(0.20 * cohStar)
	return Rounded(min(1, max(0, share)))
}
