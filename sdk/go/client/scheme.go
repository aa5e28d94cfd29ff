package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// A handshake takes two round trips.
	askTimeout = 5 * time.Second
	// Of the time that is left so much stays for further attempts: a server
	// without TLS may wait for the rest of a request as long as it likes.
	askShare = 4
)

// schemeCheck finds out whether a URL has the other scheme than its server's.
//
// https:// to a server without TLS shows in the handshake. http:// to one with
// TLS does not: most close a connection that speaks HTTP without a word, as one
// does that ends, and others answer 400. So the server is asked for a handshake,
// once at the most, and nothing is sent over it.
type schemeCheck struct {
	isAsked atomic.Bool
}

// failed is what a request without an answer failed with, a *SchemeError or an
// *UntrustedError in it where that is why.
func (s *schemeCheck) failed(ctx context.Context, to *url.URL, where string, err error) *UnavailableError {
	var notTLS tls.RecordHeaderError
	switch {
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &notTLS):
		return wrongScheme(where + ": expected a server that speaks TLS, got one that does not: is its URL http://?")
	case isNoHTTP(err) && s.speaksTLS(ctx, to):
		return hasTLS(where)
	}
	if said := distrust(err); said != "" {
		message := where + ": " + said
		return &UnavailableError{Message: message, Err: &UntrustedError{Message: message}}
	}
	return unavailable(where, words(err), cause(err))
}

// answered looks at a final answer: servers that have TLS and know HTTP when
// they meet it refuse it with a page of their own.
func (s *schemeCheck) answered(ctx context.Context, to *url.URL, where string, answer *Answer) *UnavailableError {
	if answer.Status == http.StatusBadRequest && answer.Code == "" && s.speaksTLS(ctx, to) {
		return hasTLS(where)
	}
	return nil
}

func hasTLS(where string) *UnavailableError {
	return wrongScheme(where + ": expected a server that speaks HTTP without TLS, got one with: is its URL https://?")
}

func wrongScheme(message string) *UnavailableError {
	return &UnavailableError{Message: message, Err: &SchemeError{Message: message}}
}

// isNoHTTP tells whether a connection ended, or brought something else, before
// an answer.
func isNoHTTP(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || strings.Contains(err.Error(), "malformed HTTP")
}

// speaksTLS tells whether the server of an http:// URL answers a handshake, where
// it was not asked before.
func (s *schemeCheck) speaksTLS(ctx context.Context, to *url.URL) bool {
	if to.Scheme != "http" || s.isAsked.Swap(true) {
		return false
	}
	bound := askTimeout
	if until, isBound := ctx.Deadline(); isBound {
		bound = min(bound, time.Until(until)/askShare)
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	address := to.Host
	if to.Port() == "" {
		address = net.JoinHostPort(to.Hostname(), "80")
	}
	// Whoever it is: nothing is sent.
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	connection, err := dialer.DialContext(ctx, "tcp", address)
	var alert tls.AlertError
	if err != nil {
		return errors.As(err, &alert)
	}
	_ = connection.Close() // nothing was sent
	return true
}
