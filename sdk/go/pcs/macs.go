package pcs

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
)

// macs makes the tags of one secret. A hash that was used once knows its state
// behind the key, so that the next tag need not hash the key again.
type macs struct{ pool sync.Pool }

func newMACs(secret []byte) *macs {
	return &macs{sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }}}
}

func (m *macs) appendTag(out, message []byte) []byte {
	mac := m.pool.Get().(hash.Hash)
	mac.Reset()
	mac.Write(message)
	out = mac.Sum(out)
	m.pool.Put(mac)
	return out
}

func (m *macs) verify(message, tag []byte) bool {
	var own [hmacBytes]byte
	return hmac.Equal(m.appendTag(own[:0], message), tag)
}
