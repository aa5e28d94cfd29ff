package signals

import "math/bits"

const (
	literals    = 256
	endOfBlock  = literals
	lengthCodes = 29
	codesLit    = literals + 1 + lengthCodes
	codesDist   = 30
	codesBits   = 19
	heapSize    = 2*codesLit + 1

	repeatLast, repeatZeros, repeatManyZeros = 16, 17, 18
)

// bitsOrder is that in which the lengths of the code of code lengths are sent.
var bitsOrder = [codesBits]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// block counts the symbols of one deflate block.
type block struct {
	symbols   int
	lit, dist [heapSize]int
}

func (b *block) reset() {
	*b = block{}
	b.lit[endOfBlock] = 1
}

func (b *block) literal(value byte) {
	b.symbols++
	b.lit[value]++
}

func (b *block) match(distance, length int) {
	b.symbols++
	b.lit[literals+1+lengthCode(length)]++
	b.dist[distanceCode(distance)]++
}

// lengthCode returns which of the 29 codes stands for a length of 3 to 258.
func lengthCode(length int) int {
	n := length - matchMin
	switch {
	case length == matchMax:
		return lengthCodes - 1
	case n < 8:
		return n
	}
	extra := bits.Len(uint(n)) - 3
	return 4*extra + n>>extra
}

// distanceCode returns which of the 30 codes stands for a distance from 1 on.
func distanceCode(distance int) int {
	n := distance - 1
	if n < 4 {
		return n
	}
	extra := bits.Len(uint(n)) - 2
	return 2*extra + n>>extra
}

func extraOfLit(code int) int {
	n := code - literals - 1
	if n < 8 || n == lengthCodes-1 {
		return 0
	}
	return n/4 - 1
}

func extraOfDist(code int) int { return max(0, code/2-1) }

func extraOfBits(code int) int {
	return map[int]int{repeatLast: 2, repeatZeros: 3, repeatManyZeros: 7}[code]
}

func staticLit(code int) int {
	switch {
	case code < 144:
		return 8
	case code < 256:
		return 9
	case code < 280:
		return 7
	}
	return 8
}

func staticDist(int) int { return 5 }

// bits returns how long the block is under its own trees, these included, and
// under the static ones, but for the three bits that say which.
func (b *block) bits() (dynamic, static int) {
	lit := tree{elements: codesLit, lengthMax: 15, freq: b.lit, extra: extraOfLit, static: staticLit}
	dist := tree{elements: codesDist, lengthMax: 15, freq: b.dist, extra: extraOfDist, static: staticDist}
	lit.build()
	dist.build()
	lengths := tree{elements: codesBits, lengthMax: 7, extra: extraOfBits}
	lit.scan(&lengths.freq)
	dist.scan(&lengths.freq)
	lengths.build()
	sent := codesBits
	for sent > 4 && lengths.length[bitsOrder[sent-1]] == 0 {
		sent--
	}
	dynamic = lit.bits + dist.bits + lengths.bits + 3*sent + 5 + 5 + 4
	return dynamic, lit.staticBits + dist.staticBits
}

// tree is a Huffman code of limited length. Which of several codes of equal cost
// it is decides how the code itself is sent, so heap and ties are zlib's.
type tree struct {
	elements, lengthMax int
	freq                [heapSize]int
	extra, static       func(code int) int // static is nil where there is none

	length, dad, depth [heapSize]int
	heap               [heapSize]int
	heapLen, heapMax   int
	codeMax            int
	bits, staticBits   int
}

func (t *tree) isSmaller(n, m int) bool {
	return t.freq[n] < t.freq[m] || t.freq[n] == t.freq[m] && t.depth[n] <= t.depth[m]
}

// down moves the node at place k of the heap to where it belongs.
func (t *tree) down(k int) {
	node := t.heap[k]
	for j := 2 * k; j <= t.heapLen; j *= 2 {
		if j < t.heapLen && t.isSmaller(t.heap[j+1], t.heap[j]) {
			j++
		}
		if t.isSmaller(node, t.heap[j]) {
			break
		}
		t.heap[k] = t.heap[j]
		k = j
	}
	t.heap[k] = node
}

func (t *tree) build() {
	t.codeMax, t.heapMax = -1, heapSize
	for n := range t.elements {
		if t.freq[n] != 0 {
			t.heapLen++
			t.heap[t.heapLen] = n
			t.codeMax = n
		}
	}
	// A code has at least two symbols; one that is not used costs nothing here.
	for t.heapLen < 2 {
		node := 0
		if t.codeMax < 2 {
			t.codeMax++
			node = t.codeMax
		}
		t.heapLen++
		t.heap[t.heapLen] = node
		t.freq[node] = 1
		t.bits--
		if t.static != nil {
			t.staticBits -= t.static(node)
		}
	}
	for k := t.heapLen / 2; k >= 1; k-- {
		t.down(k)
	}
	for node := t.elements; t.heapLen >= 2; node++ {
		n := t.heap[1]
		t.heap[1] = t.heap[t.heapLen]
		t.heapLen--
		t.down(1)
		m := t.heap[1]
		t.heapMax -= 2
		t.heap[t.heapMax+1], t.heap[t.heapMax] = n, m
		t.freq[node] = t.freq[n] + t.freq[m]
		t.depth[node] = max(t.depth[n], t.depth[m]) + 1
		t.dad[n], t.dad[m] = node, node
		t.heap[1] = node
		t.down(1)
	}
	t.heapMax--
	t.heap[t.heapMax] = t.heap[1]
	t.measure()
}

// measure gives each symbol its length, none above the limit, and counts bits.
func (t *tree) measure() {
	var ofLength [16]int
	over := 0
	t.length[t.heap[t.heapMax]] = 0
	for _, n := range t.heap[t.heapMax+1:] {
		length := t.length[t.dad[n]] + 1
		if length > t.lengthMax {
			length = t.lengthMax
			over++
		}
		t.length[n] = length
		if n > t.codeMax {
			continue
		}
		ofLength[length]++
		t.bits += t.freq[n] * (length + t.extra(n))
		if t.static != nil {
			t.staticBits += t.freq[n] * (t.static(n) + t.extra(n))
		}
	}
	if over == 0 {
		return
	}
	for ; over > 0; over -= 2 {
		length := t.lengthMax - 1
		for ofLength[length] == 0 {
			length--
		}
		ofLength[length]--
		ofLength[length+1] += 2
		ofLength[t.lengthMax]--
	}
	h := heapSize
	for length := t.lengthMax; length > 0; length-- {
		for left := ofLength[length]; left > 0; {
			h--
			n := t.heap[h]
			if n > t.codeMax {
				continue
			}
			t.bits += (length - t.length[n]) * t.freq[n]
			t.length[n] = length
			left--
		}
	}
}

// scan counts what the lengths of the code are sent as.
func (t *tree) scan(freq *[heapSize]int) {
	last, count := -1, 0
	countMax, countMin := runBounds(-1, t.length[0])
	for n := 0; n <= t.codeMax; n++ {
		length, next := t.length[n], -1
		if n < t.codeMax {
			next = t.length[n+1]
		}
		if count++; count < countMax && length == next {
			continue
		}
		switch {
		case count < countMin:
			freq[length] += count
		case length != 0:
			if length != last {
				freq[length]++
			}
			freq[repeatLast]++
		case count <= 10:
			freq[repeatZeros]++
		default:
			freq[repeatManyZeros]++
		}
		last, count = length, 0
		countMax, countMin = runBounds(length, next)
	}
}

// runBounds returns the longest and the shortest run of a length that is sent as
// one.
func runBounds(length, next int) (countMax, countMin int) {
	switch next {
	case 0:
		return 138, 3
	case length:
		return 6, 3
	}
	return 7, 4
}
