package outbox

import (
	"errors"
	"time"

	"fractallba/internal/segment"
)

// commitAll is the one goroutine that writes: one batch is on its way to the
// disk at a time, and what comes meanwhile forms the next one.
func (o *Outbox) commitAll() {
	defer close(o.done)
	quiet := time.NewTimer(quietTime)
	defer quiet.Stop()
	for {
		select {
		case <-o.wake:
			for o.commit(acksMax) {
			}
			quiet.Reset(quietTime)
		case <-quiet.C:
			if o.tend() {
				quiet.Reset(quietTime)
			}
		case <-o.closing:
			for o.commit(1) {
			}
			return
		}
	}
}

// commit writes one batch: what is queued, and the acknowledgements where
// something is or they are so many. It tells whether there was something.
func (o *Outbox) commit(acksMin int) bool {
	o.mutex.Lock()
	count, size := 0, 0
	var frames []segment.NewFrame
	if len(o.queue) > 0 || len(o.acks) >= acksMin {
		count = min(len(o.acks), batchRecordsMax)
		frames = append(frames, o.acks[:count]...)
	}
	var batch []*entry
	for len(o.queue) > 0 {
		next := o.queue[0]
		if len(batch) > 0 && (size+next.size > batchBytesMax || len(frames)+len(next.frames) > count+batchRecordsMax) {
			break
		}
		batch, o.queue = append(batch, next), o.queue[1:]
		frames, size = append(frames, next.frames...), size+next.size
	}
	o.mutex.Unlock()
	if len(frames) == 0 && len(batch) == 0 {
		return false
	}
	placed, err := o.stream.Append(frames) // without a frame nothing is written
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.fence(err)
	if err == nil {
		o.take(frames, placed)
		o.acks = append([]segment.NewFrame(nil), o.acks[count:]...)
		placed = placed[count:]
	}
	for _, each := range batch {
		o.queued.records -= len(each.frames)
		o.queued.bytes -= each.size
		each.err = err
		if err == nil {
			for _, at := range placed[:len(each.frames)] {
				each.seqs = append(each.seqs, at.Seq)
			}
			placed = placed[len(each.frames):]
		}
		close(each.done)
	}
	close(o.moved)
	o.moved = make(chan struct{})
	// Acknowledgements alone that found no room are tried again later.
	return err == nil || len(batch) > 0
}

// take notes frames that are on disk; the caller holds the mutex.
func (o *Outbox) take(frames []segment.NewFrame, placed []segment.Placed) {
	if len(frames) > 0 {
		o.syncs++
	}
	for i, at := range placed {
		if err := o.contents.add(at.Position, segment.Frame{Seq: at.Seq, NewFrame: frames[i]}); err != nil {
			panic("a frame of our own that is none: a bug")
		}
	}
}

// fence notes a failure that ends the writing; the caller holds the mutex.
func (o *Outbox) fence(err error) {
	if err != nil && !errors.Is(err, ErrFull) && o.failure == nil {
		o.failure = err
	}
}

// tend does what a quiet moment is for, one thing at a time: write waiting
// acknowledgements, give up old segments, mark what is durable. It tells
// whether there may be more to do.
func (o *Outbox) tend() bool {
	o.mutex.Lock()
	isDone := o.failure != nil
	hasAcks := len(o.acks) > 0
	o.mutex.Unlock()
	if isDone {
		return false
	}
	if hasAcks {
		o.commit(1)
		return true
	}
	if o.isCompactionDue() {
		return o.compact()
	}
	err := o.stream.Mark()
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.fence(err)
	return false
}

// Flush makes what was acknowledged before it durable.
func (o *Outbox) Flush() error {
	for {
		made := &entry{done: make(chan struct{})}
		o.mutex.Lock()
		if err := o.usable(); err != nil {
			o.mutex.Unlock()
			return err
		}
		if len(o.acks) == 0 {
			o.mutex.Unlock()
			return nil
		}
		o.queue = append(o.queue, made)
		o.mutex.Unlock()
		o.wakeUp()
		if <-made.done; made.err != nil {
			return made.err
		}
	}
}

// Close makes acknowledgements durable and lets the folder go, whatever the
// disk says. An error says that some were not written: their windows are sent
// again. Idempotent.
func (o *Outbox) Close() error {
	o.mutex.Lock()
	if o.isClosed {
		o.mutex.Unlock()
		<-o.done
		return nil
	}
	o.isClosed = true
	o.mutex.Unlock()
	close(o.closing)
	<-o.done
	var err error
	if len(o.acks) > 0 {
		err = errorf(segment.Disk, "outbox: expected %d acknowledgements on disk, got a failure: their windows are sent again", len(o.acks))
	}
	return errors.Join(err, o.stream.Close(), o.letters.close())
}
