package segment

import (
	"fmt"
	"iter"
	"math"
)

// Position is where a frame stands: the ordinal of its segment and the offset
// in bytes. It holds until the stream is opened or reopened: the frames that
// recovery copied stand elsewhere afterwards.
type Position struct {
	Segment uint64
	Offset  int
}

// Placed is where an appended frame went.
type Placed struct {
	Seq      uint64
	Position Position
}

// Damage is bytes of a stream that are not what was written, or are not there.
// FirstSeq to LastSeq are the frames lost in it; 0 where none is, or where
// nothing tells which. IsLoss is false for what was never acknowledged.
type Damage struct {
	Segment           string
	Offset, Length    int
	FirstSeq, LastSeq uint64
	What              string
	IsLoss            bool
}

// String returns it for a person: where, how much, what, and which frames.
func (d Damage) String() string {
	where := fmt.Sprintf("%s at %d, %d bytes: %s", d.Segment, d.Offset, d.Length, d.What)
	if d.FirstSeq == unknown && d.LastSeq == unknown {
		return where
	}
	named := func(seq uint64) string {
		if seq == unknown {
			return "?"
		}
		return fmt.Sprint(seq)
	}
	return fmt.Sprintf("%s; frames %s to %s lost", where, named(d.FirstSeq), named(d.LastSeq))
}

// Scanned is a frame and where it stands, or a damage.
type Scanned struct {
	Position Position
	Frame    Frame
	Damage   *Damage
}

func (s Scanned) lastSeq() uint64 {
	if s.Damage != nil {
		return s.Damage.LastSeq
	}
	return s.Frame.Seq
}

// scanFiles yields the frames and the damage of all segments, one of which is
// in memory at a time. Of one whose end no header tells, the last one above
// all, what recovery would keep is given. A frame is given once, even while a
// crash has left it both in an old segment and, copied, in the next.
func scanFiles(disk Storage, all listing) iter.Seq2[Scanned, error] {
	return scanRange(disk, all, 0, len(all.files))
}

func scanRange(disk Storage, all listing, start, stop int) iter.Seq2[Scanned, error] {
	return func(yield func(Scanned, error) bool) {
		expected := unknown
		if start == 0 {
			expected = all.keptFrom
		}
		for i := start; i < stop; i++ {
			each := all.files[i]
			var before *file
			if i > 0 {
				before = &all.files[i-1]
			}
			expected = behindPassedOver(each, expected)
			found, err := scanFile(disk, each, before, expected)
			if err != nil {
				yield(Scanned{}, err)
				return
			}
			for _, one := range found {
				if last := one.lastSeq(); last != unknown {
					expected = last + 1
				}
				if !yield(one, nil) {
					return
				}
			}
			if each.next != unknown {
				expected = each.next
			}
		}
	}
}

// readWhole returns a segment's bytes, up to its end where that is known.
func readWhole(disk Storage, each file) ([]byte, error) {
	opened, err := disk.Open(each.path, false)
	if err != nil {
		return nil, DiskError("segment "+each.name(), err)
	}
	defer opened.Close() //nolint:errcheck // only read
	size := int64(math.MaxInt64)
	if each.end >= 0 {
		size = int64(each.end)
	}
	if length, err := opened.Size(); err != nil {
		return nil, DiskError("segment "+each.name(), err)
	} else if min(size, length) > segmentFileLimit {
		return nil, errorf(Damaged, "segment %s: expected at most %d bytes, got %d", each.name(), segmentFileLimit, min(size, length))
	}
	data, err := readUpTo(opened, size)
	return data, DiskError("segment "+each.name(), err)
}

// firstSeqOf is the number of a segment's first frame; its first batch tells
// when its header does not.
func firstSeqOf(each file, data []byte, expected uint64) uint64 {
	if each.header != nil {
		return each.header.FirstSeq
	}
	if batch, isSound := batchAt(data, HeaderBytes, len(data), each.key); isSound {
		return batch.first
	}
	return expected
}

func headerDamage(each file) *Damage {
	if each.header != nil {
		return nil
	}
	return &Damage{Segment: each.name(), Length: min(HeaderBytes, each.size), What: "segment header does not verify", IsLoss: true}
}

func gapDamage(each file, gap item) *Damage {
	last := gap.next
	if last != unknown {
		last--
	}
	return &Damage{
		Segment: each.name(), Offset: gap.offset, Length: gap.end - gap.offset,
		FirstSeq: gap.first, LastSeq: last, What: gap.what, IsLoss: true,
	}
}

// missingBefore is the loss of whole segments between two that should follow
// each other; nil where there is none.
func missingBefore(each file, before *file, expected uint64) *Damage {
	var beforeID ID
	ordinal := uint64(1)
	if before != nil {
		beforeID, ordinal = before.key.id, before.ordinal+1
	}
	header := each.header
	if header == nil || header.PreviousID == beforeID || expected == unknown || expected >= header.PassedFrom {
		return nil
	}
	return &Damage{
		Segment: fmt.Sprintf("%010d", ordinal), FirstSeq: expected, LastSeq: header.PassedFrom - 1,
		What: "segments are missing", IsLoss: true,
	}
}

// behindPassedOver is the number that comes next, where a segment's header
// passes over the one expected.
func behindPassedOver(each file, expected uint64) uint64 {
	if each.header == nil || expected == unknown || expected < each.header.PassedFrom {
		return expected
	}
	return max(expected, each.header.FirstSeq)
}

func scanFile(disk Storage, each file, before *file, expected uint64) ([]Scanned, error) {
	var found []Scanned
	if missing := missingBefore(each, before, expected); missing != nil {
		found = append(found, Scanned{Damage: missing})
		expected = unknown
	}
	if damage := headerDamage(each); damage != nil {
		found = append(found, Scanned{Damage: damage})
	}
	data, err := readWhole(disk, each)
	if err != nil {
		return nil, err
	}
	firstSeq := firstSeqOf(each, data, expected)
	tornAt := len(data)
	var items []item
	if each.end < 0 {
		last := examine(data, each.key, firstSeq)
		items, tornAt = last.kept, last.tornAt
	} else {
		items = walk(data, each.key, each.end, firstSeq, each.next)
	}
	if expected == unknown {
		expected = firstSeq
	}
	for _, one := range items {
		switch {
		case one.kind == isGap:
			damage := gapDamage(each, one)
			found = append(found, Scanned{Damage: damage})
			if damage.LastSeq != unknown {
				expected = damage.LastSeq + 1
			}
		case one.kind == isFrame && one.first >= expected:
			if expected != unknown && one.first > expected {
				found = append(found, Scanned{Damage: &Damage{
					Segment: each.name(), Offset: one.offset, FirstSeq: expected, LastSeq: one.first - 1,
					What: "bytes are missing", IsLoss: true,
				}})
			}
			found = append(found, Scanned{Position: Position{each.ordinal, one.offset}, Frame: frameOf(data, one)})
			expected = one.next
		}
	}
	if tornAt < len(data) {
		found = append(found, Scanned{Damage: &Damage{
			Segment: each.name(), Offset: tornAt, Length: len(data) - tornAt, What: "torn tail",
		}})
	}
	return found, nil
}
