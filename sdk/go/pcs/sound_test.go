package pcs_test

import (
	"bytes"
	"strings"
	"testing"

	"fractallba/pcs"
)

func hmacKey(t testing.TB) *pcs.Key {
	t.Helper()
	key, err := pcs.NewHMACKey("k", bytes.Repeat([]byte{0xaa}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// soundMembers returns the members of a record that is accepted.
func soundMembers() pcs.Members {
	return pcs.Members{
		MerkleRoot: strings.Repeat("e9", 32), Epoch: 1, ShardID: "lab:stream-1",
		CreatedAt: "2026-11-21T06:00:00.123Z", Profile: pcs.ProfilePoints, N: 1000, D: 3, Seed: 42,
		Scales: []int64{2, 4, 8, 16, 32}, NJ: []int64{8, 40, 150, 400, 800},
		DHat: 1.660964047, CohStar: 0.12, R: 0.77, Budget: 0.193, VStar: [3]float64{0.6, 0.64, 0.48},
		Regime: pcs.Mixed, FT: pcs.FaultTolerance{Fallbacks: []string{}},
	}
}
