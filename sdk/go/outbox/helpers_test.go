package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"fractallba/internal/segment"
	"fractallba/pcs"
	"fractallba/signals"
)

var summarised = sync.OnceValue(func() pcs.Members {
	window, err := signals.OfBytes([]byte("the same line, again and again. the same line, again and again."), signals.DefaultSeed, signals.DefaultScales())
	if err != nil {
		panic(err)
	}
	members := pcs.Members{CreatedAt: "2026-11-21T06:00:00.123Z"}
	window.Fill(&members)
	return members
})

// recordOf signs the record of one epoch of a stream.
func recordOf(t testing.TB, shardID string, epoch int) *pcs.Record {
	t.Helper()
	key, err := pcs.NewHMACKey("lab-1", bytes.Repeat([]byte{0xaa}, 32))
	if err != nil {
		t.Fatal(err)
	}
	members := summarised()
	members.ShardID, members.Epoch = shardID, int64(epoch)
	record, err := pcs.Sign(&members, key)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func windowsOf(t testing.TB, shardID string, first, count int) []Window {
	windows := make([]Window, count)
	for i := range windows {
		windows[i] = Window{
			Source: "api:" + shardID, Record: recordOf(t, shardID, first+i),
			Position: &Position{Offset: uint64(first + i), Units: 1, Mark: "ab"},
		}
	}
	return windows
}

func mustOpen(t testing.TB, folder string) *Outbox {
	t.Helper()
	return mustOpenOn(t, segment.System{}, folder, Options{}.withDefaults())
}

func mustOpenOn(t testing.TB, disk segment.Storage, folder string, options Options) *Outbox {
	t.Helper()
	o, err := open(disk, folder, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	return o
}

func mustAppend(t testing.TB, o *Outbox, windows ...Window) []uint64 {
	t.Helper()
	seqs, err := o.Append(t.Context(), windows...)
	if err != nil {
		t.Fatal(err)
	}
	return seqs
}

// epochs returns what waits, read back from disk: stream and epoch, in order.
func epochs(t testing.TB, o *Outbox) []string {
	t.Helper()
	var found []string
	for _, each := range o.Pending() {
		record, err := o.Record(each.Seq)
		if err != nil {
			t.Fatal(err)
		}
		members := record.Members()
		if members.ShardID != each.ShardID {
			t.Fatalf("window %d: expected stream %s, got %s", each.Seq, each.ShardID, members.ShardID)
		}
		found = append(found, fmt.Sprintf("%s/%d", members.ShardID, members.Epoch))
	}
	return found
}

// imageOf copies a folder as a process that ends now would leave it.
func imageOf(t testing.TB, folder string) string {
	t.Helper()
	image := t.TempDir()
	if err := os.CopyFS(image, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	return image
}

// brokenDisk is the real disk, whose writes and syncs a test decides on.
type brokenDisk struct {
	segment.System
	mutex   sync.Mutex
	onWrite func(data []byte) error
	onSync  func() error
	before  func() // every call that changes something
	isFast  bool   // syncs do nothing
}

func (d *brokenDisk) set(change func()) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	change()
}

func (d *brokenDisk) ask() (func([]byte) error, func() error, func()) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.onWrite, d.onSync, d.before
}

func (d *brokenDisk) changes() {
	if _, _, before := d.ask(); before != nil {
		before()
	}
}

func (d *brokenDisk) Create(path string) (segment.File, error) {
	d.changes()
	file, err := d.System.Create(path)
	return &brokenFile{file, d}, err
}

func (d *brokenDisk) Open(path string, isWritable bool) (segment.File, error) {
	file, err := d.System.Open(path, isWritable)
	return &brokenFile{file, d}, err
}

func (d *brokenDisk) Rename(from, to string) error {
	d.changes()
	return d.System.Rename(from, to)
}

func (d *brokenDisk) Remove(path string) error {
	d.changes()
	return d.System.Remove(path)
}

func (d *brokenDisk) SyncDir(folder string) error {
	if d.isFast {
		return nil
	}
	return d.System.SyncDir(folder)
}

func (d *brokenDisk) Lock(path, note string) (io.Closer, error) { return d.System.Lock(path, note) }

type brokenFile struct {
	segment.File
	disk *brokenDisk
}

func (f *brokenFile) WriteAt(data []byte, offset int64) (int, error) {
	f.disk.changes()
	if onWrite, _, _ := f.disk.ask(); onWrite != nil {
		if err := onWrite(data); err != nil {
			return 0, err
		}
	}
	return f.File.WriteAt(data, offset)
}

func (f *brokenFile) Datasync() error {
	if _, onSync, _ := f.disk.ask(); onSync != nil {
		if err := onSync(); err != nil {
			return err
		}
	}
	if f.disk.isFast {
		return nil
	}
	return f.File.Datasync()
}

// lastSegment is the path of the segment that holds the last frames.
func lastSegment(t testing.TB, folder string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, folderName, "*.seg"))
	if err != nil || len(names) == 0 {
		t.Fatal(errors.Join(err, errors.New("no segment")))
	}
	return names[len(names)-1]
}

// brokenDiskOf is the real disk without its syncs, which tests of many windows
// need not wait for.
func brokenDiskOf(before func()) *brokenDisk { return &brokenDisk{before: before, isFast: true} }

// await returns when a condition that the committer brings about holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for ends := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(ends) {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}
