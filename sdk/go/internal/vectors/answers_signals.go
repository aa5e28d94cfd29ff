package vectors

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"fractallba/signals"
)

func signalsPoints(input json.RawMessage) (expected, error) {
	given, err := read[struct {
		Seed     int64
		Scales   []int64
		Rows     [][]string
		RowsBits []hexBytes `json:"rows_bits"`
	}](input)
	if err != nil {
		return nil, err
	}
	if len(given.Rows) != len(given.RowsBits) {
		return nil, errors.New("rows_bits: expected one for each row, got another number")
	}
	window := make([][]float64, len(given.Rows))
	for i, texts := range given.Rows {
		if window[i], err = rowOf(texts, given.RowsBits[i]); err != nil {
			return nil, fmt.Errorf("row %d: %w", i, err)
		}
	}
	return summarised(signals.OfPoints(window, given.Seed, given.Scales))
}

// rowOf returns the values of a row that is given in two spellings.
func rowOf(texts []string, bits []byte) ([]float64, error) {
	if len(bits) != 8*len(texts) {
		return nil, errors.New("expected 64 bits for each text, got others")
	}
	row := make([]float64, len(texts))
	for j, text := range texts {
		row[j] = math.Float64frombits(binary.BigEndian.Uint64(bits[8*j:]))
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		if math.Float64bits(value) != math.Float64bits(row[j]) && !(math.IsNaN(value) && math.IsNaN(row[j])) {
			return nil, errors.New("expected one value in both spellings, got two")
		}
	}
	return row, nil
}

func signalsBytes(input json.RawMessage) (expected, error) {
	given, err := read[struct {
		Seed   int64
		Scales []int64
		Data   []byte
	}](input)
	if err != nil {
		return nil, err
	}
	return summarised(signals.OfBytes(given.Data, given.Seed, given.Scales))
}

func summarised(s *signals.Summary, err error) (expected, error) {
	var problem *signals.WindowError
	if errors.As(err, &problem) {
		at := func(place int) any {
			if place == signals.None {
				return nil
			}
			return place
		}
		return nil, &refused{expected{
			"code": "window_refused", "row": at(problem.Row), "column": at(problem.Column),
		}}
	}
	if err != nil {
		return nil, err
	}
	if _, err := hex.DecodeString(s.MerkleRoot); err != nil {
		return nil, err
	}
	counts := expected{}
	for i, scale := range s.Scales {
		counts[strconv.FormatInt(scale, 10)] = s.NJ[i]
	}
	return expected{
		"profile": string(s.Profile), "n": s.N, "d": s.D, "merkle_root": s.MerkleRoot, "N_j": counts,
		"D_hat": real(s.DHat), "coh_star": real(s.CohStar),
		"v_star": []any{real(s.VStar[0]), real(s.VStar[1]), real(s.VStar[2])},
		"r":      real(s.R), "regime": string(s.Regime), "budget": real(s.Budget),
	}, nil
}
