// Package outbox keeps signed records on disk until a server answered them.
//
// What Append returned is durable; a process that is killed, a full disk and a
// power cut lose nothing of it. The files are those of the agent
// (specs/agent.md, specs/storage.md): DIR/outbox is a stream of segments, and
// `fractal-agent outbox inspect --data DIR` shows what waits there, also beside
// a program that runs. One process at a time may hold a folder.
package outbox

import (
	"context"
	"sync"
	"time"

	"fractallba/internal/segment"
	"fractallba/pcs"
)

const (
	folderName = "outbox"
	streamName = "outbox"

	// A record of 64 KiB, a meta block of as many, and some.
	frameBytesMax = 256 << 10
	// What one call and one sync take, and what may wait for a sync.
	batchRecordsMax = 4096
	batchBytesMax   = 1 << 20
	queueRecordsMax = 4 * batchRecordsMax
	queueBytesMax   = 16 * batchBytesMax
	// So many acknowledgements are written by themselves; fewer ride with the
	// next window, or wait for a quiet moment.
	acksMax = 256
	// What is on disk is marked as such so long after the last write.
	quietTime = 100 * time.Millisecond
	// How far the dead letters may be ahead of the outbox, as where it was
	// removed and they stayed. A number beyond was never given.
	aheadMax = 1 << 44
)

// Window is one record to be kept and sent.
type Window struct {
	// Source names where it comes from, as "csv+file:///…" or "api:".
	Source string
	// Record is signed.
	Record *pcs.Record
	// Position is where the source goes on; nil for a live one. It is durable
	// when the record is, so that nothing is read twice or passed over.
	Position *Position
}

// Waiting is one window without a final answer.
type Waiting struct {
	Seq        uint64 // its number, which is given once
	ShardID    string
	ReceivedAt time.Time // when it was appended
	Bytes      int       // of its frame
}

// Counts are what an outbox ever held.
type Counts struct {
	Windows, Accepted, Escalated, Dead, Repeats uint64
	// Lost frames cannot be read any more.
	Lost uint64
	// Compactions is how often old segments were given up.
	Compactions uint64
	// Syncs since it was opened: appends at the same time share one.
	Syncs uint64
	// Pending windows and the bytes of their frames.
	Pending, PendingBytes int
	// DiskBytes is what the frames of all segments take.
	DiskBytes int
}

// Outbox is the outbox of one folder, held by this process until Close. Its
// methods may be called by any number of goroutines.
type Outbox struct {
	options Options
	stream  *segment.Stream // the committer's alone, but for Read
	letters *deadLetters

	mutex    sync.Mutex
	contents *contents
	queue    []*entry
	queued   struct{ records, bytes int }
	acks     []segment.NewFrame
	failure  error         // why nothing is written any more
	moved    chan struct{} // closed, and made anew, when a batch is done
	syncs    uint64
	isClosed bool

	isCompactionOff bool // the committer's: a window that waits cannot be read

	wake, closing, done chan struct{}
}

// entry is what goes to disk together.
type entry struct {
	frames []segment.NewFrame
	size   int
	seqs   []uint64
	err    error
	done   chan struct{}
}

func nowNS() uint64 { return uint64(time.Now().UnixNano()) }

// Append makes windows durable and ready to be sent, in their order, and
// returns their numbers. Calls at the same time share a sync.
//
// ErrContract: a window is too large, or they are more than one call takes
// (4,096 and 1 MiB); ErrFull: there is no room; nothing was taken. Where ctx
// ends while they are on their way to the disk they may be there, and are sent.
// ErrDisk and ErrFenced: they may or may not be there.
func (o *Outbox) Append(ctx context.Context, windows ...Window) ([]uint64, error) {
	if len(windows) == 0 {
		return nil, nil
	}
	made, err := entryOf(windows)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for {
		o.mutex.Lock()
		if err := o.hasRoom(made); err != nil {
			o.mutex.Unlock()
			return nil, err
		}
		if o.queued.records < queueRecordsMax && o.queued.bytes < queueBytesMax {
			break
		}
		moved := o.moved
		o.mutex.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-moved:
		}
	}
	o.queue = append(o.queue, made)
	o.queued.records += len(made.frames)
	o.queued.bytes += made.size
	o.mutex.Unlock()
	o.wakeUp()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-made.done:
		return made.seqs, made.err
	}
}

func entryOf(windows []Window) (*entry, error) {
	made := &entry{done: make(chan struct{})}
	if len(windows) > batchRecordsMax {
		return nil, errorf(segment.Contract, "outbox: expected at most %d windows in a call, got %d", batchRecordsMax, len(windows))
	}
	now := nowNS()
	for _, each := range windows {
		if each.Record == nil {
			return nil, errorf(segment.Contract, "outbox: expected a record in each window, got none")
		}
		members := each.Record.Members()
		frame := frameOf(windowMeta{
			Kind: kindWindow, Source: each.Source, ShardID: members.ShardID, NextEpoch: uint64(members.Epoch) + 1,
			Position: each.Position, V: frameFormat,
		}, each.Record.Stored(), now)
		if frame.Size() > frameBytesMax || len(frame.Meta) > segment.MetaBytesMax {
			return nil, errorf(segment.Contract, "outbox: expected a window of at most %d bytes with %d of its source, got %d with %d",
				frameBytesMax, segment.MetaBytesMax, frame.Size(), len(frame.Meta))
		}
		made.frames = append(made.frames, frame)
		made.size += frame.Size()
	}
	if made.size > batchBytesMax {
		return nil, errorf(segment.Contract, "outbox: expected at most %d bytes in a call, got %d", batchBytesMax, made.size)
	}
	return made, nil
}

// hasRoom tells why a call cannot be taken now; the caller holds the mutex.
func (o *Outbox) hasRoom(made *entry) error {
	if err := o.usable(); err != nil {
		return err
	}
	if waiting := len(o.contents.pending) + o.queued.records; waiting+len(made.frames) > o.options.RecordsMax {
		return errorf(segment.Full, "outbox: expected room for %d windows, got %d of %d that wait for an answer", len(made.frames), waiting, o.options.RecordsMax)
	}
	if size := o.contents.pendingBytes + o.queued.bytes; size >= o.options.BytesMax {
		return errorf(segment.Full, "outbox: expected fewer than %d bytes that wait for an answer, got %d", o.options.BytesMax, size)
	}
	return nil
}

// usable tells why nothing can be written; the caller holds the mutex.
func (o *Outbox) usable() error {
	if o.isClosed {
		return errorf(segment.Closed, "outbox: expected an open one, got a closed one")
	}
	if o.failure != nil {
		return &Error{Kind: segment.Fenced, Err: o.failure, Message: "outbox: expected one that can be written, got a failure before: " + o.failure.Error()}
	}
	return nil
}

func (o *Outbox) wakeUp() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Acknowledge notes the final answer of a window, which then waits no more. It
// is durable with the next Append, after a quiet moment, or with Close; a crash
// before that lets the window be sent again, and the server repeats its answer.
// ErrFenced: it cannot become durable. A window that does not wait changes
// nothing.
func (o *Outbox) Acknowledge(seq uint64, status int, replayed bool) error {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.isClosed {
		return o.usable()
	}
	if !o.contents.acknowledge(seq, status, replayed) {
		return nil
	}
	if err := o.usable(); err != nil {
		return err
	}
	meta := ackMeta{Kind: kindAck, Seq: seq, Status: status, Replayed: replayed, V: frameFormat}
	o.acks = append(o.acks, frameOf(meta, nil, nowNS()))
	o.wakeUp()
	return nil
}
