package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"fractallba/client"
	"fractallba/internal/members"
	"fractallba/internal/segment"
	"fractallba/pcs"
)

const (
	// What one request carries.
	shipRecordsMax = 256
	shipBytesMax   = 512 << 10
	// Full jitter under a ceiling that doubles from the first to the last, on
	// top of what the server asked, which counts as at most so much.
	shipWaitFirst     = 100 * time.Millisecond
	shipWaitMax       = 10 * time.Second
	shipRetryAfterMax = 300 * time.Second
)

// Shipped is the final answer to one window.
type Shipped struct {
	Seq      uint64
	PCSID    string
	Status   int
	Replayed bool
	Code     string // of a problem document
}

// Ship sends what waits, oldest first, until each window has a final answer or
// ctx ends, whose error it then returns; windows that come meanwhile are sent
// too. tell, where it is not nil, hears of each final answer once it is noted.
// One call at a time.
//
// A success counts only when it is a decision about that very record, a
// refusal only when it is the server's own (a decision, or a problem with a
// code): a proxy's page ends no window, and neither does a 404 or 405, which
// speak of the URL. What was not accepted is in DIR/dead-letters.ndjson, on
// disk, before its window waits no more.
//
// An error of the disk ends it: what was not noted still waits. A window that
// cannot be read goes on waiting, and is told in the error at the end.
func (o *Outbox) Ship(ctx context.Context, to *client.Client, tell func(Shipped)) error {
	s := shipper{
		outbox: o, client: to.WithRetry(client.RetryPolicy{Attempts: 1}), tell: tell,
		most: shipRecordsMax, attempts: map[uint64]int64{}, unreadable: map[uint64]error{},
	}
	for failures := 0; ; {
		seqs := s.next()
		if len(seqs) == 0 {
			return s.unread()
		}
		asked, isAnswered, err := s.send(ctx, seqs)
		if err != nil {
			return err
		}
		if isAnswered {
			failures = 0
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		ceiling := min(shipWaitFirst<<min(failures, 16), shipWaitMax)
		failures++
		wait := time.NewTimer(min(asked, shipRetryAfterMax) + rand.N(ceiling+1))
		select {
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		case <-wait.C:
		}
	}
}

// shipper is one call of Ship.
type shipper struct {
	outbox     *Outbox
	client     *client.Client
	tell       func(Shipped)
	most       int              // windows of a request, which follow the answers
	round      []uint64         // windows that are still to be sent in this round
	attempts   map[uint64]int64 // by number
	unreadable map[uint64]error
}

// next returns the windows of the next request. What waited when a round began
// goes out in it once, oldest first; what came meanwhile and what got no final
// answer is in the next round, so that no window holds up the others.
func (s *shipper) next() []uint64 {
	s.outbox.mutex.Lock()
	defer s.outbox.mutex.Unlock()
	pending := s.outbox.contents.pending
	for range 2 {
		var seqs []uint64
		for size := 0; len(s.round) > 0 && len(seqs) < s.most; s.round = s.round[1:] {
			seq := s.round[0]
			here, isPending := pending[seq]
			if !isPending || s.unreadable[seq] != nil {
				continue
			}
			if size += here.size; len(seqs) > 0 && size > shipBytesMax {
				break
			}
			seqs = append(seqs, seq)
		}
		if len(seqs) > 0 {
			return seqs
		}
		s.round = s.outbox.contents.oldest()
	}
	return nil
}

// unread is what could not be sent because it cannot be read.
func (s *shipper) unread() error {
	var all []error
	for seq, err := range s.unreadable {
		all = append(all, fmt.Errorf("outbox window %d: %w", seq, err))
	}
	return errors.Join(all...)
}

// sent is a window on its way.
type sent struct {
	seq    uint64
	record *pcs.Record
	body   []byte
}

// send makes one request of these windows, or one of each. It tells what the
// server asked to wait, and whether any window was ended.
func (s *shipper) send(ctx context.Context, seqs []uint64) (time.Duration, bool, error) {
	var windows []sent
	var bodies [][]byte
	for _, seq := range seqs {
		one, err := s.read(seq)
		if err != nil {
			s.unreadable[seq] = err
			continue
		}
		windows, bodies = append(windows, one), append(bodies, one.body)
	}
	if len(windows) == 0 {
		return 0, true, nil // another request follows at once
	}
	if len(windows) == 1 {
		answer, err := s.client.Submit(ctx, bodies[0])
		return s.settle(windows, []client.Result{{Answer: answer, Err: err}})
	}
	results, err := s.client.Batch(ctx, bodies)
	var refused *client.Problem
	var unavailable *client.UnavailableError
	switch {
	case errors.As(err, &refused):
		// What is said of a batch as a whole ends no window: in halves where it
		// was too large, each alone where no batch is let through.
		s.most = 1
		if refused.Status == http.StatusRequestEntityTooLarge {
			s.most = max(1, len(windows)/2)
		}
		s.round = append(seqs, s.round...)
		return 0, true, nil
	case errors.As(err, &unavailable):
		s.most = max(1, len(windows)/2)
		return unavailable.RetryAfter, false, nil
	case err != nil:
		return 0, false, err
	}
	s.most = min(2*s.most, shipRecordsMax)
	return s.settle(windows, results)
}

// read reads a window back, with what is unsigned and changes with each sending.
func (s *shipper) read(seq uint64) (sent, error) {
	record, err := s.outbox.Record(seq)
	if err != nil {
		return sent{}, err
	}
	s.attempts[seq]++
	at, err := pcs.FormatTimestamp(time.Now().UnixMilli())
	if err != nil {
		return sent{}, err
	}
	body, err := record.Sent(pcs.Delivery{Attempt: s.attempts[seq], SentAt: at, OutboxSeq: int64(seq)})
	if err != nil {
		return sent{}, err
	}
	return sent{seq: seq, record: record, body: body}, nil
}

// settle notes final answers, the dead letters on disk before the outbox
// forgets their records.
func (s *shipper) settle(windows []sent, results []client.Result) (time.Duration, bool, error) {
	var asked time.Duration
	var ended []Shipped
	var dead []letter
	at, err := pcs.FormatTimestamp(time.Now().UnixMilli())
	if err != nil {
		return 0, false, err
	}
	for i, result := range results {
		answer := result.Answer
		var refused *client.Problem
		var unavailable *client.UnavailableError
		switch {
		case errors.As(result.Err, &refused):
			answer = refused.Answer
		case errors.As(result.Err, &unavailable):
			asked = max(asked, unavailable.RetryAfter)
			continue
		case result.Err != nil:
			return 0, false, result.Err
		}
		if !isAbout(answer, windows[i].record.PCSID()) {
			continue
		}
		one := Shipped{Seq: windows[i].seq, PCSID: windows[i].record.PCSID(), Status: answer.Status, Replayed: answer.Replayed, Code: answer.Code}
		ended = append(ended, one)
		if answer.Status/100 != 2 {
			dead = append(dead, letterOf(windows[i].record, one, answer.Body, at))
		}
	}
	if err := s.outbox.letters.append(dead); err != nil {
		return 0, false, err
	}
	for _, one := range ended {
		if err := s.outbox.Acknowledge(one.Seq, one.Status, one.Replayed); err != nil && !errors.Is(err, ErrFenced) {
			return 0, false, err
		} else if err != nil {
			return 0, false, errorf(segment.Fenced, "outbox window %d: expected its answer on disk, got a failure: it is sent again", one.Seq)
		}
		delete(s.attempts, one.Seq)
		if s.tell != nil {
			s.tell(one)
		}
	}
	return asked, len(ended) > 0 && len(ended) == len(windows), nil
}

// isAbout tells whether a final answer may be taken as one about this record.
func isAbout(answer *client.Answer, pcsID string) bool {
	if answer.Status == http.StatusNotFound || answer.Status == http.StatusMethodNotAllowed {
		return false
	}
	var named struct {
		PCSID *string `json:"pcs_id"`
	}
	if members.Read(answer.Body, &named) != nil {
		return false
	}
	if named.PCSID != nil {
		return *named.PCSID == pcsID
	}
	return answer.Status/100 == 4 && answer.Code != ""
}
