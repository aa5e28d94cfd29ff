package outbox

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fractallba/client"
	"fractallba/internal/segment"
	"fractallba/pcs"
)

// server decides what it is sent, by the epoch of each record, as say tells.
type server struct {
	mutex    sync.Mutex
	say      func(epoch, time int64) (status int, body string) // "": the decision
	whole    func(count int) int                               // of a batch; 0: its lines are answered
	times    map[int64]int64                                   // how often each epoch came
	requests []int                                             // how many records each request had
	sent     []pcs.Delivery
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var body io.Reader = r.Body
	isBatch := r.URL.Path == "/v1/pcs/batch"
	if isBatch {
		body, _ = gzip.NewReader(r.Body)
	}
	data, _ := io.ReadAll(body)
	lines := bytes.Split(bytes.TrimSuffix(data, []byte{'\n'}), []byte{'\n'})
	s.requests = append(s.requests, len(lines))
	if isBatch && s.whole != nil {
		if status := s.whole(len(lines)); status != 0 {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"code":"too_large"}`)
			return
		}
	}
	for _, line := range lines {
		record, err := pcs.ParseRecord(line)
		if err != nil {
			panic(err)
		}
		members := record.Members()
		s.sent = append(s.sent, *members.Delivery)
		s.times[members.Epoch]++
		status, said := 200, ""
		if s.say != nil {
			status, said = s.say(members.Epoch, s.times[members.Epoch])
		}
		if said == "" {
			said = fmt.Sprintf(`{"pcs_id":%q,"accepted":true}`, record.PCSID())
		}
		if isBatch {
			_, _ = fmt.Fprintf(w, `{"status":%d,"body":%s}`+"\n", status, said)
		} else {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, said)
		}
	}
}

func serving(t *testing.T, s *server) *client.Client {
	t.Helper()
	s.times = map[int64]int64{}
	listening := httptest.NewServer(s)
	t.Cleanup(listening.Close)
	c, err := client.New(client.Config{URL: listening.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// shipped ships all and returns the status of each epoch in the order of answers.
func shipped(t *testing.T, o *Outbox, c *client.Client) (answers []Shipped) {
	t.Helper()
	if err := o.Ship(t.Context(), c, func(each Shipped) { answers = append(answers, each) }); err != nil {
		t.Fatal(err)
	}
	if pending := o.Pending(); len(pending) != 0 {
		t.Fatalf("expected nothing to wait, got %v", pending)
	}
	return answers
}

func TestWhatWaitsIsSentInBatchesWithItsNumber(t *testing.T) {
	s := &server{}
	c := serving(t, s)
	o := mustOpen(t, t.TempDir())
	seqs := mustAppend(t, o, windowsOf(t, "a", 0, 600)...)
	answers := shipped(t, o, c)
	if fmt.Sprint(s.requests) != "[256 256 88]" || len(answers) != 600 {
		t.Fatalf("got requests of %v, %d answers", s.requests, len(answers))
	}
	for i, each := range s.sent {
		if each.OutboxSeq != int64(seqs[i]) || each.Attempt != 1 || each.SentAt == "" {
			t.Fatalf("window %d: got %+v", i, each)
		}
	}
	if counts := o.Counts(); counts.Accepted != 600 {
		t.Fatalf("got %+v", counts)
	}
}

func TestOnlyAnAnswerAboutTheRecordItselfEndsItsWindow(t *testing.T) {
	other := `{"pcs_id":"` + strings.Repeat("0", 64) + `","accepted":true}`
	pages := []struct {
		status int
		body   string
	}{
		{200, `"hello"`}, {200, `{}`}, {200, other}, {404, `{"code":"not_found"}`}, {405, `{"code":"method_not_allowed"}`},
		{403, `"a page"`}, {409, other}, {400, `{"code":"Not a word"}`}, {429, `{"code":"rate_limited"}`}, {503, `{}`}, {302, `{}`},
	}
	for _, count := range []int{1, len(pages)} {
		s := &server{say: func(epoch, time int64) (int, string) {
			if time == 1 {
				page := pages[int(epoch)%len(pages)]
				return page.status, page.body
			}
			return 202, ""
		}}
		c := serving(t, s)
		o := mustOpen(t, t.TempDir())
		for at := 0; at < len(pages); at += count {
			mustAppend(t, o, windowsOf(t, "a", at, count)...)
			shipped(t, o, c)
		}
		if counts := o.Counts(); counts.Escalated != uint64(len(pages)) || counts.Dead != 0 {
			t.Fatalf("expected every window to be sent until it was decided, got %+v", counts)
		}
		for epoch, times := range s.times {
			if times != 2 {
				t.Errorf("epoch %d: expected to be sent twice, got %d", epoch, times)
			}
		}
	}
}

func TestWhatIsNotAcceptedIsADeadLetterBeforeItsWindowEnds(t *testing.T) {
	s := &server{say: func(epoch, _ int64) (int, string) {
		switch epoch {
		case 0:
			return 409, `{"code":"pcs_id_conflict"}`
		case 1:
			return 422, ""
		case 2:
			return 410, `{"code":"beyond_horizon","detail":"` + strings.Repeat("é", answerCharactersMax) + `"}`
		}
		return 200, ""
	}}
	c := serving(t, s)
	folder := t.TempDir()
	o := mustOpen(t, folder)
	seqs := mustAppend(t, o, windowsOf(t, "a", 0, 4)...)
	answers := shipped(t, o, c)
	if len(answers) != 4 || answers[0].Code != "pcs_id_conflict" || answers[1].Status != 422 || answers[1].Code != "" {
		t.Fatalf("got %v", answers)
	}
	data, err := os.ReadFile(filepath.Join(folder, lettersName))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], fmt.Sprintf(`{"outbox_seq":%d,`, seqs[0])) {
		t.Fatalf("got %d lines", len(lines))
	}
	for i, line := range lines {
		var read letter
		if err := json.Unmarshal([]byte(line), &read); err != nil {
			t.Fatal(err)
		}
		record := recordOf(t, "a", i)
		if read.Seq != seqs[i] || !bytes.Equal(read.Record, record.Stored()) || read.PCSID != record.PCSID() || (read.Code == nil) != (i == 1) {
			t.Errorf("letter %d: got %+v", i, read)
		}
	}
	if counts := o.Counts(); counts.Dead != 3 || counts.Accepted != 1 {
		t.Fatalf("got %+v", counts)
	}
}

func TestABatchThatIsRefusedAsAWholeGoesOutInPartsThatAreNot(t *testing.T) {
	for _, each := range []struct {
		status int
		want   string
	}{
		{413, "[8 4 2 1 1 1 1 1 1 1 1]"}, {415, "[8 1 1 1 1 1 1 1 1]"}, {401, "[8 1 1 1 1 1 1 1 1]"},
	} {
		s := &server{whole: func(count int) int {
			if count > 1 {
				return each.status
			}
			return 0
		}}
		c := serving(t, s)
		o := mustOpen(t, t.TempDir())
		mustAppend(t, o, windowsOf(t, "a", 0, 8)...)
		shipped(t, o, c)
		if got := fmt.Sprint(s.requests); got != each.want || o.Counts().Accepted != 8 {
			t.Errorf("%d: expected %s, got %s", each.status, each.want, got)
		}
	}
}

func TestShippingEndsWithItsContextAndWhatIsOpenWaits(t *testing.T) {
	s := &server{say: func(epoch, _ int64) (int, string) {
		if epoch == 1 {
			return 503, `{"code":"storage_unavailable"}`
		}
		return 200, ""
	}}
	c := serving(t, s)
	o := mustOpen(t, t.TempDir())
	mustAppend(t, o, windowsOf(t, "a", 0, 3)...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answers := 0
	err := o.Ship(ctx, c, func(Shipped) {
		if answers++; answers == 2 {
			cancel()
		}
	})
	if got := epochs(t, o); !errors.Is(err, context.Canceled) || fmt.Sprint(got) != "[a/1]" {
		t.Fatalf("got %v, %v", got, err)
	}
	nobody, err := client.New(client.Config{URL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := o.Ship(ctx, nobody, nil); !errors.Is(err, context.DeadlineExceeded) || len(epochs(t, o)) != 1 {
		t.Fatalf("got %v", err)
	}
}

func TestAWindowThatCannotBeReadHoldsNothingUp(t *testing.T) {
	c := serving(t, &server{})
	folder := t.TempDir()
	o := mustOpen(t, folder)
	seqs := mustAppend(t, o, windowsOf(t, "a", 0, 3)...)
	o.mutex.Lock()
	at := o.contents.pending[seqs[1]].at
	o.mutex.Unlock()
	path := lastSegment(t, folder)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[at.Offset+300] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	answers := 0
	err = o.Ship(t.Context(), c, func(Shipped) { answers++ })
	if !errors.Is(err, ErrDamaged) || answers != 2 || len(o.Pending()) != 1 || o.Pending()[0].Seq != seqs[1] {
		t.Fatalf("got %v, %d answers, %v", err, answers, o.Pending())
	}
}

func TestADeadLetterThatCannotBeWrittenKeepsItsWindow(t *testing.T) {
	c := serving(t, &server{say: func(int64, int64) (int, string) { return 410, `{"code":"beyond_horizon"}` }})
	disk := &brokenDisk{}
	o := mustOpenOn(t, disk, t.TempDir(), Options{}.withDefaults())
	mustAppend(t, o, windowsOf(t, "a", 0, 1)...)
	disk.set(func() {
		disk.onWrite = func(data []byte) error {
			if bytes.HasPrefix(data, []byte(`{"outbox_seq"`)) {
				return os.ErrPermission
			}
			return nil
		}
	})
	for _, want := range []error{ErrDisk, ErrFenced} {
		if err := o.Ship(t.Context(), c, nil); !errors.Is(err, want) || len(epochs(t, o)) != 1 {
			t.Fatalf("expected %v, got %v", want, err)
		}
	}
}

func TestTornDeadLettersAreMovedAsideAndTheirNumbersNotGivenAgain(t *testing.T) {
	whole := `{"outbox_seq":500,"pcs_id":"x","epoch":1,"shard_id":"a","status":409,"code":null,"answer":"","record":{},"at":"","v":1}`
	for name, each := range map[string]struct {
		file, kept, cut string
		want            error
	}{
		"whole":             {file: whole + "\n", kept: whole + "\n"},
		"without its end":   {file: whole, kept: whole + "\n"},
		"torn":              {file: whole + "\n" + `{"outbox_seq":1,"pcs`, kept: whole + "\n", cut: `{"outbox_seq":1,"pcs`},
		"torn, of no more":  {file: whole + "\n" + `{"outbox_seq":9,"pcs`, kept: whole + "\n" + `{"outbox_seq":9,"pcs` + "\n"},
		"damaged before it": {file: "garbage\n" + whole + "\n", kept: "garbage\n" + whole + "\n"},
		"of a newer format": {file: strings.Replace(whole, `"v":1`, `"v":2`, 1) + "\n", want: ErrNewer},
	} {
		folder := t.TempDir()
		o := mustOpen(t, folder)
		mustAppend(t, o, windowsOf(t, "a", 0, 1)...)
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, lettersName)
		if err := os.WriteFile(path, []byte(each.file), 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := open(segment.System{}, folder, Options{}.withDefaults())
		if each.want != nil {
			if !errors.Is(err, each.want) {
				t.Errorf("%s: got %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		kept, _ := os.ReadFile(path)
		cut, _ := os.ReadFile(filepath.Join(folder, cutName))
		if string(kept) != each.kept || string(cut) != each.cut {
			t.Errorf("%s: kept %q, cut %q", name, kept, cut)
		}
		if seqs := mustAppend(t, again, windowsOf(t, "a", 1, 1)...); seqs[0] <= 500 {
			t.Errorf("%s: number %d was given again", name, seqs[0])
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWindowsGoOutOldestFirstAlsoWhereTheirBatchWasRefused(t *testing.T) {
	s := &server{whole: func(count int) int {
		if count == shipRecordsMax {
			return 413
		}
		return 0
	}}
	c := serving(t, s)
	o := mustOpen(t, t.TempDir())
	seqs := mustAppend(t, o, windowsOf(t, "a", 0, 300)...)
	shipped(t, o, c)
	for i, each := range s.sent {
		if each.OutboxSeq != int64(seqs[i]) {
			t.Fatalf("expected window %d as number %d, got %d", seqs[i], i, each.OutboxSeq)
		}
	}
}
