package outbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"unicode/utf8"

	"fractallba/internal/segment"
)

const (
	letterSeqMax = 1<<53 - 1
	// What is held of a line at the most. A longer one is no letter; its
	// beginning tells its number.
	heldBytesMax   = 1 << 20
	lineHeadLength = 64
)

// letterLine is a line as it stands in the file.
type letterLine struct {
	head []byte // its beginning
	size int64  // with its line end
	seq  uint64 // of the letter, 0 for none
}

// mend reads the file. What stands behind the last line that is a letter, or
// that was one, was torn before its window was acknowledged: it goes to the file
// of what was cut. What stays may be in memory alone, where a process before this
// one failed to sync it: its end is written again, and synced.
func (d *deadLetters) mend(c *contents, seqMax uint64) error {
	var offset, end int64
	unreadable, kept := 0, 0
	err := eachLine(d.file, func(line letterLine) {
		offset += line.size
		switch {
		case line.seq == 0:
			unreadable++
		case line.seq > seqMax:
			c.damage = append(c.damage, fmt.Sprintf("%s: expected numbers up to %d, got %d", lettersName, seqMax, line.seq))
		default:
			d.seq = max(d.seq, line.seq)
		}
		if line.seq > 0 || wasDurable(line.head, c) {
			end, kept = offset, unreadable
		}
	})
	if err != nil {
		return err
	}
	if kept > 0 {
		c.damage = append(c.damage, fmt.Sprintf("%s: expected letters, got %d lines that cannot be read: kept", lettersName, kept))
	}
	size, err := d.file.Size()
	if err == nil && size > end {
		if err = d.keepCut(end); err == nil {
			err = d.file.Truncate(end)
		}
	}
	if err == nil && end > 0 {
		err = d.writeAgain(end)
	}
	if err != nil {
		return err
	}
	d.size = end
	return d.file.Datasync()
}

// writeAgain writes the end of what stays; its last line may have lost its end.
func (d *deadLetters) writeAgain(end int64) error {
	start := max(0, end-letterBytesMax)
	last := make([]byte, end-start)
	if _, err := d.file.ReadAt(last[:len(last)-1], start); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	last[len(last)-1] = '\n'
	_, err := d.file.WriteAt(last, start)
	return err
}

// keepCut makes what is about to be cut durable, behind what was cut before.
func (d *deadLetters) keepCut(start int64) error {
	path := filepath.Join(d.folder, cutName)
	kept, err := d.disk.Open(path, true)
	if err != nil {
		if kept, err = d.disk.Create(path); err != nil {
			return err
		}
	}
	to, err := kept.Size()
	block := make([]byte, letterBytesMax)
	for n := 1; err == nil && n > 0; start, to = start+int64(n), to+int64(n) {
		if n, err = d.file.ReadAt(block, start); errors.Is(err, io.EOF) {
			err = nil
		}
		if err == nil && n > 0 {
			_, err = kept.WriteAt(block[:n], to)
		}
	}
	if err == nil {
		err = kept.Datasync()
	}
	if err = errors.Join(err, kept.Close()); err != nil {
		return err
	}
	return d.disk.SyncDir(d.folder)
}

// eachLine gives see each line; the last one may have lost its end, or that byte
// may be another.
func eachLine(file segment.File, see func(letterLine)) error {
	var rest []byte
	var dropped int64 // of the line in rest
	block := make([]byte, letterBytesMax)
	for offset := int64(0); ; {
		n, err := file.ReadAt(block, offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n == 0 {
			break
		}
		offset += int64(n)
		rest = append(rest, block[:n]...)
		for {
			line, behind, isEnded := bytes.Cut(rest, []byte{'\n'})
			if !isEnded {
				break
			}
			seq, err := readLetter(line, dropped > 0)
			if err != nil {
				return err
			}
			see(letterLine{head: headOf(line), size: int64(len(line)) + dropped + 1, seq: seq})
			rest, dropped = behind, 0
		}
		if len(rest) > heldBytesMax {
			dropped += int64(len(rest) - lineHeadLength)
			rest = rest[:lineHeadLength]
		}
		rest = bytes.Clone(rest) // and not what stood before it
	}
	if len(rest) == 0 {
		return nil
	}
	size := int64(len(rest)) + dropped + 1
	seq, err := readLetter(rest, dropped > 0)
	if err == nil && seq == 0 {
		if seq, err = readLetter(rest[:len(rest)-1], dropped > 0); seq > 0 {
			size--
		}
	}
	if err != nil {
		return err
	}
	see(letterLine{head: headOf(rest), size: size, seq: seq})
	return nil
}

func headOf(line []byte) []byte {
	return bytes.Clone(line[:min(len(line), lineHeadLength)])
}

// readLetter is the number of the letter that a line holds, 0 where it holds
// none. Newer: a later program wrote it.
func readLetter(line []byte, isCut bool) (uint64, error) {
	var members map[string]json.RawMessage
	if isCut || !utf8.Valid(line) || json.Unmarshal(line, &members) != nil {
		return 0, nil
	}
	whole := func(name string) (int64, bool) {
		value, err := strconv.ParseInt(string(members[name]), 10, 64)
		return value, err == nil
	}
	if version, isWhole := whole("v"); isWhole && version > frameFormat {
		return 0, errorf(segment.Newer, "%s: expected format %d, got %d", lettersName, frameFormat, version)
	}
	isText := func(name string) bool { return bytes.HasPrefix(members[name], []byte{'"'}) }
	for _, name := range [...]string{"pcs_id", "shard_id", "answer", "at"} {
		if !isText(name) {
			return 0, nil
		}
	}
	for _, name := range [...]string{"epoch", "status", "v"} {
		if _, isWhole := whole(name); !isWhole {
			return 0, nil
		}
	}
	_, hasRecord := members["record"]
	seq, isWhole := whole("outbox_seq")
	hasCode := isText("code") || string(members["code"]) == "null"
	if !hasRecord || !hasCode || !isWhole || seq < 1 || seq > letterSeqMax {
		return 0, nil
	}
	return uint64(seq), nil
}

var letterBegins = regexp.MustCompile(`^\{"outbox_seq":([0-9]{1,20}),`)

// wasDurable tells whether a line that is no letter was one once: its window
// waits no more.
func wasDurable(head []byte, c *contents) bool {
	found := letterBegins.FindSubmatch(head)
	if found == nil {
		return len(c.pending) == 0 && len(bytes.TrimSpace(head)) > 0
	}
	seq, err := strconv.ParseUint(string(found[1]), 10, 64)
	_, isPending := c.pending[seq]
	return err != nil || !isPending
}
