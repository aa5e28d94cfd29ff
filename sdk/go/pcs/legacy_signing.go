package pcs

import (
	"crypto/sha256"
	"math"
	"strconv"
	"unicode/utf16"
)

const legacyLabel = "fractal-lba/legacy/1\n"

// Old agents did not agree on the bytes they signed. Every spelling in use is
// here, tried in the order of specs/pcs.md section 7.2, and nothing else.

// SpelledAsPython returns the signed members with numbers as Python's repr
// writes them ("1.0", "5e-05").
func (s *LegacySigned) SpelledAsPython() []byte { return s.spelled(appendAsPython) }

// SpelledAsECMAScript returns the signed members with numbers as ECMAScript
// writes them ("1", "0.00005").
func (s *LegacySigned) SpelledAsECMAScript() []byte { return s.spelled(appendNumber) }

func (s *LegacySigned) spelled(appendTo func([]byte, float64) []byte) []byte {
	out := appendTo([]byte(`{"D_hat":`), s.DHat)
	out = appendTo(append(out, `,"budget":`...), s.Budget)
	out = appendTo(append(out, `,"coh_star":`...), s.CohStar)
	out = strconv.AppendInt(append(out, `,"epoch":`...), s.Epoch, 10)
	out = appendPlain(append(out, `,"merkle_root":`...), s.MerkleRoot)
	out = appendPlain(append(out, `,"pcs_id":`...), s.PCSID)
	out = appendTo(append(out, `,"r":`...), s.R)
	return append(appendASCII(append(out, `,"shard_id":`...), s.ShardID), '}')
}

// appendAsPython writes a number of at most a million as Python's repr does.
func appendAsPython(out []byte, value float64) []byte {
	if size := math.Abs(value); size != 0 && size < 1e-4 {
		return strconv.AppendFloat(out, value, 'e', -1, 64)
	}
	if value == math.Trunc(value) {
		return strconv.AppendFloat(out, value, 'f', 1, 64)
	}
	return strconv.AppendFloat(out, value, 'f', -1, 64)
}

// appendASCII writes a string without control characters, all beyond ASCII as
// escapes of its UTF-16 units.
func appendASCII(out []byte, text string) []byte {
	out = append(out, '"')
	for _, char := range text {
		switch {
		case char == '"' || char == '\\':
			out = append(out, '\\', byte(char))
		case char < 0x80:
			out = append(out, byte(char))
		default:
			for _, unit := range utf16.Encode([]rune{char}) {
				out = append(out, '\\', 'u', hexDigits[unit>>12], hexDigits[unit>>8&15],
					hexDigits[unit>>4&15], hexDigits[unit&15])
			}
		}
	}
	return append(out, '"')
}

// verifies reports whether a signature is this key's, in one of the spellings of
// its algorithm.
func (s *LegacySigned) verifies(key *Key, signature []byte) bool {
	for _, message := range [][]byte{s.SpelledAsPython(), s.SpelledAsECMAScript()} {
		if key.Alg == HMACSHA256 && key.verify(message, signature) {
			return true
		}
		if hash := sha256.Sum256(message); key.verify(hash[:], signature) {
			return true
		}
	}
	return false
}
