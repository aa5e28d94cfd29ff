package segment

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"
)

// memoryDisk is a disk that may fail at any call and lose what was not synced.
// A failed sync drops the pages: what was written reads well, and no later
// sync writes it.
type memoryDisk struct {
	names, durableNames map[string]*node // by path
	locked              map[string]bool
	rng                 *rand.Rand
	calls               int
	aged                uint64 // what passed since it was made, in ns
	failAt              int    // the number of the call that fails; 0: none
	failWith            error  // what it says
	isDone              bool   // the failing call takes effect all the same
	endsAt              bool   // the failing call is the last one
	isDead              bool   // every call fails from then on: the process ended
}

type node struct {
	data, durable []byte
	pending       []write
}

type write struct {
	offset int // -1: cut to the length of data
	data   []byte
}

func newMemoryDisk(seed uint64) *memoryDisk {
	return &memoryDisk{
		names: map[string]*node{}, durableNames: map[string]*node{}, locked: map[string]bool{},
		rng: rand.New(rand.NewPCG(seed, 0)),
	}
}

// call counts one call; do is its effect.
func (d *memoryDisk) call(do func() error) error {
	if d.isDead {
		return syscall.EIO
	}
	d.calls++
	if d.calls != d.failAt {
		return do()
	}
	if d.isDone {
		_ = do()
	}
	d.isDead = d.endsAt
	return d.failWith
}

// cutPower keeps what was synced, and of the rest what chance keeps.
func (d *memoryDisk) cutPower() {
	names := maps.Clone(d.durableNames)
	for path, each := range d.names {
		if names[path] != each && d.rng.IntN(2) == 0 {
			names[path] = each
		}
	}
	for path := range d.durableNames {
		if d.names[path] == nil && d.rng.IntN(2) == 0 {
			delete(names, path)
		}
	}
	for _, each := range names {
		kept := each.pending[:d.rng.IntN(len(each.pending)+1)]
		for _, one := range kept {
			each.durable = apply(each.durable, one)
		}
		if len(kept) < len(each.pending) && each.pending[len(kept)].offset >= 0 {
			torn := each.pending[len(kept)]
			torn.data = torn.data[:d.rng.IntN(len(torn.data)+1)]
			each.durable = apply(each.durable, torn)
		}
		each.data, each.pending = bytes.Clone(each.durable), nil
	}
	d.names, d.durableNames = names, maps.Clone(names)
	d.endProcess()
}

// endProcess lets go what the process held, and ends the fault.
func (d *memoryDisk) endProcess() {
	d.locked, d.failAt, d.calls, d.isDead, d.endsAt = map[string]bool{}, 0, 0, false, false
}

func apply(data []byte, one write) []byte {
	if one.offset < 0 {
		return append(bytes.Clone(data), make([]byte, max(0, len(one.data)-len(data)))...)[:len(one.data)]
	}
	if len(one.data) == 0 {
		return data
	}
	grown := append(bytes.Clone(data), make([]byte, max(0, one.offset+len(one.data)-len(data)))...)
	copy(grown[one.offset:], one.data)
	return grown
}

func (d *memoryDisk) Create(path string) (File, error) {
	err := d.call(func() error {
		if d.names[path] != nil {
			return fs.ErrExist
		}
		d.names[path] = &node{}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &memoryFile{d, d.names[path]}, nil
}

func (d *memoryDisk) Open(path string, _ bool) (File, error) {
	if err := d.call(func() error { return nil }); err != nil {
		return nil, err
	}
	if d.names[path] == nil {
		return nil, fs.ErrNotExist
	}
	return &memoryFile{d, d.names[path]}, nil
}

func (d *memoryDisk) Rename(from, to string) error {
	return d.call(func() error {
		d.names[to] = d.names[from]
		delete(d.names, from)
		return nil
	})
}

func (d *memoryDisk) Remove(path string) error {
	return d.call(func() error { delete(d.names, path); return nil })
}

func (d *memoryDisk) Names(folder string) ([]string, error) {
	var names []string
	err := d.call(func() error { return nil })
	for path := range d.names {
		if filepath.Dir(path) == folder {
			names = append(names, filepath.Base(path))
		}
	}
	slices.Sort(names)
	return names, err
}

func (d *memoryDisk) IsFolder(string) bool { return true }

func (d *memoryDisk) Mkdir(string) error { return d.call(func() error { return nil }) }

func (d *memoryDisk) SyncDir(folder string) error {
	return d.call(func() error {
		for path := range d.durableNames {
			if filepath.Dir(path) == folder && d.names[path] == nil {
				delete(d.durableNames, path)
			}
		}
		for path, each := range d.names {
			if filepath.Dir(path) == folder {
				d.durableNames[path] = each
			}
		}
		return nil
	})
}

func (d *memoryDisk) Lock(path, note string) (io.Closer, error) {
	if d.locked[path] {
		return nil, errIsHeld
	}
	err := d.call(func() error { d.locked[path] = true; return nil })
	return closer(func() { delete(d.locked, path) }), err
}

func (d *memoryDisk) Stamp() (uint64, ID) {
	var id ID
	for i := range id {
		id[i] = byte(d.rng.Uint32())
	}
	return 1_800_000_000_000_000_000 + d.aged, id
}

type closer func()

func (c closer) Close() error { c(); return nil }

type memoryFile struct {
	disk *memoryDisk
	node *node
}

func (f *memoryFile) ReadAt(data []byte, offset int64) (int, error) {
	if err := f.disk.call(func() error { return nil }); err != nil {
		return 0, err
	}
	return bytes.NewReader(f.node.data).ReadAt(data, offset)
}

func (f *memoryFile) WriteAt(data []byte, offset int64) (int, error) {
	err := f.disk.call(func() error { f.put(write{int(offset), bytes.Clone(data)}); return nil })
	if err != nil {
		part := write{int(offset), bytes.Clone(data[:f.disk.rng.IntN(len(data)+1)])}
		f.put(part) // whatever a write says, a part may be there
		return 0, err
	}
	return len(data), nil
}

func (f *memoryFile) put(one write) {
	f.node.pending = append(f.node.pending, one)
	f.node.data = apply(f.node.data, one)
}

func (f *memoryFile) Size() (int64, error) {
	return int64(len(f.node.data)), f.disk.call(func() error { return nil })
}

func (f *memoryFile) Truncate(size int64) error {
	return f.disk.call(func() error { f.put(write{-1, make([]byte, size)}); return nil })
}

func (f *memoryFile) Datasync() error {
	isDone := false
	err := f.disk.call(func() error {
		for _, one := range f.node.pending {
			f.node.durable = apply(f.node.durable, one)
		}
		f.node.pending, isDone = nil, true
		return nil
	})
	if err != nil && !isDone {
		f.node.pending = nil
	}
	return err
}

func (f *memoryFile) Close() error { return f.disk.call(func() error { return nil }) }

func (d *memoryDisk) String() string { return fmt.Sprintf("%d calls", d.calls) }
