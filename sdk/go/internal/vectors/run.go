package vectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sort"
	"strconv"
)

const schemaVersion = 1

// Deflate implementations differ: r and the budget are compared within this.
const deflateTolerance = 0.02

// expected is what a case states of its answer.
type expected = map[string]any

// answerer answers the input of a case; a *refused is its answer to one that is
// invalid.
type answerer func(input json.RawMessage) (expected, error)

// refused is the SDK's refusal of an input, as a case states it.
type refused struct{ expected expected }

func (r *refused) Error() string { return fmt.Sprint(r.expected) }

// Files returns the names of the files of which the SDK answers the cases.
func Files() []string {
	var names []string
	for name, known := range suites {
		if known.answer != nil {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// Answer returns the SDK's result for the input of a case of a file, "valid" or
// "invalid", and what it expects. The error is of an input that is no case's.
func Answer(file string, input json.RawMessage) (result string, answer map[string]any, err error) {
	known, is := suites[file]
	if !is || known.answer == nil {
		return "", nil, fmt.Errorf("file: expected one of golden_vectors that an SDK answers, got another")
	}
	answer, err = known.answer(input)
	var refusal *refused
	if errors.As(err, &refusal) {
		return "invalid", refusal.expected, nil
	}
	return "valid", answer, err
}

// document is a file of vectors.
type document struct {
	Schema        string
	SchemaVersion int
	NumberOfTests int
	Notes         map[string]json.RawMessage
	Tests         []json.RawMessage
}

var (
	headerFields = []string{
		"schema", "schemaVersion", "algorithm", "specification", "numberOfTests", "notes", "tests",
	}
	noteFields = []string{"explanation", "source"}
	caseFields = []string{"tcId", "comment", "flags", "input", "result", "expected"}
)

// Failures returns what is wrong with a file or with the SDK, a line for each,
// and how many cases it ran.
func Failures(name string, data []byte) (lines []string, cases int) {
	known, is := suites[name]
	if !is {
		return []string{"a file this runner does not know"}, 0
	}
	var doc document
	if err := json.Unmarshal(data, &doc); err != nil {
		return []string{err.Error()}, 0
	}
	lines = headerFailures(name, known, data, &doc)
	for i, data := range doc.Tests {
		for _, line := range caseFailures(name, known, i+1, data) {
			lines = append(lines, fmt.Sprintf("%d: %s", i+1, line))
		}
	}
	return lines, len(doc.Tests)
}

func headerFailures(name string, known suite, data []byte, doc *document) (lines []string) {
	lines = otherFields("field", data, headerFields)
	if doc.SchemaVersion != schemaVersion {
		lines = append(lines, fmt.Sprintf("schemaVersion %d", doc.SchemaVersion))
	}
	if doc.Schema != "schemas/"+name[:len(name)-len(".json")]+".schema.json" {
		lines = append(lines, "schema "+doc.Schema)
	}
	if doc.NumberOfTests != len(doc.Tests) {
		lines = append(lines, fmt.Sprintf("%d tests, not %d", len(doc.Tests), doc.NumberOfTests))
	}
	used := map[string]bool{}
	for _, data := range doc.Tests {
		var flags struct{ Flags []string }
		if err := json.Unmarshal(data, &flags); err != nil {
			return append(lines, err.Error())
		}
		for _, flag := range flags.Flags {
			used[flag] = true
			if _, explained := doc.Notes[flag]; !explained {
				lines = append(lines, "flag "+flag+" is not explained")
			}
		}
	}
	for flag, note := range doc.Notes {
		lines = append(lines, otherFields("note field", note, noteFields)...)
		if !slices.Contains(known.flags, flag) {
			lines = append(lines, "flag "+flag+" is not known here")
		}
		if !used[flag] {
			lines = append(lines, "flag "+flag+" is not used")
		}
	}
	return lines
}

// otherFields returns a line for each field that an object lacks or has beyond
// the known ones.
func otherFields(what string, data []byte, known []string) (lines []string) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return []string{err.Error()}
	}
	for _, field := range known {
		if _, there := fields[field]; !there {
			lines = append(lines, what+" "+field+" is missing")
		}
		delete(fields, field)
	}
	for field := range fields {
		lines = append(lines, what+" "+field+" is not known here")
	}
	return lines
}

func caseFailures(name string, known suite, place int, data []byte) []string {
	var given struct {
		TcID     int
		Comment  string
		Input    json.RawMessage
		Result   string
		Expected expected
	}
	if lines := otherFields("field", data, caseFields); lines != nil {
		return lines
	}
	if err := json.Unmarshal(data, &given); err != nil {
		return []string{err.Error()}
	}
	if lines := otherFields("input field", given.Input, known.fields); lines != nil {
		return lines
	}
	if given.TcID != place {
		return []string{"tcId " + strconv.Itoa(given.TcID)}
	}
	if known.answer == nil {
		return nil
	}
	result, answer, err := Answer(name, given.Input)
	if err != nil {
		return []string{err.Error()}
	}
	if result != given.Result || !agrees(answer, given.Expected) {
		line := fmt.Sprintf("%s: expected %s %v, got %s %v",
			given.Comment, given.Result, given.Expected, result, answer)
		return []string{line}
	}
	return nil
}

// agrees reports whether an answer is the expected one: exactly, but for what
// deflate decides.
func agrees(answer, wanted expected) bool {
	data, err := json.Marshal(answer)
	if err != nil {
		return false
	}
	var got expected
	if err := json.Unmarshal(data, &got); err != nil {
		return false
	}
	if _, isSummary := wanted["r"]; isSummary && areNear(got, wanted, "r") && areNear(got, wanted, "budget") {
		for _, name := range []string{"r", "budget"} {
			got[name] = wanted[name]
		}
	}
	return reflect.DeepEqual(got, wanted)
}

func areNear(got, wanted expected, name string) bool {
	a, aIs := doubleOf(got[name])
	b, bIs := doubleOf(wanted[name])
	return aIs && bIs && math.Abs(a-b) <= deflateTolerance
}

// doubleOf returns a double that is given by its text and its bits.
func doubleOf(value any) (float64, bool) {
	both, _ := value.(map[string]any)
	text, _ := both["text"].(string)
	digits, _ := both["bits"].(string)
	double, errText := strconv.ParseFloat(text, 64)
	bits, errBits := strconv.ParseUint(digits, 16, 64)
	return double, errText == nil && errBits == nil && math.Float64bits(double) == bits && len(both) == 2
}
