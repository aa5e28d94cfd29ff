package segment

import (
	"bytes"
	"math"
)

// FooterBytes is the length of a footer: what stands behind the last batch of
// a segment that was sealed. It is written when everything before it is
// durable, so that what does not verify before it is damage and no torn tail.
const FooterBytes = 44

var footerMagic = []byte("\xf1LBf")

// packFooter returns the bytes that end a segment at offset; whole is the
// checksum of everything before them.
func packFooter(k key, offset int, whole uint32, firstSeq, nextSeq, sealedNS uint64) []byte {
	data := make([]byte, FooterBytes)
	copy(data, footerMagic)
	le.PutUint32(data[8:], whole)
	le.PutUint64(data[12:], firstSeq^k.mask)
	le.PutUint64(data[20:], nextSeq^k.mask)
	le.PutUint64(data[28:], uint64(offset))
	le.PutUint64(data[36:], sealedNS)
	le.PutUint32(data[4:], sum(k.crc, data[8:]))
	return data
}

// footerAt reports the footer at offset when it stands whole below stop and
// verifies.
func footerAt(data []byte, offset, stop int, k key) (item, bool) {
	if offset < HeaderBytes || stop-offset < FooterBytes {
		return item{}, false
	}
	foot := data[offset : offset+FooterBytes]
	if !bytes.Equal(foot[:4], footerMagic) || le.Uint32(foot[4:]) != sum(k.crc, foot[8:]) {
		return item{}, false
	}
	first, next := le.Uint64(foot[12:])^k.mask, le.Uint64(foot[20:])^k.mask
	if le.Uint64(foot[28:]) != uint64(offset) || first > next || next == math.MaxUint64 {
		return item{}, false
	}
	return item{kind: isFooter, offset: offset, end: offset + FooterBytes, first: first, next: next}, true
}
