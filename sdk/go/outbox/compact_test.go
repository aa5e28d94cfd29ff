package outbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// smallSegments holds some 300 windows in each.
var smallSegments = Options{SegmentBytesMax: 300 << 10}.withDefaults()

// mostlyAnswered fills several segments and answers all but every 200th window,
// all of stream "b" and nothing of "c".
func mostlyAnswered(t *testing.T, o *Outbox) (want []string) {
	t.Helper()
	windows := append(windowsOf(t, "b", 0, 3), windowsOf(t, "c", 0, 2)...)
	for at := 0; at < 1500; at += 250 {
		windows = append(windows, windowsOf(t, "a", at, 250)...)
		for i, seq := range mustAppend(t, o, windows...) {
			shardID, epoch := windows[i].Record.Members().ShardID, windows[i].Record.Members().Epoch
			if shardID == "c" || (shardID == "a" && epoch%200 == 0) {
				want = append(want, fmt.Sprintf("%s/%d", shardID, epoch))
			} else if err := o.Acknowledge(seq, 200, epoch%2 == 0); err != nil {
				t.Fatal(err)
			}
		}
		windows = nil
	}
	return want
}

func TestAnsweredSegmentsAreGivenUpAndWhatWaitsIsCarriedOver(t *testing.T) {
	folder := t.TempDir()
	o := mustOpenOn(t, brokenDiskOf(nil), folder, smallSegments)
	want := mostlyAnswered(t, o)
	await(t, "a compaction", func() bool { return o.Counts().Compactions > 0 && !o.isCompactionDue() })
	if err := o.Flush(); err != nil {
		t.Fatal(err)
	}
	before := o.Counts()
	if before.DiskBytes > 4*smallSegments.SegmentBytesMax+2*before.PendingBytes {
		t.Errorf("expected at most twice what waits and four segments, got %+v", before)
	}
	if got := epochs(t, o); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("expected %v, got %v", want, got)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	again := mustOpenOn(t, brokenDiskOf(nil), folder, smallSegments)
	checkSame(t, again, want)
	after := again.Counts()
	after.Syncs, before.Syncs = 0, 0
	before.DiskBytes, after.DiskBytes = 0, 0
	if before != after {
		t.Errorf("expected %+v after reopening, got %+v", before, after)
	}
	names, _ := filepath.Glob(filepath.Join(folder, folderName, "*"))
	for _, name := range names {
		if strings.HasSuffix(name, ".bad") || strings.HasSuffix(name, ".cut") {
			t.Errorf("expected no evidence of anything, got %s", name)
		}
	}
}

func checkSame(t *testing.T, o *Outbox, want []string) {
	t.Helper()
	if got := epochs(t, o); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("expected %v, got %v", want, got)
	}
	if len(o.Damage()) != 0 || o.Counts().Lost != 0 || o.Counts().Windows != 1505 {
		t.Errorf("expected nothing lost of 1505 windows, got %v, %+v", o.Damage(), o.Counts())
	}
	for shardID, next := range map[string]uint64{"a": 1500, "b": 3, "c": 2} {
		if o.NextEpoch(shardID, true) != next || o.Position("api:"+shardID, shardID).Offset != next-1 {
			t.Errorf("stream %s: expected to go on with %d, got %d", shardID, next, o.NextEpoch(shardID, true))
		}
	}
}

func TestACompactionThatEndsAtAnyCallLeavesTheSame(t *testing.T) {
	folder := t.TempDir()
	disk := brokenDiskOf(nil)
	o := mustOpenOn(t, disk, folder, smallSegments)
	o.mutex.Lock()
	o.isCompactionOff = true
	o.mutex.Unlock()
	want := mostlyAnswered(t, o)
	if err := o.Flush(); err != nil {
		t.Fatal(err)
	}
	var images []string
	disk.set(func() { disk.before = func() { images = append(images, imageOf(t, folder)) } })
	o.mutex.Lock()
	o.isCompactionOff = false
	o.mutex.Unlock()
	o.wakeUp()
	await(t, "a compaction", func() bool { return o.Counts().Compactions > 0 && !o.isCompactionDue() })
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if len(images) < 10 {
		t.Fatalf("expected to see many calls, got %d", len(images))
	}
	for i, image := range images {
		checkSame(t, mustOpenOn(t, brokenDiskOf(nil), image, smallSegments), want)
		if t.Failed() {
			t.Fatalf("ended at call %d of %d", i+1, len(images))
		}
		if err := os.RemoveAll(image); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Printf("outbox: a compaction ended at each of %d calls\n", len(images))
}

func TestAWindowThatWaitsAndCannotBeReadKeepsItsSegment(t *testing.T) {
	folder := t.TempDir()
	o := mustOpenOn(t, brokenDiskOf(nil), folder, smallSegments)
	seqs := mustAppend(t, o, windowsOf(t, "a", 0, 1)...)
	o.mutex.Lock()
	at := o.contents.pending[seqs[0]].at
	o.mutex.Unlock()
	first := lastSegment(t, folder)
	data, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	data[at.Offset+200] ^= 1
	if err := os.WriteFile(first, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for epoch := 1; epoch < 1500; epoch += 250 {
		for _, seq := range mustAppend(t, o, windowsOf(t, "a", epoch, 250)...) {
			if err := o.Acknowledge(seq, 200, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	isOff := func() bool {
		o.mutex.Lock()
		defer o.mutex.Unlock()
		return o.isCompactionOff
	}
	await(t, "the end of compactions", isOff)
	if _, err := o.Record(seqs[0]); !errors.Is(err, ErrDamaged) {
		t.Errorf("expected damage, got %v", err)
	}
	if _, err := os.Stat(first); err != nil {
		t.Errorf("expected the evidence, got %v", err)
	}
	mustAppend(t, o, windowsOf(t, "a", 2000, 1)...)
}

func TestWindowsComeAndAreAnsweredWhileSegmentsAreGivenUp(t *testing.T) {
	o := mustOpenOn(t, brokenDiskOf(nil), t.TempDir(), smallSegments)
	var all sync.WaitGroup
	for stream := range 4 {
		all.Add(1)
		go func() {
			defer all.Done()
			shardID := fmt.Sprint("s", stream)
			for epoch := 0; epoch < 600; epoch += 20 {
				seqs, err := o.Append(t.Context(), windowsOf(t, shardID, epoch, 20)...)
				if err != nil {
					t.Error(err)
					return
				}
				for i, seq := range seqs {
					if (epoch+i)%150 == 0 {
						continue
					}
					if _, err := o.Record(seq); err != nil {
						t.Error(err)
					}
					if err := o.Acknowledge(seq, 200, false); err != nil {
						t.Error(err)
					}
				}
			}
		}()
	}
	all.Wait()
	await(t, "a compaction", func() bool { return o.Counts().Compactions > 0 && !o.isCompactionDue() })
	if got := epochs(t, o); len(got) != 16 || o.Counts().Compactions == 0 {
		t.Fatalf("expected 4 windows of each stream after compactions, got %v, %+v", got, o.Counts())
	}
}

func TestTotalsStandBehindTheAcknowledgementsThatTheyCount(t *testing.T) {
	folder := t.TempDir()
	o := mustOpenOn(t, brokenDiskOf(nil), folder, smallSegments)
	o.mutex.Lock()
	o.isCompactionOff = true
	o.mutex.Unlock()
	var seqs []uint64
	for epoch := 0; epoch < 500; epoch += 250 {
		seqs = append(seqs, mustAppend(t, o, windowsOf(t, "a", epoch, 250)...)...)
	}
	close(o.closing) // from here on nobody writes but this test
	<-o.done
	last := seqs[len(seqs)-1] // in the segment that stays
	for _, seq := range append(seqs[:5:5], last) {
		if err := o.Acknowledge(seq, 200, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.compactNow(); err != nil {
		t.Fatal(err)
	}
	again := mustOpenOn(t, brokenDiskOf(nil), imageOf(t, folder), smallSegments)
	if got := epochs(t, again); len(got) != 494 || got[0] != "a/5" || got[493] != "a/498" {
		t.Errorf("expected windows 5 to 498, got %d from %s on", len(got), got[0])
	}
	if counts := again.Counts(); counts.Accepted != 6 || counts.Windows != 500 || counts.Compactions != 1 {
		t.Errorf("got %+v", counts)
	}
	o.mutex.Lock()
	o.isClosed = true
	o.mutex.Unlock()
	if err := o.stream.Close(); err != nil {
		t.Fatal(err)
	}
}
