package segment

import (
	"bytes"
	"math"
)

const (
	// A search sums at most this many times the bytes it searches. Only who
	// knows the segment's id can place more than a few false starts.
	searchFactor     = 8
	searchFloorBytes = 1 << 16
	// Numbers that differ only in their lowest bits share the bytes that are
	// searched for.
	blockBits = 16
)

type itemKind uint8

const (
	isBatch itemKind = iota
	isFooter
	isFrame
	isGap
)

// item is one thing that a walk met: a sound batch header, footer or frame, or
// a gap. first and next bound its numbers; of a gap those that are lost in it,
// both unknown where none is, next unknown where nothing tells.
type item struct {
	kind        itemKind
	offset, end int
	first, next uint64
	frames      int
	durable     int // of a batch: what was known durable when it was written
	what        string
}

// region is bytes in which frames should stand: expected is the first number
// it may hold (unknown: it cannot be searched), until the first one beyond it.
type region struct {
	offset, stop    int
	expected, until uint64
}

// walker goes through a segment past damage, in time linear in its length.
// Where bytes do not verify it goes on at the next batch header or frame that
// does: batch headers are found by their magic, frames by the numbers that are
// still missing, as they are stored (masked by the id, so that no payload can
// hold them).
type walker struct {
	data  []byte
	key   key
	items []item
}

// walk returns what a segment holds between its header and end, in the order
// of offsets. end beyond the data means that bytes are missing; firstSeq is
// unknown where the header is damaged and nothing else tells; nextSeq is of
// the first frame behind end, where that is known.
func walk(data []byte, k key, end int, firstSeq, nextSeq uint64) []item {
	w := walker{data: data, key: k}
	stop := min(end, len(data))
	whole := region{offset: HeaderBytes, stop: stop, expected: firstSeq, until: nextSeq}
	// Nothing follows a footer: it stands at the end or nowhere.
	footer, isSealed := footerAt(data, stop-FooterBytes, stop, k)
	if isSealed {
		whole.stop, whole.until = footer.offset, footer.next
	}
	expected := w.batches(whole)
	if isSealed {
		if expected != unknown && expected < footer.next {
			w.missing(footer.offset, footer.offset, expected, footer.next)
		}
		w.items = append(w.items, footer)
		expected = footer.next
	}
	isShort := nextSeq != unknown && (expected == unknown || expected < nextSeq)
	if isShort || end > stop {
		w.missing(stop, end, expected, nextSeq)
	}
	return w.items
}

// batches walks through a region's batches and what is in them, and returns
// the number that follows.
func (w *walker) batches(r region) uint64 {
	offset, expected := r.offset, r.expected
	for offset < r.stop {
		batch, isSound := batchAt(w.data, offset, r.stop, w.key)
		if !isSound || (expected != unknown && batch.first < expected) {
			until, regionEnd := r.until, r.stop
			found, isFound := w.findBatch(region{offset, r.stop, expected, r.until})
			if isFound {
				until, regionEnd = found.first, found.offset
				if room := framesMax(regionEnd - offset); expected == unknown {
					expected = 1
					if found.first > room {
						expected = max(1, found.first-room)
					}
				}
			}
			expected = w.salvage(region{offset, regionEnd, expected, until})
			offset = regionEnd
			continue
		}
		if expected != unknown && batch.first > expected {
			w.missing(offset, offset, expected, batch.first)
		}
		w.items = append(w.items, batch)
		expected = w.salvage(region{offset + BatchBytes, min(batch.end, r.stop), batch.first, batch.next})
		offset = batch.end
	}
	return expected
}

// salvage takes the sound frames of a region and the gaps between them, and
// returns the number that follows.
func (w *walker) salvage(r region) uint64 {
	expected, offset := r.expected, r.offset
	for offset < r.stop {
		found, isFound := w.nextFrame(region{offset, r.stop, expected, r.until})
		start, following := r.stop, r.until
		if isFound {
			start, following = found.offset, found.first
		}
		if start > offset {
			w.gap(offset, start, expected, following, "bytes do not verify")
		} else if expected != unknown && following != unknown && expected < following {
			w.missing(offset, offset, expected, following)
		}
		if !isFound {
			if r.until == unknown {
				return expected
			}
			return r.until
		}
		w.items = append(w.items, found)
		expected, offset = found.next, found.end
	}
	if r.until != unknown && expected != unknown && expected < r.until {
		w.missing(r.stop, r.stop, expected, r.until)
		return r.until
	}
	return expected
}

// findBatch finds the first sound batch header after a region's first byte
// that can follow.
func (w *walker) findBatch(r region) (item, bool) {
	for at := r.offset + 1; at < r.stop; at++ {
		step := bytes.Index(w.data[at:r.stop], batchMagic)
		if step < 0 {
			break
		}
		at += step
		batch, isSound := batchAt(w.data, at, r.stop, w.key)
		if isSound && (r.expected == unknown ||
			(batch.first >= r.expected && batch.first-r.expected <= framesMax(at-r.offset))) {
			return batch, true
		}
	}
	return item{}, false
}

// nextFrame finds the first sound frame of a region.
func (w *walker) nextFrame(r region) (item, bool) {
	if r.expected == unknown {
		return item{}, false
	}
	last := uint64(math.MaxUint64)
	if room := framesMax(r.stop - r.offset); room < last-r.expected {
		last = r.expected + room
	}
	if r.until != unknown {
		last = min(last, r.until-1)
	}
	fits := func(f item) bool { return r.expected <= f.first && f.first <= last }
	if found, isSound := frameAt(w.data, r.offset, r.stop, w.key); isSound && fits(found) {
		return found, true
	}
	if last < r.expected {
		return item{}, false
	}
	budget := searchFactor*(r.stop-r.offset) + searchFloorBytes
	const ahead = frameSeqAt + blockBits/8
	var stored [8]byte
	// Later frames have higher numbers, so the first block with a hit has the
	// first frame.
	for block := r.expected >> blockBits; block <= last>>blockBits; block++ {
		le.PutUint64(stored[:], block<<blockBits^w.key.mask)
		for at := r.offset + 1 + ahead; at < r.stop; at++ {
			step := bytes.Index(w.data[at:r.stop], stored[blockBits/8:])
			if step < 0 {
				break
			}
			at += step
			start := at - ahead
			if r.stop-start < FrameBytes {
				continue
			}
			size := claimedSize(w.data, start)
			if size > r.stop-start {
				continue
			}
			if budget -= size; budget < 0 {
				return item{}, false
			}
			if found, isSound := frameAt(w.data, start, r.stop, w.key); isSound && fits(found) {
				return found, true
			}
		}
	}
	return item{}, false
}

func (w *walker) missing(offset, end int, expected, until uint64) {
	w.gap(offset, end, expected, until, "bytes are missing")
}

func (w *walker) gap(offset, end int, expected, until uint64, what string) {
	if expected != unknown && until != unknown && expected >= until {
		expected, until = unknown, unknown
	}
	w.items = append(w.items, item{kind: isGap, offset: offset, end: end, first: expected, next: until, what: what})
}

// framesMax is how many frames could stand in so many bytes.
func framesMax(length int) uint64 { return uint64(length / FrameBytes) }
