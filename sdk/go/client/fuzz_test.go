package client

import (
	"net/http"
	"testing"
	"time"
)

// FuzzAnswer reads whatever a server, or something in between, may say.
func FuzzAnswer(f *testing.F) {
	f.Add(`{"status":200,"body":1}`+"\n", "120", "")
	f.Add(`{"status":429,"body":{"code":"rate_limited"},"retry_after":1e308}`+"\n", "Sat, 21 Nov 2026 06:00:30 GMT", "Sat, 21 Nov 2026 06:00:10 GMT")
	f.Add("\n", "-1", "x")
	f.Fuzz(func(t *testing.T, body, retry, date string) {
		lines, failure := readLines([]byte(body), 1)
		if (failure == nil) != (len(lines) == 1) {
			t.Fatalf("expected lines or a failure, got %v and %v", lines, failure)
		}
		for _, each := range lines {
			if each.retryAfter < 0 || each.Status < 200 || each.Status > 599 {
				t.Fatalf("got %v", each)
			}
		}
		if wait := retryAfter(http.Header{"Retry-After": {retry}, "Date": {date}}, time.Now()); wait < 0 {
			t.Fatalf("a wait of %v", wait)
		}
		if code := problemCode(400, []byte(body)); code != "" && !codes.MatchString(code) {
			t.Fatalf("a code of %q", code)
		}
		_ = problemOf(&Answer{Status: 400, Body: []byte(body)}).Error()
	})
}
