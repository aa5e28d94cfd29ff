package client

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"fractallba/internal/members"
)

// Answer is one final answer of the server, or of one line of a batch.
type Answer struct {
	// Status is the HTTP status.
	Status int
	// Body is what the server said, as it came.
	Body []byte
	// Replayed: the server had decided this content before and repeats its
	// first answer.
	Replayed bool
	// ReceivedAt is when the server received the record first, as it wrote it;
	// empty where it did not say.
	ReceivedAt string
	// Code is the stable code of a problem document; empty for any other body.
	Code string
	// RequestID names the request in the server's log.
	RequestID string
	// Attempts is how many requests it took, 1 or more.
	Attempts int

	retryAfter time.Duration
}

// Decision is what the server decided about a record.
type Decision struct {
	PCSID            string   `json:"pcs_id"`
	RecordDigest     string   `json:"record_digest"`
	Accepted         bool     `json:"accepted"`
	Escalated        bool     `json:"escalated"`
	Reasons          []string `json:"reasons"`
	RecomputedDHat   float64  `json:"recomputed_D_hat"`
	RecomputedBudget float64  `json:"recomputed_budget"`
	ParamsVersion    string   `json:"params_version"`
}

// Decision reads the body of a 200, a 202, or a 422 without a code.
func (a *Answer) Decision() (*Decision, error) {
	var decision Decision
	if err := members.Read(a.Body, &decision); err != nil || decision.PCSID == "" {
		// The decoder's own words may quote what came.
		return nil, &ContractError{Message: "answer: expected a decision, got something else"}
	}
	return &decision, nil
}

// Format writes what may be logged: a body may hold a record.
func (a Answer) Format(state fmt.State, _ rune) {
	_, _ = fmt.Fprintf(state, "answer %d %s (%d bytes, replayed %t, attempts %d)", a.Status, a.Code, len(a.Body), a.Replayed, a.Attempts)
}

// IsFinal tells whether sending the same bytes again can only give this answer
// again: 2xx, and every 4xx but 408 and 429. A redirect is not final, and is not
// followed: that would carry a record to a host nobody configured.
func IsFinal(status int) bool {
	if status == http.StatusRequestTimeout || status == http.StatusTooManyRequests {
		return false
	}
	return status/100 == 2 || status/100 == 4
}

// RFC 9110 gives no bound; ten digits hold three centuries.
var delaySeconds = regexp.MustCompile(`^[0-9]{1,10}$`)

// retryAfter is how long a Retry-After header asks to wait: seconds, or a date,
// which is measured from the same answer's Date, so that two clocks which
// disagree do not turn a second into an hour. 0 where it says nothing.
func retryAfter(header http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if delaySeconds.MatchString(text) {
		seconds, _ := strconv.ParseInt(text, 10, 64) // ten digits always fit
		return wholeSeconds(seconds)
	}
	until, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if sent, err := http.ParseTime(header.Get("Date")); err == nil {
		now = sent
	}
	return max(0, until.Sub(now))
}

// wholeSeconds is so many seconds; beyond a duration's range it is the longest.
func wholeSeconds(seconds int64) time.Duration {
	const longest = int64(1<<63-1) / int64(time.Second)
	return time.Duration(min(seconds, longest)) * time.Second
}

// codes are words: anything else in their place is not the server's, and is
// kept out of errors and logs.
var codes = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// problemCode is the code of a problem document, empty for any other body.
func problemCode(status int, body []byte) string {
	var problem struct {
		Code string `json:"code"`
	}
	if status < 400 || members.Read(body, &problem) != nil || !codes.MatchString(problem.Code) {
		return ""
	}
	return problem.Code
}
