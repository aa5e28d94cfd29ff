// Package members reads the objects that a server answers with.
package members

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"unicode/utf8"
)

// Read reads a JSON object into the struct that into points to, by the exact
// names of its members. encoding/json takes a name in any case: PCS_ID would
// stand for pcs_id, and be the later of the two where both are there. It also
// puts other characters in the place of bytes that are not UTF-8.
func Read(data []byte, into any) error {
	if !utf8.Valid(data) {
		return errors.New("answer: expected UTF-8, got other bytes")
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(data, &given); err != nil {
		return err
	}
	if given == nil {
		return errors.New("answer: expected an object, got null")
	}
	target := reflect.ValueOf(into).Elem()
	for i := range target.NumField() {
		name, _, _ := strings.Cut(target.Type().Field(i).Tag.Get("json"), ",")
		value, isGiven := given[name]
		if !isGiven || name == "-" {
			continue
		}
		if err := json.Unmarshal(value, target.Field(i).Addr().Interface()); err != nil {
			return err
		}
	}
	return nil
}
