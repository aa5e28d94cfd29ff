package outbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"fractallba/internal/segment"
	"fractallba/pcs"
)

const (
	lettersName = "dead-letters.ndjson"
	cutName     = "dead-letters.ndjson.cut"
	// Problem documents and decisions are far below; a proxy's page is cut.
	answerCharactersMax = 16_384
	// A record, an answer of the bound above with each character escaped, and
	// the names.
	letterBytesMax = 256 << 10
	letterSeqMax   = 1<<53 - 1
)

// letter is one record whose final answer was no acceptance: one line of
// DIR/dead-letters.ndjson, for a person and for `fractal-agent dead-letters`.
type letter struct {
	Seq     uint64          `json:"outbox_seq"`
	PCSID   string          `json:"pcs_id"`
	Epoch   int64           `json:"epoch"`
	ShardID string          `json:"shard_id"`
	Status  int             `json:"status"`
	Code    *string         `json:"code"`
	Answer  string          `json:"answer"`
	Record  json.RawMessage `json:"record"`
	At      string          `json:"at"`
	V       int             `json:"v"`
}

// deadLetters is the file, open for appending.
type deadLetters struct {
	disk   segment.Storage
	folder string
	file   segment.File // nil: there is none yet
	size   int64
	seq    uint64 // the highest number of a letter
	failed bool
}

// openDeadLetters opens the file, which is made with its first line. What a
// power cut tore at its end is no line: its record still waits, and it is moved
// to NAME.cut. A last line that was durable once stays, readable or not.
func openDeadLetters(disk segment.Storage, folder string, c *contents) (*deadLetters, error) {
	d := &deadLetters{disk: disk, folder: folder}
	names, err := disk.Names(folder)
	if err != nil {
		return nil, diskError(folder, err)
	}
	isThere := false
	for _, name := range names {
		isThere = isThere || name == lettersName
	}
	if !isThere {
		return d, nil
	}
	if d.file, err = disk.Open(filepath.Join(folder, lettersName), true); err == nil {
		if d.size, err = d.file.Size(); err == nil {
			err = d.mend(c)
		}
	}
	if err != nil {
		if d.file != nil {
			_ = d.file.Close() // nothing was appended
		}
		return nil, diskError(lettersName, err)
	}
	return d, nil
}

// mend reads the file, ends its last line or cuts it off, and syncs what a
// process before this one may have failed to sync.
func (d *deadLetters) mend(c *contents) error {
	var rest []byte
	block := make([]byte, letterBytesMax)
	for offset := int64(0); offset < d.size; {
		n, err := d.file.ReadAt(block, offset)
		if n == 0 && err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		offset += int64(n)
		rest = append(rest, block[:n]...)
		for {
			line, behind, isEnded := bytes.Cut(rest, []byte{'\n'})
			if !isEnded {
				break
			}
			if err := d.count(line); err != nil {
				return err
			}
			rest = behind
		}
	}
	if len(rest) > 0 {
		start := d.size - int64(len(rest))
		isWhole := json.Valid(rest)
		if isWhole {
			if err := d.count(rest); err != nil {
				return err
			}
		}
		if isWhole || !isTorn(rest, c) {
			if _, err := d.file.WriteAt([]byte{'\n'}, d.size); err != nil {
				return err
			}
			d.size++
		} else {
			if err := d.keepCut(rest); err != nil {
				return err
			}
			if err := d.file.Truncate(start); err != nil {
				return err
			}
			d.size = start
		}
	}
	return d.file.Datasync()
}

var letterBegins = regexp.MustCompile(`^\{"outbox_seq":([0-9]{1,20}),`)

// isTorn tells whether a line that is none is of a window that still waits.
func isTorn(line []byte, c *contents) bool {
	found := letterBegins.FindSubmatch(line)
	if found == nil {
		return len(c.pending) > 0 || len(bytes.TrimSpace(line)) == 0
	}
	seq, err := strconv.ParseUint(string(found[1]), 10, 64)
	_, isPending := c.pending[seq]
	return err == nil && isPending
}

// count notes a line's number. A damaged line is passed over.
func (d *deadLetters) count(line []byte) error {
	var read struct {
		Seq uint64 `json:"outbox_seq"`
		V   *int64 `json:"v"`
	}
	if json.Unmarshal(line, &read) != nil || read.V == nil {
		return nil
	}
	if *read.V > frameFormat {
		return errorf(segment.Newer, "%s: expected format %d, got %d", lettersName, frameFormat, *read.V)
	}
	if read.Seq <= letterSeqMax {
		d.seq = max(d.seq, read.Seq)
	}
	return nil
}

// keepCut makes what is about to be cut durable, behind what was cut before.
func (d *deadLetters) keepCut(torn []byte) error {
	path := filepath.Join(d.folder, cutName)
	kept, err := d.disk.Open(path, true)
	if err != nil {
		if kept, err = d.disk.Create(path); err != nil {
			return err
		}
	}
	size, err := kept.Size()
	if err == nil {
		if _, err = kept.WriteAt(torn, size); err == nil {
			err = kept.Datasync()
		}
	}
	if err = errors.Join(err, kept.Close()); err != nil {
		return err
	}
	return d.disk.SyncDir(d.folder)
}

// letterOf is the entry for a record and its final answer.
func letterOf(record *pcs.Record, s Shipped, body []byte, at string) letter {
	members := record.Members()
	said := strings.ToValidUTF8(string(body), "\uFFFD")
	if utf8.RuneCountInString(said) > answerCharactersMax {
		said = string([]rune(said)[:answerCharactersMax])
	}
	made := letter{
		Seq: s.Seq, PCSID: record.PCSID(), Epoch: members.Epoch, ShardID: members.ShardID,
		Status: s.Status, Answer: said, Record: record.Stored(), At: at, V: frameFormat,
	}
	if s.Code != "" {
		made.Code = &s.Code
	}
	return made
}

// append writes a line for each, with one sync; they are durable when it
// returns. After an error no further line is written.
func (d *deadLetters) append(letters []letter) error {
	if len(letters) == 0 {
		return nil
	}
	if d.failed {
		return errorf(segment.Fenced, "%s: expected a file that can be written, got a failure before", lettersName)
	}
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	encoder.SetEscapeHTML(false) // the record stays as it was signed
	for _, each := range letters {
		if err := encoder.Encode(each); err != nil {
			return errorf(segment.Contract, "%s: expected a record, got something else", lettersName)
		}
	}
	err := d.write(lines.Bytes())
	d.failed = err != nil
	return diskError(lettersName, err)
}

func (d *deadLetters) write(lines []byte) error {
	if d.file == nil {
		made, err := d.disk.Create(filepath.Join(d.folder, lettersName))
		if err != nil {
			return err
		}
		d.file = made
		if err := d.disk.SyncDir(d.folder); err != nil {
			return err
		}
	}
	if _, err := d.file.WriteAt(lines, d.size); err != nil {
		return err
	}
	if err := d.file.Datasync(); err != nil {
		return err
	}
	d.size += int64(len(lines))
	return nil
}

func (d *deadLetters) close() error {
	if d.file == nil {
		return nil
	}
	return diskError(lettersName, d.file.Close())
}
