package outbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
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
// to NAME.cut. A last line that was durable once stays, readable or not. No
// outbox can have given a number above seqMax: it is told and not believed.
func openDeadLetters(disk segment.Storage, folder string, c *contents, seqMax uint64) (*deadLetters, error) {
	d := &deadLetters{disk: disk, folder: folder}
	names, err := disk.Names(folder)
	if err != nil {
		return nil, segment.DiskError(folder, err)
	}
	isThere := false
	for _, name := range names {
		isThere = isThere || name == lettersName
	}
	if !isThere {
		return d, nil
	}
	if d.file, err = disk.Open(filepath.Join(folder, lettersName), true); err == nil {
		err = d.mend(c, seqMax)
	}
	if err != nil {
		if d.file != nil {
			_ = d.file.Close() // nothing was appended
		}
		return nil, segment.DiskError(lettersName, err)
	}
	return d, nil
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
// returns. ErrFull: none was written. After another error no further line is.
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
	err := segment.DiskError(lettersName, d.write(lines.Bytes()))
	d.failed = err != nil && !errors.Is(err, ErrFull)
	return err
}

func (d *deadLetters) write(lines []byte) error {
	if d.file == nil {
		made, err := d.disk.Create(filepath.Join(d.folder, lettersName))
		if err != nil {
			return err
		}
		if err := d.disk.SyncDir(d.folder); err != nil {
			return inDoubt(errors.Join(err, made.Close()))
		}
		d.file = made
	}
	if _, err := d.file.WriteAt(lines, d.size); err != nil {
		// Nothing was synced: what a full disk took of it is taken back.
		if undone := errors.Join(d.file.Truncate(d.size), d.file.Datasync()); undone != nil {
			return inDoubt(undone)
		}
		return err
	}
	if err := d.file.Datasync(); err != nil {
		return inDoubt(err)
	}
	d.size += int64(len(lines))
	return nil
}

// inDoubt is a failure behind which nobody knows what is on disk, a full one
// too.
func inDoubt(err error) error {
	return &Error{Kind: segment.Disk, Message: lettersName + ": expected a working disk, got another", Err: err}
}

func (d *deadLetters) close() error {
	if d.file == nil {
		return nil
	}
	return segment.DiskError(lettersName, d.file.Close())
}
