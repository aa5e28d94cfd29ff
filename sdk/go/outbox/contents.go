package outbox

import (
	"cmp"
	"math"
	"net/http"
	"slices"

	"fractallba/internal/segment"
)

// place is where a pending window stands.
type place struct {
	at         segment.Position
	size       int
	receivedNS uint64
	shardID    string
}

// source is one source of one stream.
type source struct{ name, shardID string }

// contents is what the frames of an outbox add up to, as far as they are on
// disk; acknowledgements count when they are noted.
type contents struct {
	pending      map[uint64]place
	pendingBytes int
	segments     segments

	windows, accepted, escalated, dead, repeats, lost, compactions uint64

	damage     []string
	nextEpochs map[string]uint64
	positions  map[source]*Position
	stated     map[source]uint64 // the frame that says how it goes on
	lostSince  map[string]uint64
	lostBefore uint64
	nextSeq    uint64 // 0: nothing was read
	passedTo   uint64
}

func newContents() *contents {
	return &contents{
		pending: map[uint64]place{}, nextEpochs: map[string]uint64{}, positions: map[source]*Position{},
		stated: map[source]uint64{}, lostSince: map[string]uint64{},
	}
}

// note takes a damaged part; the frames it held show as a gap in the numbers.
func (c *contents) note(damage segment.Damage) {
	if c.nextSeq == 0 {
		c.nextSeq = damage.FirstSeq
	}
	last := damage.LastSeq
	if last == 0 {
		last = math.MaxUint64
	}
	// Numbers that were passed over are missing from nothing, and what was
	// never durable is no loss.
	if isPassed := damage.Length == 0 && last <= c.passedTo; damage.IsLoss && !isPassed {
		c.damage = append(c.damage, damage.String())
	}
}

// add takes one frame.
func (c *contents) add(at segment.Position, frame segment.Frame) error {
	meta, err := readMeta(frame)
	if err != nil {
		return err
	}
	c.skipTo(frame.Seq)
	c.nextSeq = frame.Seq + 1
	c.segments.write(at.Segment, frame.Seq, frame.Size())
	var here place
	if meta.holdsWindow() {
		here = place{at: at, size: frame.Size(), receivedNS: frame.ReceivedNS, shardID: *meta.ShardID}
	}
	switch *meta.Kind {
	case kindWindow:
		key := source{*meta.Source, *meta.ShardID}
		c.windows++
		c.nextEpochs[key.shardID] = max(c.nextEpochs[key.shardID], *meta.NextEpoch)
		c.positions[key] = meta.Position
		c.lostSince[key.shardID] = 0
		c.stated[key] = frame.Seq
		c.keep(frame.Seq, here)
	case kindAgain:
		// Observed before, and counted as dead, unless that outbox was removed.
		if c.dead > 0 {
			c.dead--
		} else {
			c.windows++
		}
		c.keep(frame.Seq, here)
	case kindCarried:
		c.keep(*meta.Seq, here)
		c.segments.carry(at.Segment, *meta.Seq)
	case kindAck:
		c.acknowledge(*meta.Seq, *meta.Status, *meta.Replayed)
	case kindStream:
		key := source{*meta.Source, *meta.ShardID}
		c.nextEpochs[key.shardID] = max(c.nextEpochs[key.shardID], *meta.NextEpoch)
		c.positions[key] = meta.Position
		c.lostSince[key.shardID] = *meta.LostSince
		c.stated[key] = frame.Seq
	case kindTotals:
		c.windows, c.accepted, c.escalated, c.dead = *meta.Windows, *meta.Accepted, *meta.Escalated, *meta.Dead
		c.repeats, c.compactions = *meta.Repeats, *meta.Compactions
		// What was found lost on the way here may be counted there, or be new.
		c.lostBefore = min(c.lost, *meta.Lost)
		c.lost = max(c.lost, *meta.Lost)
	case kindSkipped:
		c.passOver(*meta.To)
	}
	return nil
}

// passOver notes that no frame from here on has a number up to this one, and
// that none is missing.
func (c *contents) passOver(to uint64) {
	c.passedTo = to
	if to < math.MaxUint64 {
		c.nextSeq = max(c.nextSeq, 1, to+1)
	}
}

// skipTo notes the frames between the last one and this as unreadable.
func (c *contents) skipTo(seq uint64) {
	if c.nextSeq != 0 && seq > c.nextSeq {
		gap := seq - c.nextSeq
		c.lost += gap
		for shardID := range c.lostSince {
			c.lostSince[shardID] += gap
		}
	}
	c.nextSeq = max(c.nextSeq, seq, 1)
}

// keep adds a window, or notes that it stands elsewhere now.
func (c *contents) keep(seq uint64, here place) {
	if before, isKnown := c.pending[seq]; isKnown {
		c.pendingBytes -= before.size
		c.segments.live(before.at.Segment, -before.size)
	}
	c.pending[seq] = here
	c.pendingBytes += here.size
	c.segments.live(here.at.Segment, here.size)
}

// acknowledge ends a window; one that ended already counts once.
func (c *contents) acknowledge(seq uint64, status int, isReplayed bool) bool {
	before, isKnown := c.pending[seq]
	if !isKnown {
		return false
	}
	delete(c.pending, seq)
	c.pendingBytes -= before.size
	c.segments.live(before.at.Segment, -before.size)
	switch {
	case status == http.StatusAccepted:
		c.escalated++
	case status/100 == 2:
		c.accepted++
	default:
		c.dead++
	}
	if isReplayed {
		c.repeats++
	}
	return true
}

// oldest returns the numbers of the pending windows, oldest first.
func (c *contents) oldest() []uint64 {
	seqs := make([]uint64, 0, len(c.pending))
	for seq := range c.pending {
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	return seqs
}

// statedBefore returns the sources that no frame from this one on says anything of.
func (c *contents) statedBefore(seq uint64) []source {
	var stale []source
	for key, at := range c.stated {
		if at < seq {
			stale = append(stale, key)
		}
	}
	slices.SortFunc(stale, func(a, b source) int { return cmp.Compare(c.stated[a], c.stated[b]) })
	return stale
}

// segments is what each segment takes on disk and how much of it still waits,
// oldest first; the last one is written to.
type segments struct {
	all  []held
	size int
}

type held struct {
	ordinal     uint64
	first, last uint64
	size, live  int
	carried     []uint64 // windows that an earlier compaction copied into it
}

func (s *segments) write(ordinal, seq uint64, size int) {
	if len(s.all) == 0 || s.all[len(s.all)-1].ordinal != ordinal {
		s.all = append(s.all, held{ordinal: ordinal, first: seq})
	}
	last := &s.all[len(s.all)-1]
	last.last = seq
	last.size += size
	s.size += size
}

func (s *segments) find(ordinal uint64) *held {
	at, isFound := slices.BinarySearchFunc(s.all, ordinal, func(each held, ordinal uint64) int {
		return cmp.Compare(each.ordinal, ordinal)
	})
	if !isFound {
		return nil
	}
	return &s.all[at]
}

func (s *segments) carry(ordinal, seq uint64) {
	each := s.find(ordinal)
	each.carried = append(each.carried, seq)
}

func (s *segments) live(ordinal uint64, size int) {
	if each := s.find(ordinal); each != nil {
		each.live += size
	}
}

// dead is the bytes in sealed segments that nothing waits for.
func (s *segments) dead() int {
	sum := 0
	for i := 0; i < len(s.all)-1; i++ {
		sum += s.all[i].size - s.all[i].live
	}
	return sum
}

// front is how many of the oldest segments can be given up at once: at least
// one where one is sealed, and further ones as long as half of each is dead and
// the bytes to be carried stay within the bound.
func (s *segments) front(carryBytesMax int) (count, size, live int) {
	for i := 0; i < len(s.all)-1; i++ {
		each := s.all[i]
		if isMore := 2*each.live <= each.size && live+each.live <= carryBytesMax; i > 0 && !isMore {
			break
		}
		count, size, live = count+1, size+each.size, live+each.live
	}
	return count, size, live
}

func (s *segments) drop(count int) {
	for _, each := range s.all[:count] {
		s.size -= each.size
	}
	s.all = slices.Clone(s.all[count:])
}
