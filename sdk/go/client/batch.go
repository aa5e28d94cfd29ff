package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"fractallba/internal/members"
)

// Bounds of a batch.
const (
	BatchRecordsMax = 10_000
	BatchBytesMax   = 16 << 20 // of the lines before they are compressed
	RecordBytesMax  = 64 << 10

	// Counted over all lines of an answer: a decision has some 400 bytes, a
	// problem some 900.
	answerLineBytesMax = 4096
)

// Compression says how batches are sent.
type Compression string

// The compressions.
const (
	Gzip Compression = "" // the fastest level already leaves a quarter
	Zstd Compression = "zstd"
	None Compression = "none"
)

var encoders = map[Compression]struct {
	name   string
	encode func([]byte) ([]byte, error)
}{
	Gzip: {"gzip", gzipped},
	Zstd: {"zstd", zstandard},
	None: {"", func(lines []byte) ([]byte, error) { return lines, nil }},
}

func gzipped(lines []byte) ([]byte, error) {
	var out bytes.Buffer
	writer, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := writer.Write(lines); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

var zstdEncoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	// A server refuses a window over 16 MiB.
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(4<<20))
})

func zstandard(lines []byte) ([]byte, error) {
	encoder, err := zstdEncoder()
	if err != nil {
		return nil, err
	}
	return encoder.EncodeAll(lines, nil), nil
}

// Result is what became of one record of a batch, as of a Submit: an answer,
// or an error.
type Result struct {
	Answer *Answer
	Err    error
}

// Batch sends records in one request: 1 to 10,000, each one line of at most
// 64 KiB, 16 MiB together. Those whose own answers are not final are sent
// again, alone, until they are.
//
// The results stand in the order of the bodies. The error says that no record
// was answered: the batch was refused as a whole (a *Problem), no final answer
// came (an *UnavailableError), it is no batch (a *ContractError; nothing was
// sent), the URL's scheme is not the server's (a *SchemeError), or it or we are
// not trusted (an *UntrustedError). Every result then has it, too.
func (c *Client) Batch(ctx context.Context, bodies [][]byte) ([]Result, error) {
	if err := checkBatch(bodies); err != nil {
		return nil, err
	}
	results := make([]Result, len(bodies))
	open := make([]int, len(bodies)) // the records without a final answer
	for i := range open {
		open[i] = i
	}
	hasAnswers := false
	_, err := c.untilFinal(ctx, func(ctx context.Context, number int) (*Answer, *UnavailableError) {
		sent := make([][]byte, len(open))
		for i, at := range open {
			sent[i] = bodies[at]
		}
		whole, lines, failure := c.batchOnce(ctx, sent, number)
		if failure != nil {
			for _, at := range open {
				results[at].Err = failure
			}
			return nil, failure
		}
		if whole.Status != http.StatusOK {
			for _, at := range open {
				results[at].Err = problemOf(whole)
			}
			return whole, nil
		}
		var worst *UnavailableError
		stillOpen := open[:0]
		for i, line := range lines {
			at := open[i]
			line.Attempts = number
			if IsFinal(line.Status) {
				results[at].Answer, results[at].Err = checked(line, nil)
				hasAnswers = true
				continue
			}
			failure := openAnswer(fmt.Sprintf("batch, record %d", at), line)
			failure.Attempts = number
			results[at].Err = failure
			stillOpen = append(stillOpen, at)
			if worst == nil || failure.RetryAfter > worst.RetryAfter {
				worst = failure
			}
		}
		open = stillOpen
		return whole, worst
	})
	if err == nil && !hasAnswers {
		err = results[0].Err
	}
	var ended *UnavailableError
	if errors.As(err, &ended) && ended.IsDeadline() || isForGood(err) {
		for _, at := range open {
			results[at].Err = err
		}
	}
	if hasAnswers {
		err = nil
	}
	return results, err
}

// batchOnce makes one request of so many records. A whole that is not 200 says
// nothing about any of them.
func (c *Client) batchOnce(ctx context.Context, bodies [][]byte, number int) (*Answer, []*Answer, *UnavailableError) {
	encoder := encoders[c.compression]
	body, err := encoder.encode(append(bytes.Join(bodies, []byte{'\n'}), '\n'))
	if err != nil {
		return nil, nil, unavailable("batch", "lines that cannot be compressed", nil)
	}
	whole, failure := c.once(ctx, request{
		method: http.MethodPost, path: "/v1/pcs/batch", body: body,
		kind: "application/x-ndjson", encoding: encoder.name,
		bytesMax: max(answerBytesMax, int64(len(bodies))*answerLineBytesMax), number: number,
	})
	if failure != nil {
		return nil, nil, failure
	}
	if whole.Status/100 == 4 {
		return whole, nil, nil
	}
	if whole.Status != http.StatusOK {
		return nil, nil, unavailable("batch", fmt.Sprintf("neither 200 nor a refusal but %d", whole.Status), nil)
	}
	lines, failure := readLines(whole.Body, len(bodies))
	return whole, lines, failure
}

// readLines reads the body of a 200. What is not exactly one whole line for each
// record answers none of them.
func readLines(data []byte, count int) ([]*Answer, *UnavailableError) {
	if found := bytes.Count(data, []byte{'\n'}); found != count || !bytes.HasSuffix(data, []byte{'\n'}) {
		return nil, unavailable("batch", fmt.Sprintf("%d line ends in place of %d whole lines", found, count), nil)
	}
	answers := make([]*Answer, count)
	for i, text := range bytes.Split(data[:len(data)-1], []byte{'\n'}) {
		var line struct {
			Status     int             `json:"status"`
			Body       json.RawMessage `json:"body"`
			Replayed   bool            `json:"replayed"`
			ReceivedAt string          `json:"received_at"`
			RetryAfter float64         `json:"retry_after"`
		}
		isRead := members.Read(text, &line) == nil
		if !isRead || line.Status < 200 || line.Status > 599 || len(line.Body) == 0 || line.RetryAfter < 0 {
			return nil, unavailable("batch", "a line without a status and a body", nil)
		}
		answers[i] = &Answer{
			Status: line.Status, Body: line.Body, Replayed: line.Replayed, ReceivedAt: line.ReceivedAt,
			Code:       problemCode(line.Status, line.Body),
			retryAfter: time.Duration(min(line.RetryAfter, 1e9) * float64(time.Second)),
		}
	}
	return answers, nil
}

// checkBatch refuses what would be refused as a whole, or answered out of step.
func checkBatch(bodies [][]byte) error {
	if len(bodies) < 1 || len(bodies) > BatchRecordsMax {
		return &ContractError{Message: fmt.Sprintf("batch: expected 1 to %d records, got %d", BatchRecordsMax, len(bodies))}
	}
	size := 0
	for i, body := range bodies {
		if len(body) == 0 || bytes.ContainsAny(body, "\r\n") {
			return &ContractError{Message: fmt.Sprintf("batch: expected record %d to be one line, got another form", i)}
		}
		if len(body) > RecordBytesMax {
			return &ContractError{Message: fmt.Sprintf("batch: expected record %d to have at most %d bytes, got %d", i, RecordBytesMax, len(body))}
		}
		size += len(body) + 1
	}
	if size > BatchBytesMax {
		return &ContractError{Message: fmt.Sprintf("batch: expected at most %d bytes, got %d", BatchBytesMax, size)}
	}
	return nil
}
