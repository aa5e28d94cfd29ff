package main

import (
	"context"
	"encoding/json"
	"errors"

	"fractallba/client"
	"fractallba/outbox"
	"fractallba/pcs"
)

func init() {
	register("outbox.open", openOutbox)
	register("outbox.append", appendWindows)
	register("outbox.pending", pending)
	register("outbox.acknowledge", acknowledge)
	register("outbox.damage", damage)
	register("outbox.ship", ship)
	register("outbox.close", closeOutbox)
}

// kept is the outbox that is open.
var kept *outbox.Outbox

var errNoOutbox = errors.New("expected outbox.open first")

func openOutbox(line json.RawMessage) (any, error) {
	var given struct {
		Folder          string
		SegmentBytesMax int `json:"segment_bytes_max"`
	}
	if err := json.Unmarshal(line, &given); err != nil {
		return nil, err
	}
	opened, err := outbox.Open(given.Folder, outbox.Options{SegmentBytesMax: given.SegmentBytesMax})
	if err != nil {
		kind := kindOf(err)
		if kind == "" || kind == "full" {
			kind = "disk"
		}
		return map[string]any{"error": map[string]any{"kind": kind}}, nil
	}
	kept = opened
	return map[string]any{"pending": len(kept.Pending())}, nil
}

// kindOf says what the outbox or its disk refused; empty where it was neither.
func kindOf(err error) string {
	for kind, known := range map[string]error{
		"locked": outbox.ErrLocked, "damaged": outbox.ErrDamaged, "newer": outbox.ErrNewer, "contract": outbox.ErrContract,
		"disk": outbox.ErrDisk, "full": outbox.ErrFull, "fenced": outbox.ErrFenced,
	} {
		if errors.Is(err, known) {
			return kind
		}
	}
	return ""
}

// refused is the answer to what the outbox or its disk refused; what is no such
// error is a crash.
func refused(err error) (any, error) {
	if kind := kindOf(err); kind != "" {
		return failure(kind, nil), nil
	}
	return nil, err
}

func appendWindows(line json.RawMessage) (any, error) {
	var given struct {
		Source string
		Bodies [][]byte
	}
	if err := json.Unmarshal(line, &given); err != nil {
		return nil, err
	}
	if kept == nil {
		return nil, errNoOutbox
	}
	windows := make([]outbox.Window, len(given.Bodies))
	for i, body := range given.Bodies {
		record, err := pcs.ParseRecord(body)
		var refused *pcs.Refusal
		if errors.As(err, &refused) {
			return failure("contract", nil), nil
		}
		if err != nil {
			return nil, err
		}
		windows[i] = outbox.Window{Source: given.Source, Record: record}
	}
	seqs := []uint64{}
	for len(windows) > 0 { // a call takes a mebibyte
		count := min(len(windows), 64)
		some, err := kept.Append(context.Background(), windows[:count]...)
		if errors.Is(err, outbox.ErrFull) {
			return failure("full", nil), nil
		}
		if err != nil {
			return refused(err)
		}
		seqs, windows = append(seqs, some...), windows[count:]
	}
	return map[string]any{"seqs": seqs}, nil
}

func pending(json.RawMessage) (any, error) {
	if kept == nil {
		return nil, errNoOutbox
	}
	windows := []any{}
	for _, each := range kept.Pending() {
		record, err := kept.Record(each.Seq)
		if err != nil {
			return refused(err)
		}
		windows = append(windows, map[string]any{"seq": each.Seq, "body": record.Stored()})
	}
	return map[string]any{"windows": windows}, nil
}

func damage(json.RawMessage) (any, error) {
	if kept == nil {
		return nil, errNoOutbox
	}
	return map[string]any{"damage": append([]string{}, kept.Damage()...), "lost": kept.Counts().Lost}, nil
}

func acknowledge(line json.RawMessage) (any, error) {
	var given struct {
		Seq      uint64
		Status   int
		Replayed bool
	}
	if err := json.Unmarshal(line, &given); err != nil {
		return nil, err
	}
	if kept == nil {
		return nil, errNoOutbox
	}
	if err := kept.Acknowledge(given.Seq, given.Status, given.Replayed); err != nil {
		return refused(err)
	}
	return map[string]any{"ok": true}, nil
}

func ship(json.RawMessage) (any, error) {
	if kept == nil {
		return nil, errNoOutbox
	}
	if talk.client == nil {
		return nil, errNoClient
	}
	ctx, cancel := within()
	defer cancel()
	answers := []any{}
	err := kept.Ship(ctx, talk.client, func(each outbox.Shipped) {
		answers = append(answers, map[string]any{
			"seq": each.Seq, "status": each.Status, "replayed": each.Replayed, "code": orNull(each.Code),
		})
	})
	var untrusted *client.UntrustedError
	var scheme *client.SchemeError
	switch {
	case errors.As(err, &untrusted), errors.As(err, &scheme):
		return said(nil, err), nil
	case err != nil && !errors.Is(err, context.DeadlineExceeded):
		return refused(err)
	}
	return map[string]any{"answers": answers}, nil
}

func closeOutbox(json.RawMessage) (any, error) {
	if kept == nil {
		return nil, errNoOutbox
	}
	err := kept.Close()
	kept = nil
	if err != nil {
		return refused(err)
	}
	return map[string]any{"ok": true}, nil
}
