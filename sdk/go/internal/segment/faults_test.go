package segment

import (
	"fmt"
	"syscall"
	"testing"
)

// life is one life of a process: it returns the highest number that was
// acknowledged and the highest that was tried.
func life(disk *memoryDisk) (acknowledged, tried uint64) {
	s, err := Open(disk, "/s", "outbox", small)
	if err != nil {
		return 0, 0
	}
	acknowledged, tried = s.NextSeq()-1, s.NextSeq()-1
	for round := range 6 {
		count := 1 + round%3
		tried = s.NextSeq() + uint64(count) - 1
		frames := framesFrom(s.NextSeq(), count)
		if round == 4 { // too large for what is left of the segment
			s.bounds.SegmentBytesMax = around + 300
			_, err = s.Append(frames)
			s.bounds = small
		} else {
			_, err = s.Append(frames)
		}
		if err == nil {
			acknowledged = tried
		}
		// Whatever these say, what was acknowledged is durable.
		switch round {
		case 2:
			_ = s.Mark()
		case 5:
			_ = s.RetainFrom(s.active.header.FirstSeq, s.NextSeq()-1)
		}
		if s.IsFenced() {
			if s.Reopen() != nil {
				return acknowledged, tried
			}
			acknowledged = max(acknowledged, s.NextSeq()-1)
		}
	}
	_ = s.Close() // whatever it says, what was acknowledged is durable
	return acknowledged, tried
}

func TestAFaultOrAPowerCutAtAnyCallLosesNothingAcknowledged(t *testing.T) {
	counted := newMemoryDisk(1)
	life(counted)
	calls := counted.calls
	runs := 0
	for failAt := 1; failAt <= calls+40; failAt++ {
		for seed := range uint64(4) {
			for _, fault := range []string{"error", "error behind the effect", "full", "end"} {
				runs++
				disk := newMemoryDisk(seed)
				disk.failAt, disk.failWith = failAt, syscall.EIO
				disk.isDone = fault == "error behind the effect"
				if fault == "full" {
					disk.failWith = syscall.ENOSPC
				}
				if fault == "end" {
					disk.endAt(failAt)
				}
				acknowledged, tried := life(disk)
				disk.cutPower()
				s, err := Open(disk, "/s", "outbox", small)
				where := fmt.Sprintf("%s at call %d, seed %d", fault, failAt, seed)
				if err != nil {
					t.Fatalf("%s: recovery needs a person: %v", where, err)
				}
				seqs, damage := scanned(t, s)
				if len(damage) > 0 || len(s.Recovery().Damage) > 0 {
					t.Fatalf("%s: recovery met damage: %v", where, damage)
				}
				next := s.NextSeq()
				if next <= acknowledged || next > tried+1+3 {
					t.Fatalf("%s: acknowledged %d, tried %d, next is %d", where, acknowledged, tried, next)
				}
				for i, seq := range seqs {
					if seq != seqs[0]+uint64(i) {
						t.Fatalf("%s: expected no gap, got %v", where, seqs)
					}
				}
				if acknowledged > 0 && (len(seqs) == 0 || seqs[len(seqs)-1] < acknowledged || seqs[0] != s.KeptFrom()) {
					t.Fatalf("%s: acknowledged %d, got %v", where, acknowledged, seqs)
				}
			}
		}
	}
	fmt.Printf("segment: %d calls, %d runs with a fault and a power cut\n", calls, runs)
}

// endAt ends the process at a call: it and all that follow do nothing.
func (d *memoryDisk) endAt(call int) {
	d.failAt, d.endsAt = call, true
}
