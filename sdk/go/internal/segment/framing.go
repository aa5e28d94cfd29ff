// Package segment is the write-ahead log of specs/storage.md: a stream of
// numbered frames in files that are only ever appended to.
//
// framing.go has the bytes: a segment's header, batches and frames. Integers
// are little-endian, offsets count from the start of the file, checksums are
// CRC-32C. Nothing is trusted before its checksum: a length may choose what is
// summed, never beyond the bytes at hand.
package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"unicode/utf8"
)

// Sizes and bounds of the format.
const (
	FormatVersion = 1
	HeaderBytes   = 232
	BatchBytes    = 32
	FrameBytes    = 26 // of a frame, beside its meta block and payload
	IDBytes       = 16
	NameBytesMax  = 128
	MetaBytesMax  = math.MaxUint16

	prefaceBytes   = 16
	bodyAt         = 20 // of the header: behind both checksums
	frameSeqAt     = 8
	frameBodyBytes = FrameBytes - frameSeqAt
)

// unknown stands for a number that nothing tells: numbers begin at 1.
const unknown uint64 = 0

var (
	segmentMagic = []byte("\xf1FLBASEG")
	batchMagic   = []byte("\xf1LBb")
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)
	le           = binary.LittleEndian
)

func sum(crc uint32, data []byte) uint32 { return crc32.Update(crc, castagnoli, data) }

// ID names one segment: random, and never on the wire.
type ID [IDBytes]byte

// NewFrame is what is to be appended; ReceivedNS is in ns since 1970.
type NewFrame struct {
	ReceivedNS uint64
	Meta       []byte
	Payload    []byte
}

// Size is what the frame takes on disk, in bytes.
func (f NewFrame) Size() int { return FrameBytes + len(f.Meta) + len(f.Payload) }

// Frame is what was appended, under its number (from 1, without gaps).
type Frame struct {
	Seq uint64
	NewFrame
}

// Header is what a segment says of itself and of the one before it.
type Header struct {
	Stream      string
	Ordinal     uint64
	ID          ID
	FirstSeq    uint64
	PreviousID  ID
	PreviousEnd uint64
	CreatedNS   uint64
	KeptFrom    uint64
	PassedFrom  uint64
}

// key is what a segment's id lends to the bytes inside: the start of their
// checksums and the mask of their numbers.
type key struct {
	id   ID
	crc  uint32
	mask uint64
}

func keyOf(id ID) key { return key{id: id, crc: sum(0, id[:]), mask: le.Uint64(id[:8])} }

// packHeader returns the HeaderBytes bytes that open a segment.
func packHeader(h Header) []byte {
	data := make([]byte, HeaderBytes)
	copy(data, segmentMagic)
	le.PutUint16(data[8:], FormatVersion)
	data[10], data[11] = 0, 1 // the first release that reads it
	le.PutUint32(data[12:], sum(0, data[:12]))
	le.PutUint32(data[20:], uint32(len(h.Stream)))
	le.PutUint64(data[24:], h.Ordinal)
	le.PutUint64(data[32:], h.FirstSeq)
	copy(data[40:], h.ID[:])
	copy(data[56:], h.PreviousID[:])
	le.PutUint64(data[72:], h.PreviousEnd)
	le.PutUint64(data[80:], h.CreatedNS)
	le.PutUint64(data[88:], h.KeptFrom)
	le.PutUint64(data[96:], h.PassedFrom)
	copy(data[104:], h.Stream)
	le.PutUint32(data[16:], sum(sum(0, data[:prefaceBytes]), data[bodyAt:]))
	return data
}

// unpackHeader returns the header at the start of data, or nil when it is
// damaged. A sound preface of another format is an error of kind Newer.
func unpackHeader(data []byte) (*Header, error) {
	if len(data) < prefaceBytes || !bytes.Equal(data[:8], segmentMagic) {
		return nil, nil
	}
	if le.Uint32(data[12:]) != sum(0, data[:12]) {
		return nil, nil
	}
	if version := le.Uint16(data[8:]); version != FormatVersion {
		return nil, &Error{Kind: Newer, Message: fmt.Sprintf(
			"segment: expected format %d, got format %d, which release %d.%d and later read",
			FormatVersion, version, data[10], data[11])}
	}
	if len(data) < HeaderBytes {
		return nil, nil
	}
	data = data[:HeaderBytes]
	if le.Uint32(data[16:]) != sum(sum(0, data[:prefaceBytes]), data[bodyAt:]) {
		return nil, nil
	}
	nameBytes, name := le.Uint32(data[20:]), data[104:]
	if nameBytes > NameBytesMax || len(bytes.Trim(name[nameBytes:], "\x00")) > 0 || !utf8.Valid(name[:nameBytes]) {
		return nil, nil
	}
	h := &Header{
		Stream:      string(name[:nameBytes]),
		Ordinal:     le.Uint64(data[24:]),
		FirstSeq:    le.Uint64(data[32:]),
		ID:          ID(data[40:56]),
		PreviousID:  ID(data[56:72]),
		PreviousEnd: le.Uint64(data[72:]),
		CreatedNS:   le.Uint64(data[80:]),
		KeptFrom:    le.Uint64(data[88:]),
		PassedFrom:  le.Uint64(data[96:]),
	}
	if max(h.KeptFrom, h.PassedFrom) > h.FirstSeq {
		return nil, nil
	}
	return h, nil
}

// packBatch returns the bytes of a batch, and where in them each frame starts.
// No frame at all makes a mark.
func packBatch(k key, frames []NewFrame, firstSeq uint64, durableOffset int) ([]byte, []int) {
	size := BatchBytes
	for _, f := range frames {
		size += f.Size()
	}
	data := make([]byte, BatchBytes, size)
	starts := make([]int, len(frames))
	for i, f := range frames {
		starts[i] = len(data)
		data = appendFrame(data, k, firstSeq+uint64(i), f)
	}
	copy(data, batchMagic)
	le.PutUint32(data[8:], uint32(len(data)-BatchBytes))
	le.PutUint32(data[12:], uint32(len(frames)))
	le.PutUint64(data[16:], firstSeq^k.mask)
	le.PutUint64(data[24:], uint64(durableOffset))
	le.PutUint32(data[4:], sum(k.crc, data[8:BatchBytes]))
	return data, starts
}

func appendFrame(data []byte, k key, seq uint64, f NewFrame) []byte {
	at := len(data)
	data = le.AppendUint32(data, uint32(frameBodyBytes+len(f.Meta)+len(f.Payload)))
	data = append(data, 0, 0, 0, 0)
	data = le.AppendUint64(data, seq^k.mask)
	data = le.AppendUint64(data, f.ReceivedNS)
	data = le.AppendUint16(data, uint16(len(f.Meta)))
	data = append(append(data, f.Meta...), f.Payload...)
	le.PutUint32(data[at+4:], sum(sum(k.crc, data[at:at+4]), data[at+frameSeqAt:]))
	return data
}

// batchAt reports the batch header at offset when it stands whole below stop
// and can be true. Its frames may lie beyond stop: that is for the caller.
func batchAt(data []byte, offset, stop int, k key) (item, bool) {
	if stop-offset < BatchBytes {
		return item{}, false
	}
	head := data[offset : offset+BatchBytes]
	durable := le.Uint64(head[24:])
	if !bytes.Equal(head[:4], batchMagic) || durable < HeaderBytes || durable > uint64(offset) {
		return item{}, false
	}
	if le.Uint32(head[4:]) != sum(k.crc, head[8:]) {
		return item{}, false
	}
	length, count := uint64(le.Uint32(head[8:])), uint64(le.Uint32(head[12:]))
	first := le.Uint64(head[16:]) ^ k.mask
	// A right checksum makes no room for more frames than fit, for a mark with
	// something in it, or for numbers beyond 64 bits.
	if count*FrameBytes > length || (count == 0 && length > 0) || first > math.MaxUint64-count {
		return item{}, false
	}
	// What is claimed beyond any file counts the same on machines of 32 bits.
	length = min(length, segmentFileLimit)
	return item{
		kind: isBatch, offset: offset, end: offset + BatchBytes + int(length),
		first: first, next: first + count, frames: int(count), durable: int(durable),
	}, true
}

// frameAt reports the frame at offset when it stands whole below stop and
// verifies.
func frameAt(data []byte, offset, stop int, k key) (item, bool) {
	if stop-offset < FrameBytes {
		return item{}, false
	}
	end := offset + claimedSize(data, offset)
	metaBytes := int(le.Uint16(data[offset+24:]))
	if end > stop || end-offset < FrameBytes+metaBytes {
		return item{}, false
	}
	if le.Uint32(data[offset+4:]) != sum(sum(k.crc, data[offset:offset+4]), data[offset+frameSeqAt:end]) {
		return item{}, false
	}
	seq := le.Uint64(data[offset+frameSeqAt:]) ^ k.mask
	if seq == math.MaxUint64 { // no number could follow it
		return item{}, false
	}
	return item{kind: isFrame, offset: offset, end: end, first: seq, next: seq + 1}, true
}

// claimedSize is how many bytes the frame at offset claims, unverified; beyond
// any file it is the same on machines of 32 bits.
func claimedSize(data []byte, offset int) int {
	return frameSeqAt + int(min(le.Uint32(data[offset:]), segmentFileLimit))
}

// frameOf returns the frame that frameAt found; it shares data's memory.
func frameOf(data []byte, found item) Frame {
	metaAt := found.offset + FrameBytes
	payloadAt := metaAt + int(le.Uint16(data[found.offset+24:]))
	return Frame{Seq: found.first, NewFrame: NewFrame{
		ReceivedNS: le.Uint64(data[found.offset+16:]),
		Meta:       data[metaAt:payloadAt:payloadAt],
		Payload:    data[payloadAt:found.end:found.end],
	}}
}
