package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// answered returns the answers to some lines of requests.
func answered(t *testing.T, lines ...string) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	if err := serve(strings.NewReader(strings.Join(lines, "\n")+"\n"), &out); err != nil {
		t.Fatal(err)
	}
	var answers []map[string]any
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var answer map[string]any
		if err := json.Unmarshal([]byte(line), &answer); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		answers = append(answers, answer)
	}
	if len(answers) != len(lines) {
		t.Fatalf("expected %d answers, got %d", len(lines), len(answers))
	}
	return answers
}

func TestTheDriverOutlivesEveryRequest(t *testing.T) {
	answers := answered(t,
		`no JSON`,
		`{"op":"nothing like it"}`,
		`{"op":"answer","file":"no.json","input":{}}`,
		`{"op":"answer","file":"ids.json","input":7}`,
		`{"op":"sign","alg":"hmac","kid":"k","secret":"AA==","record":{}}`,
		`{"op":"hello"}`,
	)
	for i, key := range []string{"crash", "unknown", "crash", "crash", "crash", "sdk"} {
		if _, is := answers[i][key]; !is {
			t.Errorf("request %d: expected %s, got %v", i, key, answers[i])
		}
	}
}

func TestSignRefusesWhatNoRecordIs(t *testing.T) {
	answers := answered(t,
		`{"op":"sign","alg":"hmac","kid":"k","secret":"`+strings.Repeat("A", 43)+`=","record":{"version":"1.0"}}`)
	refused, _ := answers[0]["refused"].(map[string]any)
	if refused["code"] != "invalid_record" || refused["reason"] != "missing" || refused["member"] != "schema" {
		t.Errorf("expected schema to be missing, got %v", answers[0])
	}
}
