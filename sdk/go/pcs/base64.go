package pcs

import "encoding/base64"

var strictBase64 = base64.StdEncoding.Strict()

// decodeBase64 returns the bytes of a standard base64 text with padding and
// zero pad bits, so that each byte string has one spelling (RFC 4648 sections 4
// and 3.5).
func decodeBase64(text string) ([]byte, bool) {
	for i := range len(text) {
		if text[i] == '\n' || text[i] == '\r' { // the decoder passes over line ends
			return nil, false
		}
	}
	data, err := strictBase64.DecodeString(text)
	return data, err == nil
}
