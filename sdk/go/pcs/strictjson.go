package pcs

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// JCSDepthMax is how many objects and arrays may be open at once in any
	// JSON value, the outermost being 1.
	JCSDepthMax = 64
	// RecordDepthMax is the same of a record or a keyring; a valid record has
	// three.
	RecordDepthMax = 8

	// A double needs 25 characters; a longer literal only costs time.
	numberCharactersMax = 64
)

// The faults that a parser notes and goes on from, in the order in which they
// are reported.
const (
	numberTooLong = 1 << iota
	numberOverflow
	loneSurrogate
	duplicateMember
)

// ParseJSON returns the one value that a document holds: nil, a bool, a
// float64, a string, a []any or a map[string]any.
//
// Two programs that read the same bytes must see the same value, so whatever
// parsers treat differently is refused: duplicate names, lone surrogates,
// literals that overflow, and all syntax that RFC 8259 does not have. Of
// several faults the first of the table in specs/pcs.md section 1.1 is
// reported, wherever it stands. The error is a *Refusal of the code BadEncoding
// or MalformedJSON.
func ParseJSON(data []byte, depthMax int) (any, error) {
	value, refusal := parseJSON(data, depthMax)
	if refusal != nil {
		return nil, refusal
	}
	return value, nil
}

func parseJSON(data []byte, depthMax int) (any, *Refusal) {
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return nil, refuse(BadEncoding, "byte_order_mark", "", "document: expected no byte order mark, got one")
	case !utf8.Valid(data):
		return nil, refuse(BadEncoding, "invalid_utf8", "", "document: expected UTF-8, got other bytes")
	case isTooDeep(data, depthMax):
		return nil, malformed("too_deep", "document: expected fewer nested objects and arrays, got too many")
	}
	p := parser{data: data}
	p.skipSpace()
	value, sound := p.value()
	if !sound {
		return nil, malformed("syntax", "document: expected the grammar of RFC 8259, got something else")
	}
	p.skipSpace()
	switch {
	case p.at != len(data):
		return nil, malformed("trailing_data", "document: expected its end after the value, got more")
	case p.faults&numberTooLong != 0:
		return nil, malformed("number_too_long", "number: expected at most 64 characters, got more")
	case p.faults&numberOverflow != 0:
		return nil, malformed("number_overflow", "number: expected a finite double, got a literal that overflows")
	case p.faults&loneSurrogate != 0:
		return nil, malformed("lone_surrogate", "string: expected Unicode text, got a lone surrogate")
	case p.faults&duplicateMember != 0:
		return nil, malformed("duplicate_member", "object: expected each name once, got a duplicate")
	}
	return value, nil
}

func malformed(reason, message string) *Refusal {
	return refuse(MalformedJSON, reason, "", message)
}

// isTooDeep reports whether more brackets outside strings are open at once
// than may be. It asks for no grammar and runs before a parser recurses.
func isTooDeep(data []byte, depthMax int) bool {
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch b := data[i]; {
		case inString && b == '\\':
			i++
		case b == '"':
			inString = !inString
		case inString:
		case b == '{' || b == '[':
			if depth++; depth > depthMax {
				return true
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return false
}

// parser reads the grammar of RFC 8259. Its methods return false where the text
// has none; all other faults are noted.
type parser struct {
	data   []byte
	at     int
	faults int
}

func (p *parser) skipSpace() {
	for p.at < len(p.data) {
		switch p.data[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// peek returns the next byte, 0 at the end: no token begins with it.
func (p *parser) peek() byte {
	if p.at < len(p.data) {
		return p.data[p.at]
	}
	return 0
}

func (p *parser) value() (any, bool) {
	switch b := p.peek(); {
	case b == '{':
		return p.object()
	case b == '[':
		return p.array()
	case b == '"':
		return p.text()
	case b == 't':
		return true, p.literal("true")
	case b == 'f':
		return false, p.literal("false")
	case b == 'n':
		return nil, p.literal("null")
	case b == '-' || isDigit(b):
		return p.number()
	}
	return nil, false
}

func (p *parser) literal(word string) bool {
	if !bytes.HasPrefix(p.data[p.at:], []byte(word)) {
		return false
	}
	p.at += len(word)
	return true
}

func (p *parser) object() (any, bool) {
	p.at++
	members := map[string]any{}
	p.skipSpace()
	if p.peek() == '}' {
		p.at++
		return members, true
	}
	for {
		if p.skipSpace(); p.peek() != '"' {
			return nil, false
		}
		name, sound := p.text()
		if !sound {
			return nil, false
		}
		if p.skipSpace(); p.peek() != ':' {
			return nil, false
		}
		p.at++
		p.skipSpace()
		value, sound := p.value()
		if !sound {
			return nil, false
		}
		before := len(members)
		if members[name] = value; len(members) == before {
			p.faults |= duplicateMember
		}
		switch p.skipSpace(); p.peek() {
		case ',':
			p.at++
		case '}':
			p.at++
			return members, true
		default:
			return nil, false
		}
	}
}

func (p *parser) array() (any, bool) {
	p.at++
	items := []any{}
	p.skipSpace()
	if p.peek() == ']' {
		p.at++
		return items, true
	}
	for {
		p.skipSpace()
		item, sound := p.value()
		if !sound {
			return nil, false
		}
		items = append(items, item)
		switch p.skipSpace(); p.peek() {
		case ',':
			p.at++
		case ']':
			p.at++
			return items, true
		default:
			return nil, false
		}
	}
}

func (p *parser) text() (string, bool) {
	p.at++
	start := p.at
	for p.at < len(p.data) {
		switch b := p.data[p.at]; {
		case b == '"':
			p.at++
			return string(p.data[start : p.at-1]), true
		case b == '\\':
			return p.escapedText(start)
		case b < 0x20:
			return "", false
		}
		p.at++
	}
	return "", false
}

// escapedText goes on from the first escape of a string.
func (p *parser) escapedText(start int) (string, bool) {
	text := append([]byte(nil), p.data[start:p.at]...)
	for p.at < len(p.data) {
		switch b := p.data[p.at]; {
		case b == '"':
			p.at++
			return string(text), true
		case b < 0x20:
			return "", false
		case b != '\\':
			text = append(text, b)
			p.at++
		default:
			char, sound := p.escape()
			if !sound {
				return "", false
			}
			text = utf8.AppendRune(text, char)
		}
	}
	return "", false
}

var shortEscapes = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

func (p *parser) escape() (rune, bool) {
	p.at++
	kind := p.peek()
	p.at++
	if short := shortEscapes[kind]; short != 0 {
		return rune(short), true
	}
	if kind != 'u' {
		return 0, false
	}
	first, sound := p.hex4()
	if !sound || !utf16.IsSurrogate(first) {
		return first, sound
	}
	behind := p.at
	if bytes.HasPrefix(p.data[behind:], []byte(`\u`)) {
		p.at += 2
		if second, sound := p.hex4(); sound {
			if char := utf16.DecodeRune(first, second); char != utf8.RuneError {
				return char, true
			}
		}
		p.at = behind
	}
	p.faults |= loneSurrogate
	return utf8.RuneError, true
}

func (p *parser) hex4() (rune, bool) {
	if len(p.data)-p.at < 4 {
		return 0, false
	}
	var unit rune
	for _, b := range p.data[p.at : p.at+4] {
		switch {
		case isDigit(b):
			unit = unit<<4 | rune(b-'0')
		case 'a' <= b|0x20 && b|0x20 <= 'f':
			unit = unit<<4 | rune(b|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	p.at += 4
	return unit, true
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// number takes the longest run of number characters for the literal, so that
// "01" is no grammar and not a 0 with more behind it.
func (p *parser) number() (any, bool) {
	start := p.at
	for p.at < len(p.data) {
		if b := p.data[p.at]; !isDigit(b) && b != '-' && b != '+' && b != '.' && b|0x20 != 'e' {
			break
		}
		p.at++
	}
	literal := p.data[start:p.at]
	if !isNumber(literal) {
		return nil, false
	}
	if len(literal) > numberCharactersMax {
		p.faults |= numberTooLong
		return 0.0, true
	}
	// The only error left is the range, and then the double is an infinity.
	double, _ := strconv.ParseFloat(string(literal), 64)
	if math.IsInf(double, 0) {
		p.faults |= numberOverflow
	}
	return double, true
}

// isNumber reports whether a text is a number of RFC 8259 section 6.
func isNumber(literal []byte) bool {
	if len(literal) > 0 && literal[0] == '-' {
		literal = literal[1:]
	}
	whole := digits(literal)
	if whole == 0 || whole > 1 && literal[0] == '0' {
		return false
	}
	literal = literal[whole:]
	if len(literal) > 0 && literal[0] == '.' {
		fraction := digits(literal[1:])
		if fraction == 0 {
			return false
		}
		literal = literal[1+fraction:]
	}
	if len(literal) == 0 {
		return true
	}
	if literal[0]|0x20 != 'e' {
		return false
	}
	literal = literal[1:]
	if len(literal) > 0 && (literal[0] == '+' || literal[0] == '-') {
		literal = literal[1:]
	}
	return len(literal) > 0 && digits(literal) == len(literal)
}

// digits returns how many digits a text begins with.
func digits(text []byte) int {
	for i, b := range text {
		if !isDigit(b) {
			return i
		}
	}
	return len(text)
}
