package outbox

import (
	"testing"

	"fractallba/internal/segment"
)

// FuzzMeta adds up frames with whatever meta block: they are refused by name or
// counted, and nothing panics.
func FuzzMeta(f *testing.F) {
	f.Add([]byte(`{"kind":"window","source":"s","shard_id":"a","next_epoch":5,"position":null,"v":1}`), uint64(7))
	f.Add([]byte(`{"kind":"ack","seq":7,"status":200,"replayed":false,"v":1}`), uint64(8))
	f.Add([]byte(`{"kind":"skipped","to":18446744073709551615,"v":1}`), uint64(9))
	f.Add([]byte(`{"kind":"carried","seq":7,"shard_id":"a","next_epoch":18446744073709551615,"v":1}`), uint64(1))
	f.Fuzz(func(t *testing.T, meta []byte, seq uint64) {
		c := newContents()
		first := segment.Frame{Seq: 1, NewFrame: frameOf(windowMeta{Kind: kindWindow, Source: "s", ShardID: "a", V: frameFormat}, nil, 1)}
		for i, frame := range []segment.Frame{first, {Seq: max(seq, 2) &^ (1 << 63), NewFrame: segment.NewFrame{Meta: meta}}} {
			if err := c.add(segment.Position{Segment: uint64(i), Offset: 232}, frame); err != nil {
				return
			}
		}
		if len(c.pending) > 2 || c.pendingBytes < 0 || c.segments.dead() < 0 {
			t.Fatalf("got %d pending of %d bytes", len(c.pending), c.pendingBytes)
		}
	})
}
