package client

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// answerLines serves a batch: it undoes the compression and answers each line.
func answerLines(t *testing.T, encoding string, answer func(line string) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Encoding") != encoding || r.Header.Get("Content-Type") != "application/x-ndjson" || r.URL.Path != "/v1/pcs/batch" {
			t.Errorf("got %s with %v", r.URL.Path, r.Header)
		}
		var body io.Reader = r.Body
		switch encoding {
		case "gzip":
			body, _ = gzip.NewReader(r.Body)
		case "zstd":
			body, _ = zstd.NewReader(r.Body, zstd.WithDecoderMaxWindow(16<<20))
		}
		lines, err := io.ReadAll(body)
		if err != nil || !bytes.HasSuffix(lines, []byte{'\n'}) {
			t.Errorf("expected whole lines, got %d bytes, %v", len(lines), err)
			return
		}
		for line := range strings.Lines(string(lines)) {
			_, _ = io.WriteString(w, answer(strings.TrimSuffix(line, "\n"))+"\n")
		}
	}
}

func TestABatchIsAnsweredLineByLineInEachCompression(t *testing.T) {
	for compression, name := range map[Compression]string{Gzip: "gzip", Zstd: "zstd", None: ""} {
		c, _ := serving(t, Config{Compression: compression}, answerLines(t, name, func(line string) string {
			if line == "1" {
				return `{"status":409,"body":{"code":"pcs_id_conflict"}}`
			}
			return `{"status":200,"body":` + line + `,"replayed":true,"received_at":"x"}`
		}))
		results, err := c.Batch(t.Context(), [][]byte{[]byte("0"), []byte("1"), []byte("2")})
		if err != nil || len(results) != 3 {
			t.Fatalf("%s: got %v, %v", name, results, err)
		}
		var refused *Problem
		if !errors.As(results[1].Err, &refused) || refused.Code != "pcs_id_conflict" || string(results[2].Answer.Body) != "2" || !results[0].Answer.Replayed {
			t.Errorf("%s: got %v", name, results)
		}
	}
}

func TestOnlyTheLinesWithoutAFinalAnswerAreSentAgain(t *testing.T) {
	var requests [][]string
	var mutex sync.Mutex
	c, waits := serving(t, Config{Compression: None, Retry: RetryPolicy{Attempts: 3}}, func(w http.ResponseWriter, r *http.Request) {
		mutex.Lock()
		defer mutex.Unlock()
		requests = append(requests, nil)
		answerLines(t, "", func(line string) string {
			at := len(requests) - 1
			requests[at] = append(requests[at], line)
			if line == "never" || (line == "later" && at == 0) {
				return `{"status":429,"body":{"code":"quota_exceeded"},"retry_after":3}`
			}
			return `{"status":200,"body":1}`
		})(w, r)
	})
	results, err := c.Batch(t.Context(), [][]byte{[]byte("now"), []byte("never"), []byte("later")})
	var unavailable *UnavailableError
	if err != nil || results[0].Answer.Attempts != 1 || results[2].Answer.Attempts != 2 ||
		!errors.As(results[1].Err, &unavailable) || unavailable.Code != "quota_exceeded" || unavailable.Attempts != 3 {
		t.Fatalf("got %v, %v", results, err)
	}
	if fmt.Sprint(requests) != "[[now never later] [never later] [never]]" || (*waits)[0] < 3*time.Second {
		t.Fatalf("got %v, waits %v", requests, *waits)
	}
}

func TestABatchThatIsRefusedOrAnsweredOutOfStepAnswersNone(t *testing.T) {
	for name, each := range map[string]struct {
		status int
		body   string
	}{
		"refused":        {413, `{"code":"too_large"}`},
		"a line short":   {200, `{"status":200,"body":1}` + "\n"},
		"a line more":    {200, strings.Repeat(`{"status":200,"body":1}`+"\n", 3)},
		"cut in a line":  {200, strings.Repeat(`{"status":200,"body":1}`+"\n", 1) + `{"status":200,"body":1}`},
		"no status":      {200, strings.Repeat(`{"body":1}`+"\n", 2)},
		"no body":        {200, strings.Repeat(`{"status":200}`+"\n", 2)},
		"no JSON":        {200, "a\nb\n"},
		"another status": {204, ""},
	} {
		c, _ := serving(t, Config{Retry: RetryPolicy{Attempts: 1}}, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(each.status)
			_, _ = io.WriteString(w, each.body)
		})
		results, err := c.Batch(t.Context(), [][]byte{[]byte("0"), []byte("1")})
		var refused *Problem
		var unavailable *UnavailableError
		if each.status == 413 && (!errors.As(err, &refused) || refused.Code != "too_large") {
			t.Errorf("%s: got %v", name, err)
		}
		if each.status != 413 && !errors.As(err, &unavailable) {
			t.Errorf("%s: got %v", name, err)
		}
		if len(results) != 2 || results[0].Err == nil || results[1].Err == nil {
			t.Errorf("%s: got %v", name, results)
		}
	}
}

func TestWhatIsNoBatchIsNotSent(t *testing.T) {
	c, _ := serving(t, Config{}, func(http.ResponseWriter, *http.Request) { t.Error("it was sent") })
	for _, bodies := range [][][]byte{
		nil, {{}}, {[]byte("a\nb")}, {[]byte("a\r")}, {make([]byte, RecordBytesMax+1)},
		make([][]byte, BatchRecordsMax+1), slicesOf(bytes.Repeat([]byte{'1'}, RecordBytesMax), 257),
	} {
		var contract *ContractError
		if _, err := c.Batch(t.Context(), bodies); !errors.As(err, &contract) {
			t.Errorf("got %v", err)
		}
	}
}

func slicesOf(body []byte, count int) [][]byte {
	bodies := make([][]byte, count)
	for i := range bodies {
		bodies[i] = body
	}
	return bodies
}
