// Command bench measures on one core what it costs to sign and to verify a
// record, beside the bare primitives, and ends with one line of JSON: rates in
// records a second, and allocations for each record. It is no part of what is
// published.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
)

const (
	// All works take turns so many times; a figure is the median of its turns.
	rounds = 7
	turn   = 80 * time.Millisecond
	// What a count of allocations is averaged over.
	counted = 2_000
)

// allocationsOf are the works whose allocations are told, by what they are
// called.
var allocationsOf = map[string]string{
	"hmac_sign_canonical": "allocs_hmac_sign",
	"ed25519_sign":        "allocs_ed25519_sign",
	"verify":              "allocs_verify",
}

func main() {
	runtime.GOMAXPROCS(1)
	figures, err := measure(rounds, turn, counted)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(figures)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measure(rounds int, turn time.Duration, counted int) (map[string]float64, error) {
	figures := map[string]float64{}
	prepared := make([]func(int) error, len(works))
	for i, work := range works {
		prepared[i] = work.prepare()
		allocations, err := allocations(prepared[i], counted)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", work.name, err)
		}
		if name, told := allocationsOf[work.name]; told {
			figures[name] = allocations
		}
	}
	rates := make([][]float64, len(works))
	for range rounds {
		for i := range works {
			rate, err := rateOf(prepared[i], turn)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", works[i].name, err)
			}
			rates[i] = append(rates[i], rate)
		}
	}
	for i, work := range works {
		slices.Sort(rates[i])
		figures[work.name] = rates[i][rounds/2]
	}
	return figures, nil
}

// The clock is read once for so many.
const batch = 20

// rateOf returns how often a second something can be done; it is done once at
// least, however short the turn and busy the machine.
func rateOf(act func(int) error, turn time.Duration) (float64, error) {
	start, done := time.Now(), 0
	for done == 0 || time.Since(start) < turn {
		if err := act(batch); err != nil {
			return 0, err
		}
		done += batch
	}
	return float64(done) / time.Since(start).Seconds(), nil
}

// allocations returns how many of them each time costs.
func allocations(act func(int) error, counted int) (float64, error) {
	if err := act(counted); err != nil { // what is held for all is there afterwards
		return 0, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := act(counted); err != nil {
		return 0, err
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(counted), nil
}
