package main

import (
	"testing"
	"time"
)

// BenchmarkRecords measures the same works as the command:
//
//	go test -run '^$' -bench . -cpu 1 ./internal/bench
func BenchmarkRecords(b *testing.B) {
	for _, work := range works {
		b.Run(work.name, func(b *testing.B) {
			act := work.prepare()
			b.ReportAllocs()
			b.ResetTimer()
			if err := act(b.N); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func TestEveryFigureIsMeasured(t *testing.T) {
	figures, err := measure(1, time.Microsecond, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, work := range works {
		if figures[work.name] <= 0 {
			t.Errorf("%s: expected a rate, got %v", work.name, figures[work.name])
		}
	}
	for _, name := range allocationsOf {
		if _, told := figures[name]; !told {
			t.Errorf("%s: expected a count, got none", name)
		}
	}
}
