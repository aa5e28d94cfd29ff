package signals

// How long zlib makes some bytes: level 6, window bits 15, memory level 8, the
// default strategy, header and checksum counted. Only the length is wanted, and
// no bytes are written. The matches and the trees are those that zlib's own
// deflate finds (deflate_slow and trees.c, RFC 1951), since the compressor of the
// standard library is another, which for short windows is further off than r may
// be.

const (
	windowBytes  = 1 << 15
	windowMask   = windowBytes - 1
	matchMin     = 3
	matchMax     = 258
	lookaheadMin = matchMax + matchMin + 1
	distanceMax  = windowBytes - lookaheadMin
	hashes       = 1 << 15
	// A block ends when so many literals and matches are in it.
	symbolsMax = 1<<14 - 1
	// A match of three bytes this far away costs more than three literals.
	tooFar = 4096

	// What level 6 stands for.
	goodLength, lazyLength, niceLength, chainMax = 8, 16, 128, 128

	zlibHeaderBytes, zlibTrailerBytes = 2, 4
)

// packer goes through the data as deflate does. Positions are those in the
// data. zlib holds twice its window and slides it: a position at slid or before
// has slid out, and the first one held is never matched.
type packer struct {
	data      []byte
	slid      int
	at        int // the next byte to look at
	lookahead int // bytes from there on that are held
	head      [hashes]int32
	chain     [windowBytes]int32 // the position before, of the same hash
	block     block
	start     int // of the block
	bits      int
}

// packedBytes returns the length of the data as zlib makes it.
func packedBytes(data []byte) int {
	p := &packer{data: data}
	p.block.reset()
	p.run()
	return zlibHeaderBytes + (p.bits+7)/8 + zlibTrailerBytes
}

// fill holds more of the data, and slides what is held where it must.
func (p *packer) fill() {
	for {
		more := 2*windowBytes - p.lookahead - (p.at - p.slid)
		if p.at-p.slid >= windowBytes+distanceMax {
			p.slid += windowBytes
			more += windowBytes
		}
		left := len(p.data) - p.at - p.lookahead
		p.lookahead += min(more, left)
		if p.lookahead >= lookaheadMin || more >= left {
			return
		}
	}
}

// insert remembers the string at a position and returns the last one of its
// hash.
func (p *packer) insert(at int) int {
	d := p.data[at : at+matchMin]
	hash := (uint32(d[0])<<10 ^ uint32(d[1])<<5 ^ uint32(d[2])) & (hashes - 1)
	before := p.head[hash]
	p.chain[at&windowMask] = before
	p.head[hash] = int32(at)
	return int(before)
}

// run takes the longest match at each position, unless the next position has a
// longer one.
func (p *packer) run() {
	length, matched, pending := matchMin-1, 0, false
	for {
		if p.lookahead < lookaheadMin {
			if p.fill(); p.lookahead == 0 {
				break
			}
		}
		before := p.slid
		if p.lookahead >= matchMin {
			before = p.insert(p.at)
		}
		lastLength, lastMatched := length, matched
		length = matchMin - 1
		if before > p.slid && lastLength < lazyLength && p.at-before <= distanceMax {
			length, matched = p.longest(before, lastLength, matched)
			if length == matchMin && p.at-matched > tooFar {
				length = matchMin - 1
			}
		}
		switch {
		case lastLength >= matchMin && length <= lastLength:
			insertMax := p.at + p.lookahead - matchMin
			p.block.match(p.at-1-lastMatched, lastLength)
			p.lookahead -= lastLength - 1
			for range lastLength - 2 {
				if p.at++; p.at <= insertMax {
					p.insert(p.at)
				}
			}
			p.at++
			length, pending = matchMin-1, false
			p.endFullBlock()
		case pending:
			p.block.literal(p.data[p.at-1])
			p.endFullBlock()
			p.at++
			p.lookahead--
		default:
			pending = true
			p.at++
			p.lookahead--
		}
	}
	if pending {
		p.block.literal(p.data[p.at-1])
	}
	p.endBlock()
}

// longest follows the chain of a hash and returns the longest match that is
// longer than the last one, and where it is; matched stays where there is none.
func (p *packer) longest(candidate, lastLength, matched int) (length, at int) {
	best, at := lastLength, matched
	tries, nice := chainMax, min(niceLength, p.lookahead)
	if lastLength >= goodLength {
		tries /= 4
	}
	limit := p.slid + max(0, p.at-p.slid-distanceMax)
	scan := p.data[p.at:min(p.at+matchMax, p.at+p.lookahead)]
	for best < len(scan) {
		if match := p.data[candidate:]; match[best] == scan[best] {
			n := 0
			for n < len(scan) && match[n] == scan[n] {
				n++
			}
			if n > best {
				if best, at = n, candidate; n >= nice {
					break
				}
			}
		}
		candidate = int(p.chain[candidate&windowMask])
		if tries--; tries == 0 || candidate <= limit {
			break
		}
	}
	return min(best, p.lookahead), at
}

func (p *packer) endFullBlock() {
	if p.block.symbols == symbolsMax {
		p.endBlock()
	}
}

// endBlock counts the bits of the block in the shortest of its three forms.
func (p *packer) endBlock() {
	stored := p.at - p.start
	dynamicBits, staticBits := p.block.bits()
	dynamic, static := (3+dynamicBits+7)/8, (3+staticBits+7)/8
	switch {
	case stored+4 <= min(dynamic, static) && p.start >= p.slid:
		p.bits = (p.bits+3+7)/8*8 + 8*(4+stored)
	case static <= dynamic:
		p.bits += 3 + staticBits
	default:
		p.bits += 3 + dynamicBits
	}
	p.start = p.at
	p.block.reset()
}
