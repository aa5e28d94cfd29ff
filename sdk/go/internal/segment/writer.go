package segment

import (
	"errors"
	"fmt"
	"path/filepath"
)

// writer is the segment that is appended to. It was made whole under a
// temporary name, so that a named segment has a sound header, and no process
// appends to a file that another one, or an earlier opening, wrote.
//
// After an error that is not Full the state of the file is unknown: only close
// may be called then.
type writer struct {
	path     string
	header   Header
	key      key
	file     File
	end      int // everything below is durable
	nextSeq  uint64
	isMarked bool // a batch, a header or a footer carries end
	isSealed bool
	whole    uint32 // checksum of everything below end
}

func (w *writer) hasFrames() bool { return w.nextSeq > w.header.FirstSeq }

// asFile is the segment as its folder is read.
func (w *writer) asFile() file {
	header := w.header
	return file{
		path: w.path, ordinal: header.Ordinal, key: w.key, header: &header,
		size: w.end, end: w.end, next: w.nextSeq,
	}
}

// append writes one batch, makes it durable and returns where each frame is.
func (w *writer) append(frames []NewFrame) ([]int, error) {
	data, offsets := packBatch(w.key, frames, w.nextSeq, w.end)
	for i := range offsets {
		offsets[i] += w.end
	}
	if err := w.write(data); err != nil {
		return nil, err
	}
	w.nextSeq += uint64(len(frames))
	w.isMarked = len(frames) == 0
	return offsets, nil
}

// mark makes it durable that everything up to end is.
func (w *writer) mark() error {
	if w.isMarked {
		return nil
	}
	_, err := w.append(nil)
	return err
}

// seal ends the segment in a footer, which marks as well.
func (w *writer) seal(nowNS uint64) error {
	if w.isSealed {
		return nil
	}
	if err := w.write(packFooter(w.key, w.end, w.whole, w.header.FirstSeq, w.nextSeq, nowNS)); err != nil {
		return err
	}
	w.isSealed, w.isMarked = true, true
	return nil
}

func (w *writer) write(data []byte) error {
	if _, err := w.file.WriteAt(data, int64(w.end)); err != nil {
		if !isNoRoom(err) {
			return err
		}
		// No sync failed, so nothing is in doubt but what this write left:
		// that is taken back.
		if undo := errors.Join(w.file.Truncate(int64(w.end)), w.file.Datasync()); undo != nil {
			return fmt.Errorf("take back a write that found no room: %s", undo.Error())
		}
		return noRoom(w.header.Stream, len(data), err)
	}
	if err := w.file.Datasync(); err != nil {
		// Never a full disk that nothing is in doubt on: pages may be dropped.
		return inDoubt(err)
	}
	w.end += len(data)
	w.whole = sum(w.whole, data)
	return nil
}

func noRoom(stream string, size int, err error) *Error {
	failure := errorf(Full, "stream %s: expected room for %d bytes, got a full disk", stream, size)
	failure.Err = err
	return failure
}

// inDoubt is a failed sync, whatever the system said of it.
func inDoubt(err error) error {
	return &Error{Kind: Disk, Err: err, Message: "sync: expected a working disk, got " + spoken(err)}
}

// createSegment makes a segment that holds these frames, durable and named.
func createSegment(disk Storage, folder string, header Header, copied []NewFrame) (*writer, error) {
	path := filepath.Join(folder, segmentName(header.Ordinal, header.ID))
	k := keyOf(header.ID)
	data := packHeader(header)
	nextSeq := header.FirstSeq + uint64(len(copied))
	if len(copied) > 0 {
		batch, _ := packBatch(k, copied, header.FirstSeq, HeaderBytes)
		// Nobody sees this mark before it is true: the name comes after the sync.
		mark, _ := packBatch(k, nil, nextSeq, HeaderBytes+len(batch))
		data = append(append(data, batch...), mark...)
	}
	opened, err := createWhole(disk, path+newSuffix, data, header.Stream)
	if err != nil {
		return nil, err
	}
	if err = disk.Rename(path+newSuffix, path); err == nil {
		err = disk.SyncDir(folder)
	}
	if err != nil {
		_ = opened.Close() // nothing in it counts
		return nil, inDoubt(err)
	}
	return &writer{
		path: path, header: header, key: k, file: opened, end: len(data),
		nextSeq: nextSeq, isMarked: true, whole: sum(0, data),
	}, nil
}

// createWhole makes a file that holds these bytes, durable but for its name.
// Where there is no room for it, it is removed: nothing is in doubt.
func createWhole(disk Storage, path string, data []byte, stream string) (File, error) {
	opened, err := disk.Create(path)
	if err == nil {
		if _, err = opened.WriteAt(data, 0); err == nil {
			err = opened.Datasync()
		}
		if err == nil {
			return opened, nil
		}
		_ = opened.Close() // it has no name yet
	}
	if !isNoRoom(err) {
		return nil, err
	}
	_ = disk.Remove(path) // recovery removes it otherwise
	failure := errorf(Full, "stream %s: expected room for a fresh segment of %d bytes, got %s", stream, len(data), spoken(err))
	failure.Err = err
	return nil, failure
}
