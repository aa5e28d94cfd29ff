package pcs

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"unicode/utf8"
)

// SafeIntegerMax is the largest integer that a double holds without holding
// its neighbour too, 2^53-1 (RFC 7493).
const SafeIntegerMax = 1<<53 - 1

// Canonical returns the canonical bytes of a JSON value (RFC 8785): members in
// the order of their UTF-16 code units, numbers as ECMAScript writes them, no
// white space, UTF-8.
//
// A value is nil, a bool, a finite float64, an int or int64 of at most 2^53-1
// in size, a valid UTF-8 string, or a []any or map[string]any of these, at most
// 64 deep. -0 is written 0. Anything else is a *ContractError.
func Canonical(value any) ([]byte, error) {
	return appendValue(nil, value, JCSDepthMax)
}

func appendValue(out []byte, value any, depthMax int) ([]byte, error) {
	switch value := value.(type) {
	case nil:
		return append(out, "null"...), nil
	case bool:
		return strconv.AppendBool(out, value), nil
	case int:
		return appendSafeInteger(out, int64(value))
	case int64:
		return appendSafeInteger(out, value)
	case float64:
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return nil, contract("number: expected a finite double, got an infinity or NaN")
		}
		return appendNumber(out, value), nil
	case string:
		if !utf8.ValidString(value) {
			return nil, contract("string: expected UTF-8, got other bytes")
		}
		return appendText(out, value), nil
	case []any:
		return appendArray(out, value, depthMax)
	case map[string]any:
		return appendObject(out, value, depthMax)
	}
	return nil, contract(fmt.Sprintf("value: expected a JSON type, got %T", value))
}

func appendSafeInteger(out []byte, value int64) ([]byte, error) {
	if value < -SafeIntegerMax || value > SafeIntegerMax {
		return nil, contract("integer: expected at most 2^53-1 in size, got a larger one")
	}
	return strconv.AppendInt(out, value, 10), nil
}

func appendArray(out []byte, items []any, depthMax int) ([]byte, error) {
	if depthMax == 0 {
		return nil, tooManyLevels()
	}
	out = append(out, '[')
	for i, item := range items {
		if i > 0 {
			out = append(out, ',')
		}
		var err error
		if out, err = appendValue(out, item, depthMax-1); err != nil {
			return nil, err
		}
	}
	return append(out, ']'), nil
}

func appendObject(out []byte, members map[string]any, depthMax int) ([]byte, error) {
	if depthMax == 0 {
		return nil, tooManyLevels()
	}
	out = append(out, '{')
	for i, name := range sortedNames(members) {
		if i > 0 {
			out = append(out, ',')
		}
		if !utf8.ValidString(name) {
			return nil, contract("name: expected UTF-8, got other bytes")
		}
		out = append(appendText(out, name), ':')
		var err error
		if out, err = appendValue(out, members[name], depthMax-1); err != nil {
			return nil, err
		}
	}
	return append(out, '}'), nil
}

func tooManyLevels() error {
	return contract("value: expected at most 64 levels, got more")
}

// sortedNames returns the names of an object in the order of canonical bytes.
func sortedNames(members map[string]any) []string {
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	sort.Slice(names, func(a, b int) bool { return isBefore(names[a], names[b]) })
	return names
}

// isBefore reports whether a name comes before another by their UTF-16 code
// units. UTF-8 sorts alike but for one pair of ranges: what lies above U+FFFF,
// whose surrogates begin with D8 to DB, comes before U+E000 to U+FFFF.
func isBefore(a, b string) bool {
	for i := 0; i < len(a) && i < len(b); i++ {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x >= 0xee && y >= 0xee && (x >= 0xf0) != (y >= 0xf0) {
			return x >= 0xf0
		}
		return x < y
	}
	return len(a) < len(b)
}

// appendNumber writes a finite double as ECMA-262 Number::toString does (RFC
// 8785 section 3.2.2.3).
func appendNumber(out []byte, value float64) []byte {
	if value == math.Trunc(value) && math.Abs(value) <= SafeIntegerMax {
		return strconv.AppendInt(out, int64(value), 10) // -0 too
	}
	if billionths := value * 1e9; 1e3 <= math.Abs(billionths) && math.Abs(billionths) < 1e15 {
		// Most numbers are rounded to 9 decimals. A decimal of at most 15 digits
		// that rounds to a double is the only such decimal, and so the shortest.
		if whole := int64(math.Round(billionths)); float64(whole)/1e9 == value {
			return appendBillionths(out, whole)
		}
	}
	if size := math.Abs(value); 1e-6 <= size && size < 1e21 {
		return strconv.AppendFloat(out, value, 'f', -1, 64)
	}
	out = strconv.AppendFloat(out, value, 'e', -1, 64)
	// Go writes at least two digits of an exponent, ECMAScript as many as it has.
	if n := len(out); out[n-2] == '0' && (out[n-3] == '-' || out[n-3] == '+') {
		out[n-2] = out[n-1]
		out = out[:n-1]
	}
	return out
}

// appendBillionths writes a number of billionths that is no whole number.
func appendBillionths(out []byte, billionths int64) []byte {
	if billionths < 0 {
		out = append(out, '-')
		billionths = -billionths
	}
	out = append(strconv.AppendInt(out, billionths/1e9, 10), '.')
	var digits [9]byte
	rest := uint32(billionths % 1e9)
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = byte('0' + rest%10)
		rest /= 10
	}
	end := len(digits)
	for digits[end-1] == '0' {
		end--
	}
	return append(out, digits[:end]...)
}

// plainBytes are those that stand for themselves in a string.
var plainBytes = func() (plain [256]bool) {
	for b := range plain {
		plain[b] = b >= 0x20 && b != '"' && b != '\\'
	}
	return plain
}()

const hexDigits = "0123456789abcdef"

// appendText writes valid UTF-8 as a JSON string.
func appendText(out []byte, text string) []byte {
	out = append(out, '"')
	start := 0
	for i := 0; i < len(text); i++ {
		b := text[i]
		if plainBytes[b] {
			continue
		}
		out = append(out, text[start:i]...)
		start = i + 1
		switch b {
		case '"', '\\':
			out = append(out, '\\', b)
		case '\b':
			out = append(out, `\b`...)
		case '\t':
			out = append(out, `\t`...)
		case '\n':
			out = append(out, `\n`...)
		case '\f':
			out = append(out, `\f`...)
		case '\r':
			out = append(out, `\r`...)
		default:
			out = append(out, `\u00`...)
			out = append(out, hexDigits[b>>4], hexDigits[b&15])
		}
	}
	return append(append(out, text[start:]...), '"')
}
