package vectors

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sort"
	"unicode/utf16"

	"fractallba/pcs"
)

// hexBytes are bytes that a case gives in hexadecimal.
type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

func read[T any](input json.RawMessage) (given T, err error) {
	decoder := json.NewDecoder(bytes.NewReader(input))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(&given)
	return given, err
}

// refusedBy returns what a case states of a refusal.
func refusedBy(err error) error {
	var refusal *pcs.Refusal
	if !errors.As(err, &refusal) {
		return err
	}
	return refusedFor(string(refusal.Code), refusal.Reason, refusal.Member)
}

func refusedFor(code, reason, member string) error {
	return &refused{expected{"code": code, "reason": reason, "member": orNull(member)}}
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// real gives a double by its canonical text and its bits.
func real(value float64) any {
	text, err := pcs.Canonical(value)
	if err != nil {
		panic(err) // no value that is computed here is infinite
	}
	return expected{"text": string(text), "bits": fmt.Sprintf("%016x", math.Float64bits(value))}
}

// numbersOf returns each number of a value in the order of its canonical text.
func numbersOf(found []any, value any) []any {
	switch value := value.(type) {
	case float64:
		if value == 0 {
			value = 0 // the integer, which has no sign
		}
		return append(found, real(value))
	case []any:
		for _, item := range value {
			found = numbersOf(found, item)
		}
	case map[string]any:
		names := make([]string, 0, len(value))
		for name := range value {
			names = append(names, name)
		}
		sort.Slice(names, func(a, b int) bool {
			return compareUnits(utf16.Encode([]rune(names[a])), utf16.Encode([]rune(names[b]))) < 0
		})
		for _, name := range names {
			found = numbersOf(found, value[name])
		}
	}
	return found
}

func compareUnits(a, b []uint16) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] != b[i] {
			return int(a[i]) - int(b[i])
		}
	}
	return len(a) - len(b)
}

func parsedCanonical(document []byte, depthMax int) (expected, error) {
	value, err := pcs.ParseJSON(document, depthMax)
	if err != nil {
		return nil, refusedBy(err)
	}
	written, err := pcs.Canonical(value)
	if err != nil {
		return nil, err
	}
	return expected{"canonical": hex.EncodeToString(written), "numbers": numbersOf([]any{}, value)}, nil
}

func canonicalJSON(input json.RawMessage) (expected, error) {
	given, err := read[struct{ Document hexBytes }](input)
	if err != nil {
		return nil, err
	}
	return parsedCanonical(given.Document, pcs.JCSDepthMax)
}

func jsonRefusals(input json.RawMessage) (expected, error) {
	given, err := read[struct {
		Layer    string
		Document hexBytes
	}](input)
	if err != nil {
		return nil, err
	}
	depths := map[string]int{"jcs": pcs.JCSDepthMax, "record": pcs.RecordDepthMax}
	depthMax, is := depths[given.Layer]
	if !is {
		return nil, errors.New("layer: expected jcs or record, got another")
	}
	return parsedCanonical(given.Document, depthMax)
}

func ids(input json.RawMessage) (expected, error) {
	given, err := read[struct {
		MerkleRoot string `json:"merkle_root"`
		Epoch      int64
		ShardID    string `json:"shard_id"`
	}](input)
	return expected{"pcs_id": pcs.PCSID(given.MerkleRoot, given.Epoch, given.ShardID)}, err
}

// body is base64, and the spaces that follow it.
type body struct {
	Body           []byte
	TrailingSpaces int `json:"trailing_spaces"`
}

func (b body) bytes() []byte {
	return append(b.Body, bytes.Repeat([]byte{' '}, b.TrailingSpaces)...)
}

// recordOf reads the record that an input is a body of.
func recordOf(input json.RawMessage) (*pcs.Record, error) {
	given, err := read[body](input)
	if err != nil {
		return nil, err
	}
	record, err := pcs.ParseRecord(given.bytes())
	if err != nil {
		return nil, refusedBy(err)
	}
	return record, nil
}

func digests(input json.RawMessage) (expected, error) {
	record, err := recordOf(input)
	if err != nil {
		return nil, err
	}
	return expected{
		"signing_input":  base64.StdEncoding.EncodeToString(record.SigningInput()),
		"record_digest":  record.Digest(),
		"content_digest": record.ContentDigest(),
	}, nil
}

func records10(input json.RawMessage) (expected, error) {
	record, err := recordOf(input)
	if err != nil {
		return nil, err
	}
	stored := base64.StdEncoding.EncodeToString(record.Stored())
	return expected{"pcs_id": record.PCSID(), "stored": stored}, nil
}

func decided(outcome *pcs.Outcome, pcsID, digest string) (expected, error) {
	body, err := pcs.DecisionBody(pcsID, digest, outcome)
	reasons := []any{}
	for _, reason := range outcome.Reasons {
		reasons = append(reasons, string(reason))
	}
	return expected{
		"status":            outcome.Status(),
		"reasons":           reasons,
		"recomputed_budget": real(outcome.RecomputedBudget),
		"decision_body":     base64.StdEncoding.EncodeToString(body),
	}, err
}

func outcomes(input json.RawMessage) (expected, error) {
	record, err := recordOf(input)
	if err != nil {
		return nil, err
	}
	outcome := pcs.Judge(record, pcs.CurrentParams)
	answer, err := decided(outcome, record.PCSID(), record.Digest())
	if err != nil {
		return nil, err
	}
	answer["accepted"] = outcome.Accepted
	answer["escalated"] = outcome.Escalated
	answer["recomputed_D_hat"] = real(*outcome.RecomputedDHat)
	answer["params_version"] = outcome.ParamsVersion
	return answer, nil
}

func records01(input json.RawMessage) (expected, error) {
	given, err := read[struct {
		Keyring       []byte
		Tenant        *string
		AcceptsLegacy bool `json:"accepts_legacy"`
		body
		ReceivedAt string `json:"received_at"`
	}](input)
	if err != nil {
		return nil, err
	}
	ring, err := parsedKeyring(given.Keyring)
	if err != nil {
		return nil, err
	}
	receivedMS, err := pcs.ParseTimestamp(given.ReceivedAt)
	if err != nil {
		return nil, err
	}
	tenant := pcs.LegacyTenant
	if given.Tenant != nil {
		tenant = *given.Tenant
	}
	_, found, err := pcs.AuthenticateAny(given.bytes(), ring, tenant, given.AcceptsLegacy)
	if err != nil {
		return nil, refusedBy(err)
	}
	if found == nil {
		return nil, errors.New("version: expected 0.1, got 1.0")
	}
	if err := found.RequireValidAt(receivedMS); err != nil {
		return nil, refusedBy(err)
	}
	record := found.Record
	outcome, err := pcs.JudgeLegacy(record, pcs.LegacyParams)
	if err != nil {
		return nil, refusedBy(err)
	}
	answer, err := decided(outcome, record.PCSID(), found.RecordDigest)
	if err != nil {
		return nil, err
	}
	signed := record.Signed()
	answer["tenant"] = found.Tenant()
	answer["kid"] = found.Key.KID
	answer["pcs_id"] = record.PCSID()
	answer["digest"] = found.RecordDigest
	answer["as_python"] = base64.StdEncoding.EncodeToString(signed.SpelledAsPython())
	answer["as_ecmascript"] = base64.StdEncoding.EncodeToString(signed.SpelledAsECMAScript())
	answer["stored"] = base64.StdEncoding.EncodeToString(record.Stored())
	answer["remembered"] = outcome.Accepted
	return answer, nil
}
