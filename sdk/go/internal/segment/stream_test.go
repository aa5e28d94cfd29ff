package segment

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var small = Bounds{SegmentBytesMax: 1 << 12, FrameBytesMax: 1 << 10}

func frameNumbered(n uint64) NewFrame {
	return NewFrame{
		ReceivedNS: 1_700_000_000_000_000_000 + n,
		Meta:       fmt.Appendf(nil, `{"n":%d}`, n),
		Payload:    bytes.Repeat([]byte{byte(n)}, int(n*7%40)),
	}
}

// framesFrom are frames that say which number they must have.
func framesFrom(first uint64, count int) []NewFrame {
	frames := make([]NewFrame, count)
	for i := range frames {
		frames[i] = frameNumbered(first + uint64(i))
	}
	return frames
}

func mustOpen(t testing.TB, disk Storage, folder string) *Stream {
	t.Helper()
	s, err := Open(disk, folder, "outbox", small)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustAppend(t testing.TB, s *Stream, count int) {
	t.Helper()
	if _, err := s.Append(framesFrom(s.NextSeq(), count)); err != nil {
		t.Fatal(err)
	}
}

// scanned returns the numbers of the frames that a stream gives, each held to
// what was written under it, and the damage.
func scanned(t testing.TB, s *Stream) ([]uint64, []Damage) {
	t.Helper()
	var seqs []uint64
	var damage []Damage
	for each, err := range s.Scan() {
		switch {
		case err != nil:
			t.Fatal(err)
		case each.Damage != nil:
			damage = append(damage, *each.Damage)
		default:
			checkFrame(t, each.Frame)
			if len(seqs) > 0 && each.Frame.Seq <= seqs[len(seqs)-1] {
				t.Fatalf("frame %d stands behind frame %d", each.Frame.Seq, seqs[len(seqs)-1])
			}
			again, err := s.Read(each.Position)
			if err != nil || again.Seq != each.Frame.Seq {
				t.Fatalf("frame %d: expected it at its position, got %v", each.Frame.Seq, err)
			}
			seqs = append(seqs, each.Frame.Seq)
		}
	}
	return seqs, damage
}

func checkFrame(t testing.TB, f Frame) {
	t.Helper()
	want := frameNumbered(f.Seq)
	if f.ReceivedNS != want.ReceivedNS || !bytes.Equal(f.Meta, want.Meta) || !bytes.Equal(f.Payload, want.Payload) {
		t.Fatalf("frame %d: expected what was written, got something else", f.Seq)
	}
}

func TestWhatIsAppendedIsThereAfterReopeningOverRotations(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "outbox")
	for life := range 4 {
		s := mustOpen(t, System{}, folder)
		for range 20 {
			mustAppend(t, s, 3)
		}
		if life%2 == 0 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		} else { // as a process that was killed leaves it
			_ = s.lock.Close()
		}
	}
	s := mustOpen(t, System{}, folder)
	defer s.Close()
	seqs, damage := scanned(t, s)
	if len(seqs) != 240 || seqs[239] != 240 || len(damage) > 0 {
		t.Fatalf("expected frames 1 to 240 and no damage, got %d and %v", len(seqs), damage)
	}
	names, _ := filepath.Glob(filepath.Join(folder, "*.seg"))
	for _, name := range names {
		if info, _ := os.Stat(name); info.Size() > int64(small.SegmentBytesMax) || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: expected at most %d bytes of mode 600, got %d of %v", name, small.SegmentBytesMax, info.Size(), info.Mode())
		}
	}
	if len(names) < 4 {
		t.Errorf("expected several segments, got %d", len(names))
	}
}

// written makes a stream of one segment that a killed process left: frames 1 to
// 3 and a mark, frames 4 and 5, frame 6; all but the last batch are marked.
func written(t testing.TB, isSealed bool) (name string, data []byte) {
	t.Helper()
	folder := t.TempDir()
	s := mustOpen(t, System{}, folder)
	path := s.active.path
	for _, count := range []int{3, 2, 1} {
		mustAppend(t, s, count)
	}
	if isSealed {
		if err := s.active.seal(1); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.lock.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Base(path), data
}

// reopened writes one segment into an empty folder and opens that.
func reopened(t testing.TB, name string, data []byte) ([]uint64, []Damage, uint64, Recovery) {
	t.Helper()
	disk := newMemoryDisk(1)
	disk.names["/s/"+name] = &node{data: bytes.Clone(data)}
	s := mustOpen(t, disk, "/s")
	seqs, damage := scanned(t, s)
	mustAppend(t, s, 1)
	next := s.NextSeq()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return seqs, damage, next, s.Recovery()
}

func TestASegmentCutAtAnyByteGivesTheFramesBeforeTheCut(t *testing.T) {
	name, data := written(t, false)
	for length := range len(data) + 1 {
		seqs, damage, next, found := reopened(t, name, data[:length])
		whole := 0
		k := keyOf(ID{})
		if header, _ := unpackHeader(data); header != nil {
			k = keyOf(header.ID)
		}
		for _, each := range walk(data, k, len(data), 1, unknown) {
			if each.kind == isFrame && each.end <= length {
				whole++
			}
		}
		if len(seqs) != whole || next != uint64(whole)+2 {
			t.Fatalf("cut at %d: expected %d frames, got %v and next %d", length, whole, seqs, next)
		}
		for _, each := range damage {
			if length >= HeaderBytes && each.IsLoss {
				t.Fatalf("cut at %d: expected a torn tail, got %v", length, each)
			}
		}
		if length > HeaderBytes && found.TornBytes > length-HeaderBytes {
			t.Fatalf("cut at %d: expected the torn tail alone put aside, got %d bytes", length, found.TornBytes)
		}
	}
	fmt.Printf("segment: %d cuts\n", len(data)+1)
}

func TestAFlippedBitCostsOneFrameAtTheMostAndIsReported(t *testing.T) {
	for _, isSealed := range []bool{false, true} {
		name, data := written(t, isSealed)
		const last = 6
		for bit := 0; bit < len(data)*8; bit += flipStep {
			data[bit/8] ^= 1 << (bit % 8)
			if bit/8 >= 8 && bit/8 < 10 { // the format's number: its checksum must tell
				if header, err := unpackHeader(data); header != nil || err != nil {
					t.Fatalf("bit %d: expected a damaged header, got %v, %v", bit, header, err)
				}
			}
			seqs, damage, next, found := reopened(t, name, data)
			data[bit/8] ^= 1 << (bit % 8)
			lost := last - len(seqs)
			isTorn := !isSealed && found.TornBytes > 0
			if lost > 1 || (lost == 1 && len(damage) == 0 && len(found.Damage) == 0 && !isTorn) {
				t.Fatalf("bit %d (sealed %v): expected at most one frame lost and told, got %v, %v", bit, isSealed, seqs, damage)
			}
			if next <= last && !isTorn {
				t.Fatalf("bit %d (sealed %v): number %d was given again", bit, isSealed, next-1)
			}
		}
		fmt.Printf("segment: %d flips, sealed %v\n", len(data)*8/flipStep, isSealed)
	}
}

func TestASegmentOfANewerFormatIsRefusedAndNothingIsChanged(t *testing.T) {
	name, data := written(t, true)
	le.PutUint16(data[8:], 2)
	data[10], data[11] = 3, 4
	le.PutUint32(data[12:], sum(0, data[:12]))
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(System{}, folder, "outbox", small)
	if !errors.Is(err, &Error{Kind: Newer}) || !strings.Contains(err.Error(), "3.4") {
		t.Fatalf("expected a refusal that names release 3.4, got %v", err)
	}
	names, _ := System{}.Names(folder)
	if after, _ := os.ReadFile(filepath.Join(folder, name)); !bytes.Equal(after, data) || len(names) != 2 {
		t.Fatalf("expected the folder as it was, got %v", names)
	}
}

func TestASecondOpeningIsRefusedByName(t *testing.T) {
	folder := t.TempDir()
	s := mustOpen(t, System{}, folder)
	_, err := Open(System{}, folder, "outbox", small)
	want := fmt.Sprintf("stream outbox: expected no other process, got pid %d", os.Getpid())
	if !errors.Is(err, &Error{Kind: Locked}) || err.Error() != want {
		t.Fatalf("expected %q, got %v", want, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mustOpen(t, System{}, folder).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAFailedSyncFencesUntilReopenedOnFreshFiles(t *testing.T) {
	disk := newMemoryDisk(7)
	s := mustOpen(t, disk, "/s")
	mustAppend(t, s, 2)
	old := s.active.path
	disk.failAt, disk.failWith = disk.calls+2, syscall.EIO // the write, then the sync
	if _, err := s.Append(framesFrom(3, 1)); !errors.Is(err, &Error{Kind: Disk}) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("expected the disk's error, got %v", err)
	}
	calls := disk.calls
	if _, err := s.Append(framesFrom(3, 1)); !errors.Is(err, &Error{Kind: Fenced}) || disk.calls != calls {
		t.Fatalf("expected a fence and no call, got %v", err)
	}
	if seqs, _ := scanned(t, s); len(seqs) != 2 {
		t.Fatalf("expected a fenced stream to be read, got %v", seqs)
	}
	if err := s.Reopen(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, 1)
	if s.active.path == old {
		t.Fatal("expected a fresh file behind a failed sync")
	}
}

func TestAFullDiskRefusesAndLeavesNothingInDoubt(t *testing.T) {
	for _, at := range []int{1, 3} { // the write alone; the write whose rotation made a segment
		disk := newMemoryDisk(7)
		s := mustOpen(t, disk, "/s")
		mustAppend(t, s, 2)
		if at == 3 {
			if err := s.active.seal(1); err != nil {
				t.Fatal(err)
			}
			at = 2 // create, then the write of the header
		}
		disk.failAt, disk.failWith = disk.calls+at, syscall.ENOSPC
		if _, err := s.Append(framesFrom(3, 1)); !errors.Is(err, &Error{Kind: Full}) || s.IsFenced() {
			t.Fatalf("expected a full disk and no fence, got %v, fenced %v", err, s.IsFenced())
		}
		mustAppend(t, s, 1)
		disk.cutPower()
		s = mustOpen(t, disk, "/s")
		if seqs, damage := scanned(t, s); len(seqs) != 3 || len(damage) > 0 {
			t.Fatalf("expected frames 1 to 3, got %v, %v", seqs, damage)
		}
	}
}

func TestRetentionGivesUpWholeSegmentsAndNobodyMissesThem(t *testing.T) {
	folder := t.TempDir()
	s := mustOpen(t, System{}, folder)
	for s.NextSeq() < 200 {
		mustAppend(t, s, 1)
	}
	if err := s.RetainFrom(150, 149); !errors.Is(err, &Error{Kind: Contract}) {
		t.Fatalf("expected a cursor before the bound to be refused, got %v", err)
	}
	if err := s.RetainFrom(150, s.NextSeq()-1); err != nil {
		t.Fatal(err)
	}
	first := s.KeptFrom()
	_ = s.lock.Close()
	s = mustOpen(t, System{}, folder)
	defer s.Close()
	seqs, damage := scanned(t, s)
	if first < 2 || first > 150 || seqs[0] != first || len(damage) > 0 || s.NextSeq() != 200 {
		t.Fatalf("expected the frames from %d on, got %d and %v", first, seqs[0], damage)
	}
}

func TestNumbersThatWerePassedOverAreNotMissed(t *testing.T) {
	for _, wereGiven := range []bool{false, true} {
		folder := t.TempDir()
		s := mustOpen(t, System{}, folder)
		mustAppend(t, s, 2)
		if err := s.SkipTo(1_000_000, wereGiven); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, s, 1)
		_ = s.lock.Close()
		s = mustOpen(t, System{}, folder)
		seqs, damage := scanned(t, s)
		if len(seqs) != 3 || seqs[2] != 1_000_000 || (len(damage) > 0) != wereGiven {
			t.Fatalf("were given %v: got %v, %v", wereGiven, seqs, damage)
		}
		_ = s.Close()
	}
}

func TestASegmentIsClosedByTheNextAppendAtItsAge(t *testing.T) {
	disk := newMemoryDisk(1)
	bounds := small
	bounds.SegmentAgeMax = time.Hour
	s, err := Open(disk, "/s", "outbox", bounds)
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range []struct {
		passed time.Duration
		older  int
	}{{2 * time.Hour, 0}, {0, 1}, {time.Hour, 1}, {1, 2}} { // an empty one stays, whatever its age
		disk.aged += uint64(each.passed)
		mustAppend(t, s, 1)
		if len(s.older) != each.older {
			t.Fatalf("after %v: expected %d closed segments, got %d", each.passed, each.older, len(s.older))
		}
	}
}

func TestAStreamWithoutNumbersLeftTakesNoFrame(t *testing.T) {
	s := mustOpen(t, newMemoryDisk(1), "/s")
	if err := s.SkipTo(math.MaxUint64-1, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(framesFrom(s.NextSeq(), 2)); !errors.Is(err, &Error{Kind: Contract}) || s.IsFenced() {
		t.Fatalf("expected a refusal, got %v", err)
	}
}
