package outbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"fractallba/internal/segment"
)

func TestWhatWasAppendedWaitsUntilItIsAnswered(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	o := mustOpen(t, folder)
	seqs := mustAppend(t, o, append(windowsOf(t, "a", 0, 3), windowsOf(t, "b", 7, 1)...)...)
	if err := o.Acknowledge(seqs[1], 202, true); err != nil {
		t.Fatal(err)
	}
	for _, image := range []string{imageOf(t, folder), folder} {
		if image == folder {
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
		}
		again := mustOpen(t, image)
		want := "[a/0 a/1 a/2 b/7]" // an acknowledgement rides with the next write
		if image == folder {
			want = "[a/0 a/2 b/7]"
		}
		if got := fmt.Sprint(epochs(t, again)); got != want {
			t.Errorf("expected %s, got %s", want, got)
		}
		if again.NextEpoch("a", true) != 3 || again.Position("api:b", "b").Offset != 7 || again.NextEpoch("c", false) != 0 {
			t.Error("expected each stream to go on behind its last window")
		}
		if next := mustAppend(t, again, windowsOf(t, "a", 3, 1)...); next[0] <= seqs[3] {
			t.Errorf("number %d was given again", next[0])
		}
		if counts := again.Counts(); image == folder && (counts.Escalated != 1 || counts.Repeats != 1 || counts.Windows != 5) {
			t.Errorf("got %+v", counts)
		}
	}
	if _, err := o.Append(t.Context(), windowsOf(t, "a", 9, 1)...); !errors.Is(err, ErrClosed) {
		t.Errorf("expected a closed outbox, got %v", err)
	}
}

func TestAcknowledgementsAreDurableAfterAQuietMomentOrFlush(t *testing.T) {
	folder := t.TempDir()
	o := mustOpen(t, folder)
	seqs := mustAppend(t, o, windowsOf(t, "a", 0, 600)...)
	for _, seq := range seqs[:599] {
		if err := o.Acknowledge(seq, 200, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := epochs(t, mustOpen(t, imageOf(t, folder))); fmt.Sprint(got) != "[a/599]" {
		t.Fatalf("got %v", got)
	}
	if err := o.Acknowledge(seqs[599], 200, false); err != nil {
		t.Fatal(err)
	}
	syncs := o.Counts().Syncs
	await(t, "a quiet moment", func() bool { return o.Counts().Syncs > syncs })
	if got := epochs(t, mustOpen(t, imageOf(t, folder))); len(got) != 0 {
		t.Fatalf("got %v", got)
	}
}

func TestAppendsAtTheSameTimeShareASync(t *testing.T) {
	disk := &brokenDisk{}
	o := mustOpenOn(t, disk, t.TempDir(), Options{}.withDefaults())
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	disk.set(func() {
		disk.onSync = func() error {
			once.Do(func() { close(entered); <-release })
			return nil
		}
	})
	const count = 100
	var all sync.WaitGroup
	add := func(epoch int) {
		all.Add(1)
		go func() {
			defer all.Done()
			if _, err := o.Append(t.Context(), windowsOf(t, "a", epoch, 1)...); err != nil {
				t.Error(err)
			}
		}()
	}
	add(0)
	<-entered
	for i := range count {
		add(i + 1)
	}
	await(t, "the queue", func() bool {
		o.mutex.Lock()
		defer o.mutex.Unlock()
		return len(o.queue) == count
	})
	close(release)
	all.Wait()
	if counts := o.Counts(); counts.Syncs != 2 || counts.Pending != count+1 {
		t.Fatalf("expected 101 windows in 2 syncs, got %+v", counts)
	}
}

func TestAFailedSyncFencesAndWhatIsOnDiskCanBeRead(t *testing.T) {
	disk := &brokenDisk{}
	folder := t.TempDir()
	o := mustOpenOn(t, disk, folder, Options{}.withDefaults())
	seqs := mustAppend(t, o, windowsOf(t, "a", 0, 2)...)
	disk.set(func() { disk.onSync = func() error { return syscall.EIO } })
	if _, err := o.Append(t.Context(), windowsOf(t, "a", 2, 1)...); !errors.Is(err, ErrDisk) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("expected the disk's error, got %v", err)
	}
	disk.set(func() { disk.onSync = nil })
	if _, err := o.Append(t.Context(), windowsOf(t, "a", 2, 1)...); !errors.Is(err, ErrFenced) {
		t.Fatalf("expected a fence, got %v", err)
	}
	if err := o.Acknowledge(seqs[0], 200, false); !errors.Is(err, ErrFenced) {
		t.Fatalf("expected a fence, got %v", err)
	}
	if got := epochs(t, o); fmt.Sprint(got) != "[a/1]" {
		t.Fatalf("got %v", got)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, folder)
	if got := epochs(t, again); len(got) < 2 || got[0] != "a/0" || got[1] != "a/1" {
		t.Fatalf("got %v", got)
	}
	if next := mustAppend(t, again, windowsOf(t, "a", 3, 1)...); next[0] <= seqs[1]+1 && len(epochs(t, again)) == 4 {
		t.Fatalf("number %d was given again", next[0])
	}
}

func TestAFullDiskRefusesTheWindowAndTakesTheNextThatFits(t *testing.T) {
	disk := &brokenDisk{}
	o := mustOpenOn(t, disk, t.TempDir(), Options{}.withDefaults())
	mustAppend(t, o, windowsOf(t, "a", 0, 1)...)
	disk.set(func() { disk.onWrite = func([]byte) error { return syscall.ENOSPC } })
	if _, err := o.Append(t.Context(), windowsOf(t, "a", 1, 1)...); !errors.Is(err, ErrFull) {
		t.Fatalf("expected a full disk, got %v", err)
	}
	disk.set(func() { disk.onWrite = nil })
	mustAppend(t, o, windowsOf(t, "a", 1, 1)...)
	if got := epochs(t, o); fmt.Sprint(got) != "[a/0 a/1]" {
		t.Fatalf("got %v", got)
	}
}

func TestMoreThanTheBoundsIsRefusedAndNothingIsTaken(t *testing.T) {
	o := mustOpenOn(t, segment.System{}, t.TempDir(), Options{RecordsMax: 3, BytesMax: 1000}.withDefaults())
	if _, err := o.Append(t.Context(), windowsOf(t, "a", 0, 4)...); !errors.Is(err, ErrFull) {
		t.Fatalf("expected no room for 4, got %v", err)
	}
	seqs := mustAppend(t, o, windowsOf(t, "a", 0, 2)...)
	if _, err := o.Append(t.Context(), windowsOf(t, "a", 2, 1)...); !errors.Is(err, ErrFull) {
		t.Fatalf("expected no room beyond 1,000 bytes, got %v", err)
	}
	if err := o.Acknowledge(seqs[0], 200, false); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, o, windowsOf(t, "a", 2, 1)...)
	if _, err := o.Append(t.Context(), Window{}); !errors.Is(err, ErrContract) {
		t.Fatalf("expected a record to be asked for, got %v", err)
	}
	long := windowsOf(t, "a", 3, 1)
	long[0].Source = strings.Repeat("x", 1<<16)
	if _, err := o.Append(t.Context(), long...); !errors.Is(err, ErrContract) {
		t.Fatalf("expected a long source to be refused, got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.Append(ctx, windowsOf(t, "a", 3, 1)...); !errors.Is(err, context.Canceled) {
		t.Fatalf("expected the cancellation, got %v", err)
	}
	for _, options := range []Options{{RecordsMax: -1}, {SegmentBytesMax: 1}, {SegmentBytesMax: 1<<30 + 1}, {SegmentAgeMax: -1}} {
		if _, err := Open(t.TempDir(), options); !errors.Is(err, ErrContract) {
			t.Errorf("%+v: expected a refusal, got %v", options, err)
		}
	}
}

func TestASecondProcessIsRefusedByNameAndAnotherFolderByWhatItIs(t *testing.T) {
	folder := t.TempDir()
	mustOpen(t, folder)
	_, err := Open(folder, Options{})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), folder) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) {
		t.Fatalf("expected the folder and the process to be named, got %v", err)
	}
	if _, err := Open(filepath.Dir(filepath.Join(folder, folderName)), Options{}); !errors.Is(err, ErrLocked) {
		t.Fatalf("got %v", err)
	}
	server := t.TempDir()
	if err := os.WriteFile(filepath.Join(server, "server.toml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	above := t.TempDir()
	if err := os.MkdirAll(filepath.Join(above, folderName, folderName), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{server, above} {
		if _, err := Open(folder, Options{}); !errors.Is(err, ErrContract) {
			t.Errorf("expected a refusal, got %v", err)
		}
	}
}

// foreign writes frames that an outbox did not.
func foreign(t *testing.T, stream string, metas ...string) string {
	t.Helper()
	folder := t.TempDir()
	s, err := segment.Open(segment.System{}, filepath.Join(folder, folderName), stream, segment.Bounds{SegmentBytesMax: 1 << 20, FrameBytesMax: 1 << 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, meta := range metas {
		if _, err := s.Append([]segment.NewFrame{{ReceivedNS: 1, Meta: []byte(meta)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestFramesOfANewerProgramOrOfNoneAreRefused(t *testing.T) {
	for _, each := range []struct {
		stream, meta string
		want         error
	}{
		{streamName, `{"kind":"window","v":2}`, ErrNewer},
		{streamName, `{"kind":"later","v":1}`, ErrDamaged},
		{streamName, `{"kind":"ack","v":1}`, ErrDamaged},
		{streamName, `{"kind":"ack","seq":-1,"status":200,"replayed":false,"v":1}`, ErrDamaged},
		{streamName, `{"kind":"ack","seq":1,"status":200,"replayed":false}`, ErrDamaged},
		{streamName, `no JSON`, ErrDamaged},
		{streamName, ``, ErrDamaged},
		{"ledger", `{"kind":"ack","seq":1,"status":200,"replayed":false,"v":1}`, ErrDamaged},
	} {
		if _, err := Open(foreign(t, each.stream, each.meta), Options{}); !errors.Is(err, each.want) {
			t.Errorf("%s: expected %v, got %v", each.meta, each.want, err)
		}
	}
}

func TestEveryKindOfFrameIsRead(t *testing.T) {
	folder := foreign(t, streamName,
		`{"kind":"window","source":"s","shard_id":"a","next_epoch":5,"position":{"offset":1,"units":2,"mark":"m","closed_until_ms":3,"read_to":4},"v":1}`,
		`{"kind":"again","letter":1,"shard_id":"a","next_epoch":2,"v":1}`,
		`{"kind":"carried","seq":1,"shard_id":"a","next_epoch":5,"v":1}`,
		`{"kind":"stream","source":"t","shard_id":"b","next_epoch":9,"position":null,"lost_since":2,"v":1}`,
		`{"kind":"ack","seq":2,"status":409,"replayed":false,"v":1}`,
		`{"kind":"totals","kept_from":1,"windows":20,"accepted":10,"escalated":2,"dead":3,"repeats":4,"lost":5,"compactions":6,"v":1}`,
		`{"kind":"skipped","to":1000,"v":1}`,
	)
	o := mustOpen(t, folder)
	if pending := o.Pending(); len(pending) != 1 || pending[0].Seq != 1 {
		t.Fatalf("got %v", pending)
	}
	counts := o.Counts()
	if counts.Windows != 20 || counts.Accepted != 10 || counts.Escalated != 2 || counts.Dead != 3 || counts.Lost != 5 || counts.Compactions != 6 {
		t.Fatalf("got %+v", counts)
	}
	if o.NextEpoch("a", false) != 5 || o.NextEpoch("b", true) != 11 || *o.Position("s", "a").ReadTo != 4 || len(o.Damage()) != 0 {
		t.Fatalf("got %d, %d, %v", o.NextEpoch("a", false), o.NextEpoch("b", true), o.Damage())
	}
	if seqs := mustAppend(t, o, windowsOf(t, "a", 5, 1)...); seqs[0] <= 1000 {
		t.Fatalf("expected a number behind what was passed over, got %d", seqs[0])
	}
}

func TestATornTailGivesNoNumberAgainAndDamageIsTold(t *testing.T) {
	folder := t.TempDir()
	o := mustOpen(t, folder)
	mustAppend(t, o, windowsOf(t, "a", 0, 2)...)
	last := mustAppend(t, o, windowsOf(t, "a", 2, 2)...)[1]
	image := imageOf(t, folder)
	path := lastSegment(t, image)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	torn := slices.Clone(data)
	torn[len(torn)-100] ^= 1 // in a batch that nothing marked
	if err := os.WriteFile(path, torn, 0o600); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, image)
	if got := epochs(t, again); fmt.Sprint(got) != "[a/0 a/1 a/2]" || len(again.Damage()) != 0 {
		t.Fatalf("got %v, %v", got, again.Damage())
	}
	if seqs := mustAppend(t, again, windowsOf(t, "a", 3, 1)...); seqs[0] <= last {
		t.Fatalf("number %d may have been given before", seqs[0])
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	image = imageOf(t, folder)
	path = lastSegment(t, image)
	data[segment.HeaderBytes+segment.BatchBytes+50] ^= 1 // in the first batch, which the second marks
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	again = mustOpen(t, image)
	if got := epochs(t, again); fmt.Sprint(got) != "[a/1 a/2 a/3]" || len(again.Damage()) != 1 || again.Counts().Lost != 1 {
		t.Fatalf("got %v, %v", got, again.Damage())
	}
}
