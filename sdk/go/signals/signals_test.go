package signals

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"

	"fractallba/pcs"
)

// noise returns bytes of a small generator, the same everywhere.
func noise(count int) []byte {
	data, x := make([]byte, count), uint32(1)
	for i := range data {
		x = (x*1103515245 + 12345) & (1<<31 - 1)
		data[i] = byte(x >> 16)
	}
	return data
}

func repeated(data []byte, count int) []byte {
	return bytes.Repeat(data, count/len(data)+1)[:count]
}

func TestPackedLengthsAreZlibs(t *testing.T) {
	few := make([]byte, 196_608)
	for i, x := 0, uint32(1); i < len(few); i++ {
		x = (x*1103515245 + 12345) & (1<<31 - 1)
		few[i] = byte(x >> 16 % 5)
	}
	// The lengths are those of zlib 1.2.13 at level 6. Windows slide behind 65,274
	// bytes, and no match is further than 32,506 back.
	cases := []struct {
		what   string
		data   []byte
		length int
	}{
		{"one zero", make([]byte, 1), 9},
		{"three zeros", make([]byte, 3), 11},
		{"zeros", make([]byte, 5000), 28},
		{"zeros beyond the window", make([]byte, 196_608), 213},
		{"noise", noise(100), 111},
		{"noise in several blocks", noise(196_608), 196_674},
		{"few values", few[:5000], 1885},
		{"few values in several blocks", few[:70_000], 24_212},
		{"few values beyond the window", few, 66_789},
		{"a period inside the window", repeated(noise(32_500), 196_608), 34_001},
		{"a period as long as a match reaches", repeated(noise(32_506), 196_608), 35_165},
		{"a period one longer", repeated(noise(32_507), 196_608), 196_674},
	}
	for _, each := range cases {
		if length := packedBytes(each.data); length != each.length {
			t.Errorf("%s: expected %d bytes, got %d", each.what, each.length, length)
		}
	}
}

func TestARefusedWindowNamesItsFirstBadValue(t *testing.T) {
	rows := func(columns int) [][]float64 {
		window := make([][]float64, 4)
		for i := range window {
			window[i] = make([]float64, columns)
		}
		return window
	}
	bent := rows(3)
	bent[1][2], bent[2][0] = math.Inf(1), math.NaN()
	ragged := rows(3)
	ragged[2] = ragged[2][:2]
	cases := []struct {
		what        string
		window      [][]float64
		seed        int64
		scales      []int64
		row, column int
	}{
		{"an infinity", bent, 42, DefaultScales(), 1, 2},
		{"a short row", ragged, 42, DefaultScales(), 2, None},
		{"no column", rows(0), 42, DefaultScales(), None, None},
		{"too many columns", rows(4097), 42, DefaultScales(), None, None},
		{"two rows", rows(3)[:2], 42, DefaultScales(), None, None},
		{"no rows", nil, 42, DefaultScales(), None, None},
		{"a seed below 0", rows(3), -1, DefaultScales(), None, None},
		{"a seed of 2^53", rows(3), 1 << 53, DefaultScales(), None, None},
		{"one scale", rows(3), 42, []int64{2}, None, None},
		{"scales too close", rows(3), 42, []int64{2, 3}, None, None},
		{"a scale too large", rows(3), 42, []int64{2, 1025}, None, None},
	}
	for _, each := range cases {
		_, err := OfPoints(each.window, each.seed, each.scales)
		var problem *WindowError
		if !errors.As(err, &problem) || problem.Row != each.row || problem.Column != each.column ||
			!errors.Is(err, pcs.ErrContract) {
			t.Errorf("%s: expected row %d, column %d, got %+v", each.what, each.row, each.column, err)
		}
	}
	for _, count := range []int{0, 2, 65_537} {
		if _, err := OfBytes(make([]byte, count), 42, DefaultScales()); !errors.Is(err, pcs.ErrContract) {
			t.Errorf("%d bytes: expected them refused, got %v", count, err)
		}
	}
}

func TestAWindowIsLeftAsItIs(t *testing.T) {
	for columns := 1; columns <= 5; columns++ {
		window := make([][]float64, 20)
		for i := range window {
			for j := range columns {
				window[i] = append(window[i], float64(i*i-7*j))
			}
		}
		before := make([][]float64, len(window))
		for i := range window {
			before[i] = slices.Clone(window[i])
		}
		if _, err := OfPoints(window, DefaultSeed, DefaultScales()); err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(window, before, slices.Equal[[]float64]) {
			t.Errorf("%d columns: expected the window as it was, got another", columns)
		}
	}
}

func FuzzOfBytes(f *testing.F) {
	f.Add([]byte("abc"), int64(42))
	f.Add(make([]byte, 500), int64(0))
	f.Add(noise(300), int64(1<<53-1))
	f.Fuzz(func(t *testing.T, data []byte, seed int64) {
		window, err := OfBytes(data, seed, DefaultScales())
		if err != nil {
			if !errors.Is(err, pcs.ErrContract) {
				t.Fatal(err)
			}
			return
		}
		members := pcs.Members{ShardID: "s", CreatedAt: "2026-11-21T06:00:00.123Z"}
		window.Fill(&members)
		key, err := pcs.NewHMACKey("k", make([]byte, 32))
		if err != nil {
			t.Fatal(err)
		}
		record, err := pcs.Sign(&members, key)
		if err != nil {
			t.Fatal(err)
		}
		if outcome := pcs.Judge(record, pcs.CurrentParams); !outcome.Accepted {
			t.Fatalf("expected an honest record to be accepted, got %v", outcome.Reasons)
		}
	})
}
