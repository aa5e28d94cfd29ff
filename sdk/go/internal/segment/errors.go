package segment

import (
	"errors"
	"fmt"
)

// Kind says what a caller may do about an Error.
type Kind uint8

// The kinds of errors.
const (
	Contract Kind = iota + 1 // what was asked breaks a rule; nothing was done
	Damaged                  // stored bytes are not what was written
	Newer                    // a newer program wrote it; nothing was changed
	Disk                     // the disk failed
	Full                     // there is no room; nothing was written and nothing is in doubt
	Fenced                   // a write failed earlier: nothing is written before a recovery
	Locked                   // another process holds it
	Closed                   // it was closed
)

// Error is what went wrong with a stream. Its message reads "where: expected
// X, got Y" and holds no payload.
type Error struct {
	Kind    Kind
	Message string
	Err     error // what the system said, if it did
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// Unwrap returns what the system said.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an Error of the same kind without a message.
func (e *Error) Is(target error) bool {
	other, isError := target.(*Error)
	return isError && other.Message == "" && other.Kind == e.Kind
}

func errorf(kind Kind, format string, values ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, values...)}
}

// DiskError says where the disk failed or is full; what is an Error already stays
// as it is.
func DiskError(where string, err error) error {
	var known *Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if isNoRoom(err) {
		return &Error{Kind: Full, Err: err, Message: where + ": expected room on the disk, got " + spoken(err) + ": free some room first"}
	}
	return &Error{Kind: Disk, Err: err, Message: where + ": expected a working disk, got " + spoken(err)}
}

// spoken is the system's word alone: the path before it is the caller's.
func spoken(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}
