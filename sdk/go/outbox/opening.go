package outbox

import (
	"errors"
	"path/filepath"
	"time"

	"fractallba/internal/segment"
)

// Options bound an outbox. The zero value of each field means its default.
type Options struct {
	// RecordsMax is how many windows may wait for an answer; default
	// 1,000,000. Each takes some 200 bytes of memory.
	RecordsMax int
	// BytesMax is how many bytes their frames may have; default 1 GiB. A
	// window is taken as long as fewer wait.
	BytesMax int
	// SegmentBytesMax is where a segment is closed, 4 MiB to 1 GiB; default
	// 8 MiB. Opening reads one whole, and answered ones are given up whole.
	SegmentBytesMax int
	// SegmentAgeMax is at which age a segment is closed by the next window;
	// default a day.
	SegmentAgeMax time.Duration
}

func (o Options) withDefaults() Options {
	or := func(value *int, otherwise int) {
		if *value == 0 {
			*value = otherwise
		}
	}
	or(&o.RecordsMax, 1_000_000)
	or(&o.BytesMax, 1<<30)
	or(&o.SegmentBytesMax, 8<<20)
	if o.SegmentAgeMax == 0 {
		o.SegmentAgeMax = 24 * time.Hour
	}
	return o
}

func (o Options) check() error {
	if o.RecordsMax < 1 || o.BytesMax < 1 || o.SegmentAgeMax < 0 {
		return errorf(segment.Contract, "outbox: expected bounds above 0, got another")
	}
	if o.SegmentBytesMax < 4<<20 || o.SegmentBytesMax > 1<<30 {
		return errorf(segment.Contract, "outbox: expected segments of %d to %d bytes, got %d", 4<<20, 1<<30, o.SegmentBytesMax)
	}
	return nil
}

// Open locks, recovers and reads the outbox of a folder, made where it is
// missing. ErrLocked: another process holds it; ErrNewer: a newer program wrote
// it; ErrDamaged: it holds something else; ErrDisk, ErrFull: the disk refused.
// ErrContract also where the system has no flock (Windows, Solaris, AIX). Damage
// to what it holds is no error: see Damage.
func Open(folder string, options Options) (*Outbox, error) {
	if err := segment.Supported(); err != nil {
		return nil, err
	}
	options = options.withDefaults()
	if err := options.check(); err != nil {
		return nil, err
	}
	return open(segment.System{}, folder, options)
}

func open(disk segment.Storage, folder string, options Options) (*Outbox, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, segment.DiskError(folder, err)
	}
	if err := checkUsable(disk, folder); err != nil {
		return nil, err
	}
	stream, err := segment.Open(disk, filepath.Join(folder, folderName), streamName, segment.Bounds{
		SegmentBytesMax: options.SegmentBytesMax, FrameBytesMax: frameBytesMax, SegmentAgeMax: options.SegmentAgeMax,
	})
	if err != nil {
		var known *Error
		if errors.As(err, &known) && known.Kind == segment.Locked {
			return nil, &Error{Kind: known.Kind, Message: "data folder " + folder + ": " + known.Message}
		}
		return nil, err
	}
	o := &Outbox{
		options: options, stream: stream, contents: newContents(),
		moved: make(chan struct{}), wake: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}),
	}
	if err := o.read(disk, folder); err != nil {
		_ = stream.Close() // the first error says why
		return nil, err
	}
	go o.commitAll()
	return o, nil
}

// read adds up the stream, and passes over every number that may have been
// given: a batch that was damaged after its sync looks like a torn one, and an
// outbox may have been removed while its dead letters stayed.
func (o *Outbox) read(disk segment.Storage, folder string) error {
	c, stream := o.contents, o.stream
	for each, err := range stream.Scan() {
		switch {
		case err != nil:
			return err
		case each.Damage != nil:
			c.note(*each.Damage)
		default:
			if err := c.add(each.Position, each.Frame); err != nil {
				return err
			}
		}
	}
	next := stream.NextSeq()
	c.skipTo(next)
	letters, err := openDeadLetters(disk, folder, c, c.nextSeq+aheadMax)
	if err != nil {
		return err
	}
	o.letters = letters
	letterSeq := letters.seq
	torn := next - 1 + uint64(stream.Recovery().TornBytes/segment.FrameBytes)
	if seen := max(torn, letterSeq); seen >= c.nextSeq {
		// This frame first: numbers that are missing without it would be a loss.
		skipped := frameOf(skippedMeta{kindSkipped, seen, frameFormat}, nil, nowNS())
		if _, err := stream.Append([]segment.NewFrame{skipped}); err != nil {
			return errors.Join(err, letters.close())
		}
		c.passOver(seen)
	}
	if err := stream.SkipTo(c.nextSeq, letterSeq >= next); err != nil {
		return errors.Join(err, letters.close())
	}
	return nil
}

// checkUsable refuses a folder of a server, and the folder above an outbox's.
func checkUsable(disk segment.Storage, folder string) error {
	if disk.IsFolder(filepath.Join(folder, folderName, folderName)) {
		return errorf(segment.Contract, "%s: expected a folder for an outbox, got the folder above one", folder)
	}
	names, err := disk.Names(folder)
	if err != nil {
		return nil // it is made, or opening it says what is wrong
	}
	for _, name := range names {
		if name == "server.toml" || name == "shards.json" {
			return errorf(segment.Contract, "%s: expected a folder for an outbox, got one of fractal-server (%s): name another one", folder, name)
		}
	}
	return nil
}
