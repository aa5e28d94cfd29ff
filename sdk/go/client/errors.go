package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fractallba/internal/members"
)

// ContractError is a call that breaks a rule, and always will: nothing was sent.
type ContractError struct {
	Message string
}

// Error implements error.
func (e *ContractError) Error() string { return e.Message }

// SchemeError is a URL whose scheme is not what its server speaks: no call can
// succeed before it is mended. Over http:// the record, and the token if there
// is one, were sent unencrypted.
type SchemeError struct {
	Message string
}

// Error implements error.
func (e *SchemeError) Error() string { return e.Message }

// UntrustedError is a server without a certificate that is trusted for the host
// in the URL and valid now: nothing was sent to it. Or it is one that refuses the
// client's certificate. No call can succeed before one of them is mended; the
// same bytes may be sent then.
type UntrustedError struct {
	Message string
}

// Error implements error.
func (e *UntrustedError) Error() string { return e.Message }

// Problem is a final refusal of the server: sending the same bytes again gives
// the same. Code and Reason are stable; Detail is for people, and is not part
// of the error's text.
type Problem struct {
	Status    int    `json:"-"`
	Code      string `json:"-"` // empty where the body is no problem document, as of a proxy
	Title     string `json:"title"`
	Detail    string `json:"detail"`
	Reason    string `json:"reason"`
	Member    string `json:"member"`
	RequestID string `json:"request_id"`

	// Of a conflict (409).
	PCSID              string `json:"pcs_id"`
	FirstContentDigest string `json:"first_content_digest"`
	ContentDigest      string `json:"content_digest"`
	FirstReceivedAt    string `json:"first_received_at"`

	// Answer is all of what came.
	Answer *Answer `json:"-"`
}

// Error implements error.
func (p *Problem) Error() string {
	code := p.Code
	if code == "" {
		code = "without a code: is the URL that of a fractal-server?"
	}
	return fmt.Sprintf("server: expected a decision, got %d %s", p.Status, code)
}

func problemOf(answer *Answer) *Problem {
	var problem Problem
	if members.Read(answer.Body, &problem) != nil {
		problem = Problem{}
	}
	problem.Status, problem.Code, problem.Answer = answer.Status, answer.Code, answer
	return &problem
}

// UnavailableError is a call that got no final answer: whether the server has
// the record is unknown, and the same bytes may be sent again.
//
// errors.Is finds context.DeadlineExceeded and context.Canceled where these
// ended the call.
type UnavailableError struct {
	Message    string
	Status     int           // of the last answer; 0 where none came
	Code       string        // of its problem document
	RetryAfter time.Duration // what it asked for
	Attempts   int
	Err        error // why the call ended, and what the system said
}

// Error implements error.
func (e *UnavailableError) Error() string { return e.Message }

// Unwrap returns why the call ended.
func (e *UnavailableError) Unwrap() error { return e.Err }

// IsDeadline tells whether the call ended because its context did.
func (e *UnavailableError) IsDeadline() bool {
	return errors.Is(e.Err, context.DeadlineExceeded) || errors.Is(e.Err, context.Canceled)
}
