package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
)

// words says what became of a request in words of a closed set: the transport's
// own may quote what the other side sent, which may be what it was sent.
func words(err error) string {
	var (
		dns     *net.DNSError
		alert   tls.AlertError
		number  syscall.Errno
		timeout net.Error
	)
	switch {
	case errors.Is(err, context.Canceled):
		return "none before the call was cancelled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "none in time"
	case errors.As(err, &dns):
		return "a host name that does not resolve"
	case errors.As(err, &alert):
		return "a TLS handshake that failed"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "a connection that was closed"
	case errors.As(err, &number):
		return number.Error()
	}
	return "something else"
}

// cause keeps of an error what holds nothing that came from outside.
func cause(err error) error {
	var number syscall.Errno
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case errors.As(err, &number):
		return number
	}
	return nil
}
