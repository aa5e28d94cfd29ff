package segment

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sort"
	"syscall"
	"time"
)

const (
	fileMode   = 0o600 // bodies are their senders' alone
	folderMode = 0o700
)

// File is an open file. After a failed write or sync the state of its bytes is
// unknown, and the caller must not go on as if the call had not been made.
type File interface {
	io.ReaderAt
	io.WriterAt
	Size() (int64, error)
	Truncate(size int64) error
	Datasync() error // makes the bytes written so far durable
	Close() error
}

// Storage is the disk as a stream sees it. A new name is durable only after
// its folder's SyncDir.
type Storage interface {
	Create(path string) (File, error) // fails where the name is taken
	Open(path string, isWritable bool) (File, error)
	Rename(from, to string) error
	Remove(path string) error
	Names(folder string) ([]string, error) // sorted
	IsFolder(path string) bool
	Mkdir(path string) error // one that exists is left as it is
	SyncDir(folder string) error
	// Lock holds a file, made where missing, and leaves note in it;
	// errIsHeld where another holds it.
	Lock(path, note string) (io.Closer, error)
	Stamp() (nowNS uint64, id ID)
}

var errIsHeld = errors.New("held by another process")

// System is the operating system's files.
type System struct{}

// Supported tells why no stream can be opened on this system, before anything
// is made there; nil where one can.
func Supported() error {
	if hasLocks {
		return nil
	}
	return errorf(Contract, "stream: expected a system with flock, got %s, which has none: not supported", runtime.GOOS)
}

type systemFile struct{ *os.File }

func (f systemFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f systemFile) Datasync() error { return datasync(f.File) }

// Create implements Storage.
func (System) Create(path string) (File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, err
	}
	return systemFile{file}, nil
}

// Open implements Storage. A symbolic link in a file's place is refused: it leads
// to bytes of somebody else, which recovery would cut.
func (System) Open(path string, isWritable bool) (File, error) {
	flag := os.O_RDONLY | noFollow
	if isWritable {
		flag = os.O_RDWR | noFollow
	}
	file, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, err
	}
	return systemFile{file}, nil
}

// Rename implements Storage.
func (System) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements Storage.
func (System) Remove(path string) error { return os.Remove(path) }

// Names implements Storage.
func (System) Names(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, each := range entries {
		names[i] = each.Name()
	}
	sort.Strings(names)
	return names, nil
}

// IsFolder implements Storage.
func (System) IsFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Mkdir implements Storage.
func (System) Mkdir(path string) error {
	if err := os.Mkdir(path, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// SyncDir implements Storage.
func (System) SyncDir(folder string) error {
	file, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// Lock implements Storage. The lock is the kernel's: it ends with the process,
// and its file is never removed, since two processes could then lock two.
func (System) Lock(path, note string) (io.Closer, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, fileMode)
	if err != nil {
		return nil, err
	}
	if err = flock(file); err == nil {
		if err = file.Truncate(0); err == nil {
			_, err = file.WriteAt([]byte(note), 0)
		}
	}
	if err != nil {
		_ = file.Close() // nothing was written that counts
		return nil, err
	}
	return file, nil
}

// Stamp implements Storage.
func (System) Stamp() (uint64, ID) {
	var id ID
	_, _ = rand.Read(id[:]) // it never fails: it ends the process instead
	return uint64(time.Now().UnixNano()), id
}

// isNoRoom tells a full disk, or a quota, from a failing one.
func isNoRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// readUpTo returns the file's first bytes: size, or fewer where it ends.
func readUpTo(file File, size int64) ([]byte, error) {
	length, err := file.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, min(size, length))
	n, err := file.ReadAt(data, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data[:n], nil
}
