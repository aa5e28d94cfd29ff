package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestGetAndListAskForWhatTheyAreTold(t *testing.T) {
	id := strings.Repeat("ab", 32)
	c, _ := serving(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RequestURI() {
		case "/v1/pcs/" + id + "?version=1.0":
			_, _ = io.WriteString(w, `{"record":{"a":1},"outcome":{},"received_at":"x","tier":"warm","conflicts":[{"content_digest":"c","received_at":"y"}],"resolutions":[]}`)
		case "/v1/pcs?limit=2&shard_id=press-7":
			_, _ = io.WriteString(w, `{"records":[{"pcs_id":"a","epoch":1},{"pcs_id":"b","epoch":2}],"next":"more"}`)
		case "/v1/pcs?cursor=more&limit=2&shard_id=press-7":
			_, _ = io.WriteString(w, `{"records":[{"pcs_id":"c","epoch":3}],"next":null}`)
		default:
			problem(w, 400, "bad_request")
		}
	})
	stored, err := c.Get(t.Context(), id)
	if err != nil || string(stored.Record) != `{"a":1}` || stored.Conflicts[0].ContentDigest != "c" || stored.Answer.Status != 200 {
		t.Fatalf("got %v, %v", stored, err)
	}
	var rows []string
	for row, err := range c.Records(t.Context(), url.Values{"shard_id": {"press-7"}, "limit": {"2"}}) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row.PCSID)
	}
	if fmt.Sprint(rows) != "[a b c]" {
		t.Fatalf("got %v", rows)
	}
	var refused *Problem
	if _, err := c.List(t.Context(), url.Values{"limit": {"0"}}); !errors.As(err, &refused) || refused.Code != "bad_request" {
		t.Fatalf("got %v", err)
	}
	var contract *ContractError
	if _, err := c.Get(t.Context(), "../submit"); !errors.As(err, &contract) {
		t.Fatalf("got %v", err)
	}
}
