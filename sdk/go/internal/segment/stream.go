package segment

import (
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"sync"
	"time"
)

// Bounds of one stream.
type Bounds struct {
	SegmentBytesMax int           // a segment is closed before it grows beyond this; at most 1 GiB
	FrameBytesMax   int           // the longest frame, with its meta block and what frames it
	SegmentAgeMax   time.Duration // one with frames is closed before an append when it is older; 0: never
}

const (
	segmentBytesLimit = 1 << 30
	// No file of a stream is longer: recovery adds a mark to what it copies. What
	// is, holds something else, and would not fit into memory.
	segmentFileLimit = segmentBytesLimit + 1<<20
)

// around is what a segment takes beside its first batch's frames: its header,
// that batch's, a mark and a footer.
const around = HeaderBytes + 2*BatchBytes + FooterBytes

func (b Bounds) check(stream string) error {
	if len(stream) < 1 || len(stream) > NameBytesMax {
		return errorf(Contract, "stream: expected a name of 1 to %d bytes, got %d", NameBytesMax, len(stream))
	}
	if low := around + b.FrameBytesMax; b.SegmentBytesMax < low || b.SegmentBytesMax > segmentBytesLimit {
		return errorf(Contract, "stream %s: expected segments of %d to %d bytes, got %d", stream, low, segmentBytesLimit, b.SegmentBytesMax)
	}
	return nil
}

func (b Bounds) checkFrames(stream string, frames []NewFrame) (int, error) {
	size := BatchBytes
	for _, each := range frames {
		if each.Size() > b.FrameBytesMax || len(each.Meta) > MetaBytesMax {
			return 0, errorf(Contract, "stream %s: expected a frame of at most %d bytes with a meta block of at most %d, got %d with %d",
				stream, b.FrameBytesMax, MetaBytesMax, each.Size(), len(each.Meta))
		}
		size += each.Size()
	}
	if most := b.SegmentBytesMax - around + BatchBytes; size > most {
		return 0, errorf(Contract, "stream %s: expected a batch of at most %d bytes, got %d", stream, most, size)
	}
	return size, nil
}

// Stream is a stream, held by this process until Close. What Append returned
// is durable. Any failure of the disk fences it: the state of what was being
// written is unknown, so nothing more is written before Reopen has recovered
// it on fresh files.
//
// Read may be called by any goroutine, everything else by one at a time.
type Stream struct {
	name   string
	disk   Storage
	folder string
	bounds Bounds
	lock   io.Closer

	state    Kind // 0: open; Fenced; Closed
	active   *writer
	recovery Recovery
	damaged  map[string]bool

	mutex sync.RWMutex // of what Read looks at
	older []file
}

// Open locks a stream's folder, made when missing, recovers it and opens a
// fresh segment.
func Open(disk Storage, folder, name string, bounds Bounds) (*Stream, error) {
	if err := bounds.check(name); err != nil {
		return nil, err
	}
	where := "stream " + name
	if err := makeFolder(disk, folder); err != nil {
		return nil, DiskError(where, err)
	}
	lock, err := lockFolder(disk, folder, where)
	if err != nil {
		return nil, err
	}
	s := &Stream{name: name, disk: disk, folder: folder, bounds: bounds, lock: lock, damaged: map[string]bool{}}
	found, err := recoverFolder(disk, folder, name)
	if err != nil {
		_ = lock.Close() // the kernel lets go in any case
		return nil, DiskError(where, err)
	}
	s.take(found)
	return s, nil
}

func (s *Stream) take(found recovered) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.older, s.active, s.recovery, s.state = found.older, found.active, found.recovery, 0
	for _, each := range found.recovery.Damage {
		s.damaged[each.Segment] = true
	}
}

// Recovery is what the last opening or reopening found.
func (s *Stream) Recovery() Recovery { return s.recovery }

// NextSeq is the number of the frame to be appended next.
func (s *Stream) NextSeq() uint64 { return s.active.nextSeq }

// KeptFrom is the bound that the last retention set: what is before it is not missed.
func (s *Stream) KeptFrom() uint64 { return s.active.header.KeptFrom }

// IsFenced tells whether a failure keeps the stream from writing until Reopen.
func (s *Stream) IsFenced() bool { return s.state == Fenced }

// Append writes frames as one batch, with one sync, and returns where each
// went once all are durable. An error of kind Full or Contract wrote nothing;
// any other fences the stream, and any first part of the batch may survive.
func (s *Stream) Append(frames []NewFrame) ([]Placed, error) {
	if len(frames) == 0 {
		return nil, nil
	}
	size, err := s.bounds.checkFrames(s.name, frames)
	if err != nil {
		return nil, err
	}
	if s.NextSeq() > math.MaxUint64-uint64(len(frames)) {
		return nil, errorf(Contract, "stream %s: expected numbers that are left to give, got none", s.name)
	}
	placed := make([]Placed, len(frames))
	err = s.writing(func() error {
		if err := s.rotateFor(size); err != nil {
			return err
		}
		first := s.active.nextSeq
		offsets, err := s.active.append(frames)
		for i, offset := range offsets {
			placed[i] = Placed{first + uint64(i), Position{s.active.header.Ordinal, offset}}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return placed, nil
}

// Mark makes it durable that what was appended is, unless that stands on disk
// already: damage to a marked batch is told from a torn tail.
func (s *Stream) Mark() error { return s.writing(func() error { return s.active.mark() }) }

// SkipTo goes on with a later number, so that none of those before it is given
// again. Where they may have been given they are reported as missing by every
// scan; else they are passed over, and nobody misses them.
func (s *Stream) SkipTo(seq uint64, wereGiven bool) error {
	if seq <= s.NextSeq() {
		return nil
	}
	return s.writing(func() error { return s.rotate(seq, 0, !wereGiven) })
}

// RetainFrom removes the segments that hold only frames before seq; those are
// never given again. The frame cursor, which has been appended and is kept
// itself, says so durably. Segments known as damaged are kept as NAME.bad.
func (s *Stream) RetainFrom(seq, cursor uint64) error {
	if cursor < seq || cursor >= s.NextSeq() {
		return errorf(Contract, "stream %s: expected a cursor that was appended, from %d to %d, got %d", s.name, seq, s.NextSeq()-1, cursor)
	}
	files := append(slices.Clone(s.older), s.active.asFile())
	count := len(files) - 1
	// The bound is where a segment begins whose header is sound.
	for count > 0 && (files[count].header == nil || files[count].header.FirstSeq > seq) {
		count--
	}
	if count == 0 {
		return nil
	}
	removed := slices.Clone(s.older[:count])
	return s.writing(func() error {
		if err := s.rotate(0, files[count].header.FirstSeq, false); err != nil {
			return err
		}
		s.mutex.Lock()
		s.older = slices.Clone(s.older[count:])
		s.mutex.Unlock()
		for _, each := range removed {
			var err error
			if s.damaged[each.name()] {
				err = s.disk.Rename(each.path, each.path+badSuffix)
			} else {
				err = s.disk.Remove(each.path)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Read returns the frame at a position, or an error of kind Damaged where what
// stands there does not verify.
func (s *Stream) Read(at Position) (Frame, error) {
	where := fmt.Sprintf("stream %s, segment %d, offset %d", s.name, at.Segment, at.Offset)
	s.mutex.RLock()
	each, isFound := s.fileOf(at.Segment)
	s.mutex.RUnlock()
	if !isFound || at.Offset < HeaderBytes {
		return Frame{}, errorf(Damaged, "%s: expected a frame, got no such segment", where)
	}
	frame, err := readFrame(s.disk, each, at.Offset, where)
	return frame, DiskError(where, err)
}

func (s *Stream) fileOf(ordinal uint64) (file, bool) {
	if s.active.header.Ordinal == ordinal {
		return file{path: s.active.path, ordinal: ordinal, key: s.active.key}, true
	}
	i := slices.IndexFunc(s.older, func(each file) bool { return each.ordinal == ordinal })
	if i < 0 {
		return file{}, false
	}
	return s.older[i], true
}

// Scan yields every durable frame with its position, and damage, in order; one
// segment at a time is in memory.
func (s *Stream) Scan() iter.Seq2[Scanned, error] {
	all := listing{files: append(slices.Clone(s.older), s.active.asFile()), keptFrom: s.KeptFrom()}
	return func(yield func(Scanned, error) bool) {
		for each, err := range scanFiles(s.disk, all) {
			if each.Damage != nil {
				s.damaged[each.Damage.Segment] = true
			}
			if !yield(each, err) {
				return
			}
		}
	}
}

// Reopen recovers the stream on fresh files after a failure, as Open does. The
// frames that were copied have new positions.
func (s *Stream) Reopen() error {
	if s.state == Closed {
		return errorf(Closed, "stream %s: expected an open stream, got a closed one", s.name)
	}
	s.state = Fenced
	_ = s.active.file.Close() // its state is unknown whatever this says
	names, err := s.disk.Names(s.folder)
	if err != nil {
		return DiskError("stream "+s.name, err)
	}
	if !slices.ContainsFunc(names, segmentNames.MatchString) {
		return errorf(Damaged, "stream %s: expected its segments, got none", s.name)
	}
	found, err := recoverFolder(s.disk, s.folder, s.name)
	if err != nil {
		return DiskError("stream "+s.name, err)
	}
	s.take(found)
	return nil
}

// Close ends the segment, where it holds a frame, in a footer and an empty one
// behind it, and lets the stream go whatever the disk says. Idempotent.
func (s *Stream) Close() error {
	if s.state == Closed {
		return nil
	}
	var err error
	if s.state == 0 && s.active.hasFrames() {
		err = s.writing(func() error { return s.rotate(0, 0, false) })
		if known, isKnown := err.(*Error); isKnown && known.Kind == Full {
			err = nil // every frame is durable, and opening makes a segment
		}
	}
	s.state = Closed
	for _, closer := range []io.Closer{s.active.file, s.lock} {
		if closeErr := closer.Close(); err == nil {
			err = DiskError("stream "+s.name, closeErr)
		}
	}
	return err
}

// writing fences the stream unless what is done succeeds or left nothing in doubt.
func (s *Stream) writing(do func() error) error {
	switch s.state {
	case Fenced:
		return errorf(Fenced, "stream %s: expected an open stream, got a fenced one", s.name)
	case Closed:
		return errorf(Closed, "stream %s: expected an open stream, got a closed one", s.name)
	}
	err := do()
	if err == nil {
		return nil
	}
	if known, isKnown := err.(*Error); isKnown && known.Kind == Full {
		return err
	}
	s.state = Fenced
	if known, isKnown := err.(*Error); isKnown {
		return known
	}
	return &Error{Kind: Disk, Err: err, Message: "stream " + s.name + ": expected a working disk, got " + spoken(err)}
}

// rotateFor makes room for a batch, a mark behind it and the footer.
func (s *Stream) rotateFor(size int) error {
	end := s.active.end + size + BatchBytes + FooterBytes
	isFull := s.active.hasFrames() && end > s.bounds.SegmentBytesMax
	if isFull || s.active.isSealed || s.isAged() {
		return s.rotate(0, 0, false)
	}
	return nil
}

func (s *Stream) isAged() bool {
	if s.bounds.SegmentAgeMax <= 0 || !s.active.hasFrames() {
		return false
	}
	nowNS, _ := s.disk.Stamp()
	made := s.active.header.CreatedNS
	return nowNS > made && nowNS-made > uint64(s.bounds.SegmentAgeMax)
}

func (s *Stream) rotate(firstSeq, keptFrom uint64, isPassedOver bool) error {
	old := s.active
	createdNS, id := s.disk.Stamp()
	if err := old.seal(createdNS); err != nil {
		return err
	}
	header := Header{
		Stream: s.name, Ordinal: old.header.Ordinal + 1, ID: id, FirstSeq: max(firstSeq, old.nextSeq),
		PreviousID: old.header.ID, PreviousEnd: uint64(old.end), CreatedNS: createdNS,
		KeptFrom: max(s.KeptFrom(), keptFrom),
	}
	header.PassedFrom = header.FirstSeq
	if isPassedOver {
		header.PassedFrom = old.nextSeq
	}
	active, err := createSegment(s.disk, s.folder, header, nil)
	if err != nil {
		return err
	}
	ended := old.asFile()
	ended.next = header.PassedFrom
	s.mutex.Lock()
	s.older, s.active = append(slices.Clone(s.older), ended), active
	s.mutex.Unlock()
	return old.file.Close()
}

// readFrame reads one frame by itself.
func readFrame(disk Storage, each file, offset int, where string) (Frame, error) {
	opened, err := disk.Open(each.path, false)
	if err != nil {
		return Frame{}, err
	}
	defer opened.Close() //nolint:errcheck // only read
	size, err := opened.Size()
	if err != nil {
		return Frame{}, err
	}
	damaged := errorf(Damaged, "%s: expected a frame, got bytes that do not verify", where)
	if int64(offset)+FrameBytes > size {
		return Frame{}, damaged
	}
	head := make([]byte, FrameBytes)
	if _, err := opened.ReadAt(head, int64(offset)); err != nil {
		return Frame{}, err
	}
	length := claimedSize(head, 0)
	if int64(offset)+int64(length) > size || length < FrameBytes {
		return Frame{}, damaged
	}
	data := make([]byte, length)
	if _, err := opened.ReadAt(data, int64(offset)); err != nil {
		return Frame{}, err
	}
	found, isSound := frameAt(data, 0, len(data), each.key)
	if !isSound {
		return Frame{}, damaged
	}
	return frameOf(data, found), nil
}
