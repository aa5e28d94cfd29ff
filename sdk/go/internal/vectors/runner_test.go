package vectors_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"fractallba/internal/vectors"
)

type object = map[string]any

// bent returns what the runner says of a golden-vector file that was changed.
func bent(t *testing.T, name, as string, bend func(document object)) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	var document object
	if err := json.Unmarshal(data, &document); err != nil {
		t.Fatal(err)
	}
	bend(document)
	changed, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	lines, _ := vectors.Failures(as, changed)
	return lines
}

func firstCase(document object) object { return document["tests"].([]any)[0].(object) }

func TestTheRunnerFailsOnWhatItDoesNotKnow(t *testing.T) {
	cases := []struct {
		what, name, as string
		bend           func(document object)
	}{
		{"a file", "ids.json", "idz.json", func(object) {}},
		{"a field of the file", "ids.json", "ids.json", func(d object) { d["more"] = 1 }},
		{"a missing field of the file", "ids.json", "ids.json", func(d object) { delete(d, "algorithm") }},
		{"a field of a note", "ids.json", "ids.json", func(d object) {
			d["notes"].(object)["Epoch"].(object)["more"] = 1
		}},
		{"a field of a case", "ids.json", "ids.json", func(d object) { firstCase(d)["more"] = 1 }},
		{"a field of an input", "ids.json", "ids.json", func(d object) { firstCase(d)["input"].(object)["more"] = 1 }},
		{"a missing field of an input", "ids.json", "ids.json", func(d object) {
			delete(firstCase(d)["input"].(object), "epoch")
		}},
		{"a field inside an input", "ring.json", "ring.json", func(d object) {
			firstCase(d)["input"].(object)["shards"].([]any)[0].(object)["more"] = 1
		}},
		{"a field of what is expected", "ids.json", "ids.json", func(d object) {
			firstCase(d)["expected"].(object)["more"] = 1
		}},
		{"a field inside what is expected", "outcomes.json", "outcomes.json", func(d object) {
			firstCase(d)["expected"].(object)["recomputed_budget"].(object)["more"] = 1
		}},
		{"a flag", "ids.json", "ids.json", func(d object) {
			firstCase(d)["flags"] = []any{"Epoch", "More"}
			d["notes"].(object)["More"] = object{"explanation": "", "source": nil}
		}},
		{"a flag without a note", "ids.json", "ids.json", func(d object) {
			firstCase(d)["flags"] = []any{"FirstPrototype", "More"}
		}},
		{"a note without a case", "ids.json", "ids.json", func(d object) {
			firstCase(d)["flags"] = []any{"Epoch"}
		}},
		{"a version of the schema", "ids.json", "ids.json", func(d object) { d["schemaVersion"] = 2 }},
		{"a schema", "ids.json", "ids.json", func(d object) { d["schema"] = "schemas/ring.schema.json" }},
		{"another number of cases", "ids.json", "ids.json", func(d object) { d["numberOfTests"] = 7 }},
		{"another place", "ids.json", "ids.json", func(d object) { firstCase(d)["tcId"] = 2 }},
		{"another result", "ids.json", "ids.json", func(d object) { firstCase(d)["result"] = "invalid" }},
		{"another value", "ids.json", "ids.json", func(d object) {
			firstCase(d)["expected"].(object)["pcs_id"] = "00"
		}},
		{"a share beyond what deflate may differ by", "signals_bytes.json", "signals_bytes.json", func(d object) {
			firstCase(d)["expected"].(object)["r"] = object{"text": "0.25", "bits": "3fd0000000000000"}
		}},
		{"a field of a server's case", vectors.ServersFile, vectors.ServersFile, func(d object) {
			firstCase(d)["input"].(object)["more"] = 1
		}},
	}
	for _, each := range cases {
		if lines := bent(t, each.name, each.as, each.bend); len(lines) == 0 {
			t.Errorf("%s: expected a failure, got none", each.what)
		}
	}
	if lines := bent(t, "ids.json", "ids.json", func(object) {}); len(lines) != 0 {
		t.Errorf("the file as it is: expected no failure, got %v", lines)
	}
}
