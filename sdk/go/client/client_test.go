package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	payload  = `{"secret":"of-the-sender"}`
	token    = "t0ken-of-the-caller"
	decision = `{"pcs_id":"ab","record_digest":"cd","accepted":true,"escalated":false,"reasons":[],"recomputed_D_hat":1.5,"recomputed_budget":0.25,"params_version":"1"}`
)

// serving starts a server that answers with handle, and a client of it that
// waits without sleeping; waits tells how long it would have.
func serving(t *testing.T, config Config, handle http.HandlerFunc) (c *Client, waits *[]time.Duration) {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	config.URL, config.Token = server.URL, token
	return opened(t, config)
}

func opened(t *testing.T, config Config) (*Client, *[]time.Duration) {
	t.Helper()
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	waits := &[]time.Duration{}
	c.pause.chance = func() float64 { return 1 }
	c.pause.sleep = func(ctx context.Context, wait time.Duration) error {
		*waits = append(*waits, wait)
		return ctx.Err()
	}
	return c, waits
}

func problem(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"type":"urn:fractal-lba:problem:%s","title":"t","status":%d,"code":%q,"detail":"d","reason":"r","member":"N_j.4","request_id":"q"}`, code, status, code)
}

func TestSubmitSendsTheBytesAndReadsTheDecision(t *testing.T) {
	c, _ := serving(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) != payload || r.URL.Path != "/v1/pcs/submit" || r.Header.Get("Content-Type") != "application/json" ||
			r.Header.Get("Authorization") != "Bearer "+token || r.Header["X-Idempotency-Key"] != nil {
			t.Errorf("got %s %s with %v", r.Method, r.URL.Path, r.Header)
		}
		w.Header().Set("Idempotent-Replayed", "true")
		w.Header().Set("X-Received-At", "2026-11-21T06:00:00.000Z")
		w.WriteHeader(202)
		_, _ = io.WriteString(w, decision)
	})
	answer, err := c.Submit(t.Context(), []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	if answer.Status != 202 || !answer.Replayed || string(answer.Body) != decision || answer.ReceivedAt == "" || answer.Attempts != 1 {
		t.Errorf("got %v", answer)
	}
	if read, err := answer.Decision(); err != nil || read.PCSID != "ab" || read.RecomputedDHat != 1.5 {
		t.Errorf("got %v, %v", read, err)
	}
}

func TestEveryFinalRefusalIsAProblemWithItsCodeAfterOneRequest(t *testing.T) {
	for status := 400; status < 500; status++ {
		if status == 408 || status == 429 {
			continue
		}
		var requests atomic.Int32
		c, _ := serving(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
			requests.Add(1)
			problem(w, status, "some_code")
		})
		_, err := c.Submit(t.Context(), []byte(payload))
		var refused *Problem
		if !errors.As(err, &refused) || refused.Status != status || refused.Code != "some_code" || refused.Reason != "r" || refused.Member != "N_j.4" || refused.RequestID != "q" {
			t.Fatalf("%d: expected a problem, got %v", status, err)
		}
		if requests.Load() != 1 || refused.Answer.Attempts != 1 {
			t.Fatalf("%d: expected one request, got %d", status, requests.Load())
		}
	}
}

func TestAnUnacceptedDecisionIsAnAnswer(t *testing.T) {
	c, _ := serving(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(422)
		_, _ = io.WriteString(w, decision)
	})
	if answer, err := c.Submit(t.Context(), []byte(payload)); err != nil || answer.Status != 422 {
		t.Fatalf("got %v, %v", answer, err)
	}
}

func TestWhatIsNotFinalIsTriedAgainUntilItIs(t *testing.T) {
	for _, status := range []int{408, 429, 500, 502, 503, 504, 302, 307, 308} {
		var requests atomic.Int32
		c, waits := serving(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/pcs/submit" {
				t.Errorf("%d was followed to %s", status, r.URL.Path)
			}
			if requests.Add(1) < 4 {
				w.Header().Set("Location", "/elsewhere")
				problem(w, status, "overloaded")
				return
			}
			_, _ = io.WriteString(w, decision)
		})
		answer, err := c.Submit(t.Context(), []byte(payload))
		if err != nil || answer.Attempts != 4 {
			t.Fatalf("%d: got %v, %v", status, answer, err)
		}
		want := []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond}
		if fmt.Sprint(*waits) != fmt.Sprint(want) {
			t.Errorf("%d: expected waits up to %v, got %v", status, want, *waits)
		}
	}
}

func TestAttemptsAreBoundedAndTheLastCodeIsTold(t *testing.T) {
	var requests atomic.Int32
	c, waits := serving(t, Config{Retry: RetryPolicy{Attempts: 12, WaitMax: time.Second}}, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.Header().Set("Retry-After", "7")
		problem(w, 503, "draining")
	})
	_, err := c.Submit(t.Context(), []byte(payload))
	var unavailable *UnavailableError
	if !errors.As(err, &unavailable) || unavailable.Code != "draining" || unavailable.Status != 503 || unavailable.Attempts != 12 ||
		unavailable.RetryAfter != 7*time.Second || unavailable.IsDeadline() {
		t.Fatalf("got %v", err)
	}
	if requests.Load() != 12 || len(*waits) != 11 || (*waits)[10] != 8*time.Second {
		t.Fatalf("expected 12 requests and waits of Retry-After and a second at the most, got %d, %v", requests.Load(), *waits)
	}
}

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	now := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	for _, each := range []struct {
		value, date string
		want        time.Duration
	}{
		{"", "", 0},
		{" 120 ", "", 2 * time.Minute},
		{"9999999999", "", wholeSeconds(9_999_999_999)},
		{"-1", "", 0},
		{"1.5", "", 0},
		{"soon", "", 0},
		{"Sat, 21 Nov 2026 06:00:30 GMT", "", 30 * time.Second},
		{"Saturday, 21-Nov-26 06:00:30 GMT", "", 30 * time.Second},
		{"Sat Nov 21 06:00:30 2026", "", 30 * time.Second},
		{"Sat, 21 Nov 2026 05:00:00 GMT", "", 0},
		{"Sat, 21 Nov 2026 06:00:30 GMT", "Sat, 21 Nov 2026 06:00:10 GMT", 20 * time.Second},
	} {
		header := http.Header{"Retry-After": {each.value}, "Date": {each.date}}
		if got := retryAfter(header, now); got != each.want {
			t.Errorf("%q after %q: expected %v, got %v", each.value, each.date, each.want, got)
		}
	}
}

func TestTheWaitHasFullJitterAndALongRetryAfterIsCutShort(t *testing.T) {
	policy := RetryPolicy{}.withDefaults()
	for _, each := range []struct {
		attempt int
		asked   time.Duration
		chance  float64
		want    time.Duration
	}{
		{1, 0, 0, 0},
		{1, 0, 0.5, 50 * time.Millisecond},
		{3, 0, 1, 400 * time.Millisecond},
		{1_000_000, 0, 1, 10 * time.Second},
		{1, time.Second, 0.5, 1050 * time.Millisecond},
		{1, time.Hour, 0, 300 * time.Second},
	} {
		if got := policy.wait(each.attempt, each.asked, func() float64 { return each.chance }); got != each.want {
			t.Errorf("attempt %d, asked %v: expected %v, got %v", each.attempt, each.asked, each.want, got)
		}
	}
}

func TestADeadlineEndsTheCallBeforeAWaitThatPassesIt(t *testing.T) {
	c, waits := serving(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "200")
		problem(w, 429, "rate_limited")
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	defer cancel()
	_, err := c.Submit(ctx, []byte(payload))
	var unavailable *UnavailableError
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &unavailable) || unavailable.Code != "rate_limited" || len(*waits) != 0 {
		t.Fatalf("expected the deadline, got %v after %v", err, *waits)
	}
}

func TestACancelledCallEndsWhileTheServerIsSilent(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	released := make(chan struct{})
	c, _ := serving(t, Config{}, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-released
	})
	defer close(released)
	_, err := c.Submit(ctx, []byte(payload))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("expected the cancellation, got %v", err)
	}
}

func TestASilentServerIsLeftAfterTheTimeoutOfAnAttempt(t *testing.T) {
	released := make(chan struct{})
	c, _ := serving(t, Config{Timeout: time.Millisecond, Retry: RetryPolicy{Attempts: 2}}, func(http.ResponseWriter, *http.Request) {
		<-released
	})
	defer close(released)
	_, err := c.Submit(t.Context(), []byte(payload))
	var unavailable *UnavailableError
	if !errors.As(err, &unavailable) || unavailable.Attempts != 2 || !strings.HasSuffix(err.Error(), "got none in time") {
		t.Fatalf("got %v", err)
	}
}

func TestAnAnswerThatIsCutTooLongOrCompressedIsNone(t *testing.T) {
	for name, handle := range map[string]http.HandlerFunc{
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "{")
		},
		"too long": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(bytes.Repeat([]byte{' '}, answerBytesMax+1))
		},
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			for block, err := make([]byte, 1<<16), error(nil); err == nil; {
				_, err = w.Write(block)
			}
		},
		"compressed": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "gzip") },
		"no HTTP": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			_, _ = conn.Write([]byte(payload + "\r\n\r\n"))
			_ = conn.Close()
		},
	} {
		c, _ := serving(t, Config{Retry: RetryPolicy{Attempts: 1}}, handle)
		_, err := c.Submit(t.Context(), []byte(payload))
		var unavailable *UnavailableError
		if !errors.As(err, &unavailable) || unavailable.Status != 0 || unavailable.IsDeadline() {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestNoErrorAndNothingPrintedHoldsAPayloadOrTheToken(t *testing.T) {
	config := Config{Token: token, Retry: RetryPolicy{Attempts: 1}}
	var said []string
	show := func(values ...any) {
		for _, each := range values {
			said = append(said, fmt.Sprintf("%v %+v %#v %s", each, each, each, each))
		}
	}
	for _, status := range []int{200, 302, 400, 409, 429, 500} {
		c, _ := serving(t, config, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("Location", "http://"+r.Host+"/"+r.Header.Get("Authorization"))
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(map[string]string{"code": string(body), "detail": string(body)})
		})
		answer, err := c.Submit(t.Context(), []byte(payload))
		show(c, config)
		if err != nil {
			said = append(said, err.Error())
			for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
				said = append(said, inner.Error())
			}
		}
		if answer != nil {
			show(answer, *answer)
		}
	}
	echo, _ := serving(t, config, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		conn, _, _ := w.(http.Hijacker).Hijack()
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %s %s\r\n\r\n", body, r.Header.Get("Authorization"))
		_ = conn.Close()
	})
	_, err := echo.Submit(t.Context(), []byte(payload))
	said = append(said, err.Error())
	if text := strings.Join(said, "\n"); strings.Contains(text, "of-the-sender") || strings.Contains(text, token) || len(said) < 20 {
		t.Fatalf("a payload or a token in:\n%s", text)
	}
}

func TestARestartOfTheServerIsOneCall(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	answering := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, decision) })
	first := &httptest.Server{Listener: listener, Config: &http.Server{Handler: answering}}
	first.Start()
	c, _ := opened(t, Config{URL: "http://" + address})
	var once sync.Once
	c.pause.sleep = func(ctx context.Context, _ time.Duration) error {
		once.Do(func() { // only when the client met the closed port
			listener, err := net.Listen("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			second := &httptest.Server{Listener: listener, Config: &http.Server{Handler: answering}}
			second.Start()
			t.Cleanup(second.Close)
		})
		return ctx.Err()
	}
	if _, err := c.Submit(t.Context(), []byte(payload)); err != nil {
		t.Fatal(err)
	}
	first.Close()
	answer, err := c.Submit(t.Context(), []byte(payload))
	if err != nil || answer.Attempts < 2 {
		t.Fatalf("got %v, %v", answer, err)
	}
}

func TestAnUntrustedCertificateIsSaidInWords(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	c, _ := opened(t, Config{URL: server.URL, Retry: RetryPolicy{Attempts: 1}})
	if _, err := c.Submit(t.Context(), []byte(payload)); err == nil || !strings.HasSuffix(err.Error(), "expected a certificate of an authority that is trusted, got one of another") {
		t.Fatalf("got %v", err)
	}
	trusting := server.Client().Transport.(*http.Transport).TLSClientConfig
	c, _ = opened(t, Config{URL: server.URL, TLS: &tls.Config{RootCAs: trusting.RootCAs}})
	var refused *Problem
	if _, err := c.Submit(t.Context(), []byte(payload)); !errors.As(err, &refused) || refused.Status != 404 {
		t.Fatalf("got %v", err)
	}
}

func TestABadSettingIsRefusedWithoutRepeatingIt(t *testing.T) {
	for _, config := range []Config{
		{URL: ""}, {URL: "localhost:8080"}, {URL: "ftp://host"}, {URL: "http://"}, {URL: "http://:80"},
		{URL: "http://name:hunter2@host"}, {URL: "http://host/?q=1"}, {URL: "http://host/#f"}, {URL: "http://host\x7f/"},
		{URL: "http://host", Token: "two words"}, {URL: "http://host", Token: "line\r\nX: y"},
		{URL: "http://host", Compression: "br"}, {URL: "http://host", Timeout: -1}, {URL: "http://host", Retry: RetryPolicy{Attempts: -1}},
	} {
		_, err := New(config)
		var contract *ContractError
		if !errors.As(err, &contract) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v", config.URL, err)
		}
	}
}
