package pcs

import (
	"fmt"
	"math"
	"strings"
)

// fault is what is wrong with one member, before its path is known.
type fault struct{ reason, expected, got string }

// at returns the refusal of the member with this path.
func (f *fault) at(member string) *Refusal {
	return refuse(InvalidRecord, f.reason, member, member+": expected "+f.expected+", got "+f.got)
}

// absent is the value of a member that is not there.
type absent struct{}

func member(doc map[string]any, name string) any {
	if value, there := doc[name]; there {
		return value
	}
	return absent{}
}

func wrongType(value any, expected string) *fault {
	got := "a number"
	switch value.(type) {
	case absent:
		return &fault{"missing", expected, "nothing"}
	case nil:
		got = "null"
	case bool:
		got = "a boolean"
	case string:
		got = "a string"
	case []any:
		got = "an array"
	case map[string]any:
		got = "an object"
	}
	return &fault{"wrong_type", expected, got}
}

func textOf(value any) (string, *fault) {
	if text, is := value.(string); is {
		return text, nil
	}
	return "", wrongType(value, "a string")
}

func booleanOf(value any) (bool, *fault) {
	if boolean, is := value.(bool); is {
		return boolean, nil
	}
	return false, wrongType(value, "true or false")
}

func arrayOf(value any) ([]any, *fault) {
	if items, is := value.([]any); is {
		return items, nil
	}
	return nil, wrongType(value, "an array")
}

func objectOf(value any) (map[string]any, *fault) {
	if members, is := value.(map[string]any); is {
		return members, nil
	}
	return nil, wrongType(value, "an object")
}

func numberOf(value any) (float64, *fault) {
	if number, is := value.(float64); is {
		return number, nil
	}
	return 0, wrongType(value, "a number")
}

func integerOf(value any) (int64, *fault) {
	number, is := value.(float64)
	if !is {
		return 0, wrongType(value, "an integer")
	}
	if number != math.Trunc(number) || math.Abs(number) > SafeIntegerMax {
		return 0, notAnInteger()
	}
	return int64(number), nil
}

func notAnInteger() *fault {
	return &fault{"not_an_integer", "an integer within 2^53-1 of 0", "another number"}
}

func integerIn(value, least, most int64) *fault {
	if value < -SafeIntegerMax || value > SafeIntegerMax {
		return notAnInteger()
	}
	if value < least || value > most {
		return &fault{"out_of_range", fmt.Sprintf("%d to %d", least, most), "an integer outside"}
	}
	return nil
}

func numberIn(value, least, most float64) *fault {
	if !(least <= value && value <= most) { // NaN is in no range
		return &fault{"out_of_range", fmt.Sprintf("%g to %g", least, most), "a number outside"}
	}
	return nil
}

func countIn(count, least, most int) *fault {
	if count < least || count > most {
		return &fault{"wrong_count", fmt.Sprintf("%d to %d items", least, most), fmt.Sprint(count)}
	}
	return nil
}

func textWithin(text string, bytesMax int) *fault {
	if len(text) > bytesMax {
		return &fault{"too_long", fmt.Sprintf("at most %d bytes of UTF-8", bytesMax), "more"}
	}
	return nil
}

func textMatches(text string, matches func(string) bool, pattern string) *fault {
	if !matches(text) {
		return &fault{"wrong_format", "a match of " + pattern, "another text"}
	}
	return nil
}

func textAmong(text string, choices ...string) *fault {
	for _, choice := range choices {
		if text == choice {
			return nil
		}
	}
	return &fault{"wrong_value", strings.Join(choices, " or "), "another text"}
}

func timestampFault() *fault {
	return &fault{"wrong_format", "YYYY-MM-DDTHH:MM:SS.mmmZ from 1970 on", "another text"}
}

// signatureOf returns the bytes of sig, none where it is absent or empty: that
// is refused later.
func signatureOf(value any) ([]byte, *fault) {
	if _, is := value.(absent); is {
		return nil, nil
	}
	text, fault := textOf(value)
	if fault != nil || text == "" {
		return nil, fault
	}
	signature, is := decodeBase64(text)
	if !is {
		return nil, &faultNotBase64
	}
	if len(signature) != hmacBytes && len(signature) != ed25519SignatureBytes {
		return nil, &faultLength
	}
	return signature, nil
}

var (
	faultNotBase64 = fault{"not_base64", "standard base64 with padding", "another text"}
	faultLength    = fault{"wrong_length", "32 or 64 bytes", "another number"}
)

// unknownMember returns the refusal of the first member, in canonical order,
// that is not known; nil where all are.
func unknownMember(doc map[string]any, known func(string) bool, path string) *Refusal {
	first, found := "", false
	for name := range doc {
		if !known(name) && (!found || isBefore(name, first)) {
			first, found = name, true
		}
	}
	if !found {
		return nil
	}
	return (&fault{"unknown_member", "no such member", "one"}).at(path + shown(first))
}

// shown returns a name the sender chose as a message may hold it: as it is
// where it is tame.
func shown(name string) string {
	if isName(name) {
		return name
	}
	return "?"
}

// The patterns of names, each matched as a whole.
const (
	namePattern     = "[A-Za-z0-9._-]{1,64}"
	hashPattern     = "[0-9a-f]{64}"
	shardIDPattern  = "[A-Za-z0-9._:-]{1,128}"
	metaNamePattern = "[a-z0-9_.]{1,64}"
)

type charset [256]bool

func charsOf(ranges string, more string) (set charset) {
	for i := 0; i < len(ranges); i += 2 {
		for b := int(ranges[i]); b <= int(ranges[i+1]); b++ {
			set[b] = true
		}
	}
	for i := range len(more) {
		set[more[i]] = true
	}
	return set
}

var (
	nameChars     = charsOf("AZaz09", "._-")
	hashChars     = charsOf("09af", "")
	shardIDChars  = charsOf("AZaz09", "._:-")
	metaNameChars = charsOf("az09", "_.")
)

func consists(text string, set *charset, least, most int) bool {
	if len(text) < least || len(text) > most {
		return false
	}
	for i := range len(text) {
		if !set[text[i]] {
			return false
		}
	}
	return true
}

func isName(text string) bool     { return consists(text, &nameChars, 1, 64) }
func isHash(text string) bool     { return consists(text, &hashChars, 64, 64) }
func isShardID(text string) bool  { return consists(text, &shardIDChars, 1, 128) }
func isMetaName(text string) bool { return consists(text, &metaNameChars, 1, 64) }
