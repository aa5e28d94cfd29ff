package outbox

import (
	"encoding/json"
	"fmt"

	"fractallba/internal/segment"
)

// frameFormat is the version of the meta blocks: a newer one is refused.
const frameFormat = 1

// Kinds of frames (specs/agent.md, section 2).
const (
	kindWindow  = "window"  // a record; its stream's next epoch, its source's position
	kindAgain   = "again"   // the record of a dead letter, to be sent once more
	kindCarried = "carried" // a copy of a window, under the number of that
	kindAck     = "ack"     // the final answer of a window
	kindStream  = "stream"  // what the last window of a stream said
	kindTotals  = "totals"  // no frame before kept_from is needed; the counts up to here
	kindSkipped = "skipped" // no frame behind it has a number up to its own
)

// Position is how far a source has been read. A live source has none.
type Position struct {
	// Offset is where the next window begins, in bytes or rows.
	Offset uint64 `json:"offset"`
	// Units is how many rows or bytes windows were cut from so far.
	Units uint64 `json:"units"`
	// Mark is the hex digest of what stands right before Offset.
	Mark string `json:"mark"`
	// ClosedUntilMS and ReadTo are of windows of time; nil where units are counted.
	ClosedUntilMS *int64  `json:"closed_until_ms,omitempty"`
	ReadTo        *uint64 `json:"read_to,omitempty"`
}

type windowMeta struct {
	Kind      string    `json:"kind"`
	Source    string    `json:"source"`
	ShardID   string    `json:"shard_id"`
	NextEpoch uint64    `json:"next_epoch"`
	Position  *Position `json:"position"`
	V         int       `json:"v"`
}

type carriedMeta struct {
	Kind      string `json:"kind"`
	Seq       uint64 `json:"seq"`
	ShardID   string `json:"shard_id"`
	NextEpoch uint64 `json:"next_epoch"`
	V         int    `json:"v"`
}

type ackMeta struct {
	Kind     string `json:"kind"`
	Seq      uint64 `json:"seq"`
	Status   int    `json:"status"`
	Replayed bool   `json:"replayed"`
	V        int    `json:"v"`
}

type streamMeta struct {
	Kind      string    `json:"kind"`
	Source    string    `json:"source"`
	ShardID   string    `json:"shard_id"`
	NextEpoch uint64    `json:"next_epoch"`
	Position  *Position `json:"position"`
	LostSince uint64    `json:"lost_since"`
	V         int       `json:"v"`
}

type totalsMeta struct {
	Kind        string `json:"kind"`
	KeptFrom    uint64 `json:"kept_from"`
	Windows     uint64 `json:"windows"`
	Accepted    uint64 `json:"accepted"`
	Escalated   uint64 `json:"escalated"`
	Dead        uint64 `json:"dead"`
	Repeats     uint64 `json:"repeats"`
	Lost        uint64 `json:"lost"`
	Compactions uint64 `json:"compactions"`
	V           int    `json:"v"`
}

type skippedMeta struct {
	Kind string `json:"kind"`
	To   uint64 `json:"to"`
	V    int    `json:"v"`
}

// anyMeta is a meta block as it is read: the members of every kind.
type anyMeta struct {
	Kind        *string   `json:"kind"`
	V           *int64    `json:"v"`
	Source      *string   `json:"source"`
	ShardID     *string   `json:"shard_id"`
	NextEpoch   *uint64   `json:"next_epoch"`
	Position    *Position `json:"position"`
	Letter      *uint64   `json:"letter"`
	Seq         *uint64   `json:"seq"`
	Status      *int      `json:"status"`
	Replayed    *bool     `json:"replayed"`
	LostSince   *uint64   `json:"lost_since"`
	To          *uint64   `json:"to"`
	KeptFrom    *uint64   `json:"kept_from"`
	Windows     *uint64   `json:"windows"`
	Accepted    *uint64   `json:"accepted"`
	Escalated   *uint64   `json:"escalated"`
	Dead        *uint64   `json:"dead"`
	Repeats     *uint64   `json:"repeats"`
	Lost        *uint64   `json:"lost"`
	Compactions *uint64   `json:"compactions"`
}

// readMeta reads the meta block of a frame. ErrNewer: a newer program wrote it;
// ErrDamaged: it is none of an outbox.
func readMeta(frame segment.Frame) (*anyMeta, error) {
	var version struct {
		V *int64 `json:"v"`
	}
	if json.Unmarshal(frame.Meta, &version) != nil || version.V == nil {
		return nil, notOurs(frame.Seq)
	}
	if *version.V > frameFormat {
		return nil, errorf(segment.Newer, "outbox frame %d: expected format %d, got %d: read it with the release that knows format %d",
			frame.Seq, frameFormat, *version.V, *version.V)
	}
	var meta anyMeta
	if json.Unmarshal(frame.Meta, &meta) != nil || meta.Kind == nil || !meta.isWhole() {
		return nil, notOurs(frame.Seq)
	}
	return &meta, nil
}

func notOurs(seq uint64) error {
	return errorf(segment.Damaged, "outbox frame %d: expected a frame of an outbox, got something else", seq)
}

// isWhole tells whether the members that its kind must have are there.
func (m *anyMeta) isWhole() bool {
	switch *m.Kind {
	case kindWindow:
		return m.Source != nil && m.ShardID != nil && m.NextEpoch != nil
	case kindAgain:
		return m.Letter != nil && m.ShardID != nil && m.NextEpoch != nil
	case kindCarried:
		return m.Seq != nil && m.ShardID != nil && m.NextEpoch != nil
	case kindAck:
		return m.Seq != nil && m.Status != nil && m.Replayed != nil
	case kindStream:
		return m.Source != nil && m.ShardID != nil && m.NextEpoch != nil && m.LostSince != nil
	case kindTotals:
		return m.KeptFrom != nil && m.Windows != nil && m.Accepted != nil && m.Escalated != nil &&
			m.Dead != nil && m.Repeats != nil && m.Lost != nil && m.Compactions != nil
	case kindSkipped:
		return m.To != nil
	}
	return false
}

func (m *anyMeta) holdsWindow() bool {
	return *m.Kind == kindWindow || *m.Kind == kindAgain || *m.Kind == kindCarried
}

// frameOf makes a frame of a meta block, which always has a JSON form.
func frameOf(meta any, payload []byte, receivedNS uint64) segment.NewFrame {
	block, err := json.Marshal(meta)
	if err != nil {
		panic(fmt.Sprintf("a meta block of %T without JSON: a bug", meta))
	}
	return segment.NewFrame{ReceivedNS: receivedNS, Meta: block, Payload: payload}
}
