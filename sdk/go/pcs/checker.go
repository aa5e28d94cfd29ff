package pcs

import (
	"strings"
	"unicode/utf8"
)

// checker goes through the members of a record in the order of their table and
// keeps the first refusal, after which every step does nothing.
//
// With a document each step reads its member from there, type included, before
// it checks it; without one the values are checked that are there already. So
// one list of steps holds the rules for records that arrive and those that are
// made.
type checker struct {
	doc     map[string]any // nil where values are given
	refusal *Refusal
}

func (c *checker) note(path string, fault *fault) {
	if fault != nil && c.refusal == nil {
		c.refusal = fault.at(path)
	}
}

// enter goes on in an object inside the document, and returns the outer one for
// leave.
func (c *checker) enter(name string) map[string]any {
	outer := c.doc
	if outer != nil {
		c.doc = c.object(name)
	}
	return outer
}

func (c *checker) leave(outer map[string]any, known func(string) bool, path string) {
	if outer != nil && c.refusal == nil {
		c.refusal = unknownMember(c.doc, known, path)
	}
	c.doc = outer
}

// given returns the member at the end of a path.
func (c *checker) given(path string) any {
	return member(c.doc, path[strings.LastIndexByte(path, '.')+1:])
}

// object returns the object of that name, nil without a document.
func (c *checker) object(path string) map[string]any {
	if c.doc == nil || c.refusal != nil {
		return nil
	}
	members, fault := objectOf(c.given(path))
	c.note(path, fault)
	return members
}

// items returns the items of an array and their number; without a document it
// leaves the number as it is.
func (c *checker) items(path string, count *int) []any {
	if c.doc == nil || c.refusal != nil {
		return nil
	}
	items, fault := arrayOf(c.given(path))
	c.note(path, fault)
	*count = len(items)
	return items
}

func (c *checker) text(path string, into *string) {
	if c.doc == nil || c.refusal != nil {
		return
	}
	text, fault := textOf(c.given(path))
	c.note(path, fault)
	*into = text
}

func (c *checker) match(path string, into *string, matches func(string) bool, pattern string) {
	if c.text(path, into); c.refusal == nil {
		c.note(path, textMatches(*into, matches, pattern))
	}
}

func (c *checker) among(path string, into *string, choices ...string) {
	if c.text(path, into); c.refusal == nil {
		c.note(path, textAmong(*into, choices...))
	}
}

func (c *checker) timestamp(path string, into *string) int64 {
	if c.text(path, into); c.refusal != nil {
		return 0
	}
	ms, is := timestampMS(*into)
	if !is {
		c.note(path, timestampFault())
	}
	return ms
}

func (c *checker) boolean(path string, into *bool) {
	if c.doc == nil || c.refusal != nil {
		return
	}
	boolean, fault := booleanOf(c.given(path))
	c.note(path, fault)
	*into = boolean
}

func (c *checker) integer(path string, into *int64, least, most int64) {
	if c.refusal != nil {
		return
	}
	if c.doc != nil {
		integer, fault := integerOf(c.given(path))
		if c.note(path, fault); fault != nil {
			return
		}
		*into = integer
	}
	c.note(path, integerIn(*into, least, most))
}

func (c *checker) number(path string, into *float64, least, most float64) {
	if c.refusal != nil {
		return
	}
	if c.doc != nil {
		number, fault := numberOf(c.given(path))
		if c.note(path, fault); fault != nil {
			return
		}
		*into = number
	}
	c.note(path, numberIn(*into, least, most))
}

// unicodeText refuses what is given as a string and is none; what was parsed is
// one.
func unicodeText(text string) *fault {
	if !utf8.ValidString(text) {
		return &fault{"wrong_type", "a string of UTF-8", "other bytes"}
	}
	return nil
}
