package segment

import (
	"errors"
	"math"
	"os"
	"testing"
)

func TestAFileLongerThanAnySegmentIsRefusedAndNotRead(t *testing.T) {
	folder := t.TempDir()
	s := mustOpen(t, System{}, folder)
	path := s.active.path
	mustAppend(t, s, 1)
	_ = s.lock.Close() // as a process that ends now leaves it
	if err := os.Truncate(path, segmentFileLimit+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(System{}, folder, "outbox", small); !errors.Is(err, &Error{Kind: Damaged}) {
		t.Fatalf("expected a refusal, got %v", err)
	}
	if err := os.Truncate(path, 1<<20); err != nil {
		t.Fatal(err)
	}
	again, err := Open(System{}, folder, "outbox", small)
	if err != nil || again.NextSeq() != 2 {
		t.Fatalf("expected the frame to be there once the file is short again, got %v", err)
	}
	_ = again.Close()
}

func TestALengthBeyondTheFileCostsWhatItNamesAndNothingElse(t *testing.T) {
	for _, length := range []uint32{1 << 20, 1<<31 - 1, 1 << 31, math.MaxUint32} {
		folder := t.TempDir()
		s := mustOpen(t, System{}, folder)
		mustAppend(t, s, 2)
		path, batch := s.active.path, s.active.end
		mustAppend(t, s, 1)
		mustAppend(t, s, 1)
		_ = s.lock.Close() // as a process that ends now leaves it
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// The checksum agrees: whoever wrote it knew the segment's id.
		le.PutUint32(data[batch+8:], length)
		le.PutUint32(data[batch+4:], sum(s.active.key.crc, data[batch+8:batch+BatchBytes]))
		if err := os.WriteFile(path, data, fileMode); err != nil {
			t.Fatal(err)
		}
		again := mustOpen(t, System{}, folder)
		if seqs, _ := scanned(t, again); len(seqs) < 3 || seqs[2] != 3 {
			t.Errorf("length %d: expected the frames before it and in it, got %v", length, seqs)
		}
		_ = again.Close()
	}
}
