package outbox

import (
	"fmt"

	"fractallba/internal/segment"
)

// Error is what went wrong with an outbox. Its message reads "where: expected
// X, got Y" and holds no payload. errors.Is tells its kind:
//
//	errors.Is(err, outbox.ErrLocked)
type Error = segment.Error

// Kinds of errors, for errors.Is.
var (
	// ErrContract: what was asked breaks a rule; nothing was done.
	ErrContract error = &Error{Kind: segment.Contract}
	// ErrDamaged: stored bytes are not what was written.
	ErrDamaged error = &Error{Kind: segment.Damaged}
	// ErrNewer: a newer program wrote it; nothing was changed.
	ErrNewer error = &Error{Kind: segment.Newer}
	// ErrDisk: the disk failed; the outbox is fenced.
	ErrDisk error = &Error{Kind: segment.Disk}
	// ErrFull: there is no room, on the disk or within the bounds. Nothing was
	// taken, and the same may be tried again later.
	ErrFull error = &Error{Kind: segment.Full}
	// ErrFenced: a write failed earlier. What is on disk can be read and sent;
	// opening the folder again recovers it.
	ErrFenced error = &Error{Kind: segment.Fenced}
	// ErrLocked: another process holds the folder, which the message names.
	ErrLocked error = &Error{Kind: segment.Locked}
	// ErrClosed: the outbox was closed.
	ErrClosed error = &Error{Kind: segment.Closed}
)

func errorf(kind segment.Kind, format string, values ...any) error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, values...)}
}
