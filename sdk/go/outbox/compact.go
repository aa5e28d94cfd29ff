package outbox

import (
	"errors"
	"slices"

	"fractallba/internal/segment"
)

const (
	// Below so many segments' worth of what nothing waits for a compaction
	// saves less than its syncs cost.
	deadSegmentsMin = 2
	// Opening reads the header of each segment, which takes milliseconds.
	segmentsMax = 1024
	// What one append of a compaction holds.
	pieceBytesMax   = 256 << 10
	pieceStreamsMax = 512
)

// isCompactionDue tells whether the sealed segments hold at least two segments'
// worth that nothing waits for, and at least as much as waits in all; or whether
// they are small and many, and at most half of the oldest has to be copied.
func (o *Outbox) isCompactionDue() bool {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.isCompactionOff {
		return false
	}
	c := o.contents
	if c.segments.dead() >= max(deadSegmentsMin*o.options.SegmentBytesMax, c.pendingBytes) {
		return true
	}
	count, size, live := c.segments.front(o.options.SegmentBytesMax)
	return len(c.segments.all) > segmentsMax && count > 0 && 2*live <= size
}

// compact gives the oldest segments up, in an order in which a crash leaves
// both or the new state: the windows that wait there are copied under their own
// numbers, the streams of which nothing else tells are stated again, the totals
// are written, which say what is given up, and the segments are removed. It
// runs in the committer, so that all it says is true where it stands.
//
// It tells whether another pass may follow at once.
func (o *Outbox) compact() bool {
	err := o.compactNow()
	o.mutex.Lock()
	defer o.mutex.Unlock()
	// A window that waits cannot be read: its segment is evidence. The next
	// opening counts it as lost, and compacts again.
	o.isCompactionOff = errors.Is(err, ErrDamaged)
	if !o.isCompactionOff {
		o.fence(err)
	}
	return err == nil
}

func (o *Outbox) compactNow() error {
	o.mutex.Lock()
	count, _, _ := o.contents.segments.front(o.options.SegmentBytesMax)
	if count == 0 {
		o.mutex.Unlock()
		return nil
	}
	front := slices.Clone(o.contents.segments.all[:count])
	keptFrom := o.contents.segments.all[count].first
	o.mutex.Unlock()
	for _, each := range front {
		if err := o.carry(each); err != nil {
			return err
		}
	}
	if err := o.restate(keptFrom); err != nil {
		return err
	}
	cursor, err := o.writeTotals(keptFrom)
	if err != nil {
		return err
	}
	if err := o.stream.RetainFrom(keptFrom, cursor); err != nil {
		return err
	}
	o.mutex.Lock()
	o.contents.segments.drop(count)
	o.mutex.Unlock()
	return nil
}

// carry copies what waits in a segment.
func (o *Outbox) carry(each held) error {
	var piece []segment.NewFrame
	size := 0
	flush := func() error {
		err := o.write(piece)
		piece, size = nil, 0
		return err
	}
	one := func(seq uint64) error {
		o.mutex.Lock()
		here, isPending := o.contents.pending[seq]
		o.mutex.Unlock()
		if !isPending || here.at.Segment != each.ordinal {
			return nil
		}
		frame, err := o.stream.Read(here.at)
		if err != nil {
			return err
		}
		meta, err := readMeta(frame)
		if err != nil {
			return err
		}
		if !meta.holdsWindow() {
			return notOurs(frame.Seq)
		}
		carried := carriedMeta{kindCarried, seq, *meta.ShardID, *meta.NextEpoch, frameFormat}
		piece = append(piece, frameOf(carried, frame.Payload, frame.ReceivedNS))
		if size += frame.Size(); size >= pieceBytesMax {
			return flush()
		}
		return nil
	}
	for _, seq := range each.carried {
		if err := one(seq); err != nil {
			return err
		}
	}
	for seq := each.first; seq <= each.last; seq++ {
		if err := one(seq); err != nil {
			return err
		}
	}
	return flush()
}

// restate says again of each stream how it goes on, where only segments before
// this frame do.
func (o *Outbox) restate(keptFrom uint64) error {
	o.mutex.Lock()
	stale := o.contents.statedBefore(keptFrom)
	o.mutex.Unlock()
	for len(stale) > 0 {
		count := min(len(stale), pieceStreamsMax)
		var piece []segment.NewFrame
		o.mutex.Lock()
		for _, key := range stale[:count] {
			piece = append(piece, frameOf(streamMeta{
				Kind: kindStream, Source: key.name, ShardID: key.shardID, NextEpoch: o.contents.nextEpochs[key.shardID],
				Position: o.contents.positions[key], LostSince: o.contents.lostSince[key.shardID], V: frameFormat,
			}, nil, nowNS()))
		}
		o.mutex.Unlock()
		if err := o.write(piece); err != nil {
			return err
		}
		stale = stale[count:]
	}
	return nil
}

// writeTotals writes the cursor, behind the acknowledgements that it counts,
// and returns its number.
func (o *Outbox) writeTotals(keptFrom uint64) (uint64, error) {
	o.mutex.Lock()
	c := o.contents
	acks := o.acks
	o.acks = nil
	frames := append(append([]segment.NewFrame(nil), acks...), frameOf(totalsMeta{
		Kind: kindTotals, KeptFrom: keptFrom, Windows: c.windows, Accepted: c.accepted, Escalated: c.escalated,
		Dead: c.dead, Repeats: c.repeats, Lost: c.lost, Compactions: c.compactions + 1, V: frameFormat,
	}, nil, nowNS()))
	o.mutex.Unlock()
	placed, err := o.stream.Append(frames)
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if err != nil {
		o.acks = append(acks, o.acks...)
		return 0, err
	}
	// Counts that moved while this was written are ahead of what it says.
	now := *c
	o.take(frames, placed)
	c.accepted, c.escalated, c.dead, c.repeats = now.accepted, now.escalated, now.dead, now.repeats
	return placed[len(placed)-1].Seq, nil
}

// write appends frames of a compaction, and takes them.
func (o *Outbox) write(frames []segment.NewFrame) error {
	if len(frames) == 0 {
		return nil
	}
	placed, err := o.stream.Append(frames)
	if err != nil {
		return err
	}
	o.mutex.Lock()
	defer o.mutex.Unlock()
	for i, at := range placed {
		if meta, _ := readMeta(segment.Frame{Seq: at.Seq, NewFrame: frames[i]}); *meta.Kind == kindCarried {
			// Answered while it was copied: its acknowledgement comes behind.
			if _, isPending := o.contents.pending[*meta.Seq]; !isPending {
				o.contents.skipTo(at.Seq + 1)
				o.contents.segments.write(at.Position.Segment, at.Seq, frames[i].Size())
				continue
			}
		}
		o.take(frames[i:i+1], placed[i:i+1])
		o.syncs--
	}
	o.syncs++
	return nil
}
