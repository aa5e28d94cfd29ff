package outbox

import (
	"time"

	"fractallba/internal/segment"
	"fractallba/pcs"
)

// Pending returns the windows without a final answer, oldest first.
func (o *Outbox) Pending() []Waiting {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	seqs := o.contents.oldest()
	waiting := make([]Waiting, len(seqs))
	for i, seq := range seqs {
		here := o.contents.pending[seq]
		waiting[i] = Waiting{Seq: seq, ShardID: here.shardID, ReceivedAt: time.Unix(0, int64(here.receivedNS)), Bytes: here.size}
	}
	return waiting
}

// Record reads a pending window back from disk. ErrContract: it does not wait;
// ErrDamaged: it does not verify, and goes on waiting; a *pcs.Refusal: it
// verifies and is no record.
func (o *Outbox) Record(seq uint64) (*pcs.Record, error) {
	for {
		o.mutex.Lock()
		here, isPending := o.contents.pending[seq]
		o.mutex.Unlock()
		if !isPending {
			return nil, errorf(segment.Contract, "outbox: expected a window that waits, got number %d", seq)
		}
		frame, err := o.stream.Read(here.at)
		if err == nil {
			return pcs.ParseRecord(frame.Payload)
		}
		o.mutex.Lock()
		now, isPending := o.contents.pending[seq]
		o.mutex.Unlock()
		if isPending && now.at == here.at {
			return nil, err
		} // else a compaction moved it meanwhile, or it was answered
	}
}

// NextEpoch is the epoch of a stream's next window. A file that is cut again
// from its last known position gives the same windows under the same epochs; a
// live source passes over every frame that cannot be read any more, since each
// of them may have used one.
func (o *Outbox) NextEpoch(shardID string, isLive bool) uint64 {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	known := o.contents.nextEpochs[shardID]
	if !isLive {
		return known
	}
	if lost, isKnown := o.contents.lostSince[shardID]; isKnown {
		return known + lost
	}
	return known + o.contents.lost + o.contents.lostBefore
}

// Position is where a source goes on; nil for its beginning.
func (o *Outbox) Position(sourceName, shardID string) *Position {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.contents.positions[source{sourceName, shardID}]
}

// Counts returns what the outbox ever held and holds.
func (o *Outbox) Counts() Counts {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	c := o.contents
	return Counts{
		Windows: c.windows, Accepted: c.accepted, Escalated: c.escalated, Dead: c.dead, Repeats: c.repeats,
		Lost: c.lost, Compactions: c.compactions, Syncs: o.syncs,
		Pending: len(c.pending), PendingBytes: c.pendingBytes, DiskBytes: c.segments.size,
	}
}

// Damage returns what opening found damaged, for people.
func (o *Outbox) Damage() []string {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return append([]string(nil), o.contents.damage...)
}
