package members

import (
	"encoding/json"
	"testing"
)

func TestANameIsTakenInItsOwnCaseAlone(t *testing.T) {
	var read struct {
		Code   string          `json:"code"`
		Body   json.RawMessage `json:"body"`
		Hidden string          `json:"-"`
	}
	given := `{"CODE":"a","code":"b","Code":"c","body":{"<": 1},"-":"d"}`
	if err := Read([]byte(given), &read); err != nil || read.Code != "b" || string(read.Body) != `{"<": 1}` || read.Hidden != "" {
		t.Fatalf("got %+v, %v", read, err)
	}
	for _, given := range []string{"null", "[]", "1", "{", `{"code":1}`, "{\"a\":\"\xff\"}"} {
		if Read([]byte(given), &read) == nil {
			t.Errorf("%s: expected an error, got none", given)
		}
	}
}
