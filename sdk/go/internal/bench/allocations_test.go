//go:build !race

package main

import "testing"

// Under the race detector a pool forgets at random what it holds.
func TestSigningAllocatesFourTimes(t *testing.T) {
	// The record, its scales with their counts, its pcs_id, and the bytes that
	// were signed.
	count, err := allocations(works[0].prepare(), counted)
	if err != nil {
		t.Fatal(err)
	}
	if works[0].name != "hmac_sign_canonical" || count > 4.5 {
		t.Errorf("%s: expected 4 allocations a record, got %v", works[0].name, count)
	}
}
