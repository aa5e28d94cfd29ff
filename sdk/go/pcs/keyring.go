package pcs

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
)

// Alg is how a key signs; it belongs to the key, never to a message.
type Alg string

// The algorithms.
const (
	HMACSHA256 Alg = "hmac-sha256"
	Ed25519    Alg = "ed25519"
)

// Scope is what a caller may ask for.
type Scope string

// The scopes.
const (
	Submit  Scope = "submit"
	Read    Scope = "read"
	Operate Scope = "operate"
)

// Key is one key of a tenant. Its secret is never shown. A Key is safe for use
// by several goroutines.
type Key struct {
	// KID is what a record calls it, unique in a ring.
	KID, Tenant string
	Alg         Alg
	// Legacy: also tried on records of version 0.1, for which a secret of any
	// length will do.
	Legacy bool
	// NotBeforeMS and NotAfterMS are the first and the last millisecond since
	// 1970 at which it is valid; nil for always and for ever.
	NotBeforeMS, NotAfterMS *int64

	public  []byte
	secret  []byte             // of HMAC
	private ed25519.PrivateKey // nil where the ring cannot sign
	mac     *macs              // of HMAC
}

// NewHMACKey returns a key that signs with a secret of at least 32 bytes. The
// error is a *ContractError.
func NewHMACKey(kid string, secret []byte) (*Key, error) {
	if !isName(kid) {
		return nil, contract("kid: expected a match of " + namePattern + ", got another text")
	}
	if len(secret) < hmacSecretBytesMin {
		return nil, contract("secret: expected at least 32 bytes, got fewer")
	}
	return newHMACKey(Key{KID: kid}, secret), nil
}

func newHMACKey(key Key, secret []byte) *Key {
	key.Alg, key.secret = HMACSHA256, append([]byte(nil), secret...)
	key.mac = newMACs(key.secret)
	return &key
}

// NewEd25519Key returns a key that signs with a seed of 32 bytes (RFC 8032). The
// error is a *ContractError.
func NewEd25519Key(kid string, seed []byte) (*Key, error) {
	if !isName(kid) {
		return nil, contract("kid: expected a match of " + namePattern + ", got another text")
	}
	if len(seed) != ed25519SeedBytes {
		return nil, wrongSeed()
	}
	return newEd25519Key(Key{KID: kid}, seed), nil
}

func newEd25519Key(key Key, seed []byte) *Key {
	key.Alg, key.private = Ed25519, ed25519.NewKeyFromSeed(seed)
	key.public = key.private[ed25519SeedBytes:]
	return &key
}

// Public returns a copy of the 32 bytes of an Ed25519 key, none for HMAC.
func (k *Key) Public() []byte { return append([]byte(nil), k.public...) }

// Format writes the name of the key and its tenant whatever the verb, so that no
// way of printing shows a secret.
func (k Key) Format(to fmt.State, _ rune) {
	fmt.Fprintf(to, "key %s of tenant %s", k.KID, k.Tenant)
}

// IsShort reports whether the secret is too short for anything but records of
// version 0.1.
func (k *Key) IsShort() bool { return k.Alg == HMACSHA256 && len(k.secret) < hmacSecretBytesMin }

// IsValidAt reports whether the key is valid at a time in milliseconds since
// 1970; bounds count.
func (k *Key) IsValidAt(ms int64) bool {
	return (k.NotBeforeMS == nil || *k.NotBeforeMS <= ms) && (k.NotAfterMS == nil || ms <= *k.NotAfterMS)
}

// signatureBytes returns how long the key's signatures are.
func (k *Key) signatureBytes() int {
	if k.Alg == HMACSHA256 {
		return hmacBytes
	}
	return ed25519SignatureBytes
}

// verify reports whether a signature of a message is this key's.
func (k *Key) verify(message, signature []byte) bool {
	if k.Alg == HMACSHA256 {
		return k.mac.verify(message, signature)
	}
	return VerifyEd25519(k.public, message, signature)
}

// appendSignature appends the signature of a message; false without a secret.
func (k *Key) appendSignature(out, message []byte) ([]byte, bool) {
	switch {
	case k.Alg == HMACSHA256:
		return k.mac.appendTag(out, message), true
	case k.private == nil:
		return out, false
	}
	return append(out, ed25519.Sign(k.private, message)...), true
}

// Identity is a bearer token or a client certificate of a tenant, known by its
// SHA-256 only.
type Identity struct {
	Tenant string
	SHA256 Hash
	Scopes []Scope
}

// Keyring is every key by its kid, every token and every client certificate by
// its SHA-256. It does not change.
type Keyring struct {
	keys         []*Key
	byKID        map[string]*Key
	legacy       map[string][]*Key
	tokens       []Identity
	certificates []Identity
	byToken      map[Hash]int
	byDER        map[Hash]int
}

// Keys returns the keys in the order of the file.
func (r *Keyring) Keys() []*Key { return append([]*Key(nil), r.keys...) }

// Tokens returns whose bearer tokens are known, in the order of the file.
func (r *Keyring) Tokens() []Identity { return append([]Identity(nil), r.tokens...) }

// Certificates returns whose client certificates are known, in the order of the
// file.
func (r *Keyring) Certificates() []Identity { return append([]Identity(nil), r.certificates...) }

// Key returns the key of that name, nil where there is none.
func (r *Keyring) Key(kid string) *Key { return r.byKID[kid] }

// LegacyKeys returns the keys that a tenant's records of version 0.1 are tried
// with, in the order of the file.
func (r *Keyring) LegacyKeys(tenant string) []*Key {
	return append([]*Key(nil), r.legacy[tenant]...)
}

// Token returns whose bearer token a text is. It is looked up by its digest:
// what the time taken may tell is a digest's, which gives no token.
func (r *Keyring) Token(bearer string) (Identity, bool) {
	return find(r.tokens, r.byToken, []byte(bearer))
}

// Certificate returns whose client certificate these DER bytes are.
func (r *Keyring) Certificate(der []byte) (Identity, bool) {
	return find(r.certificates, r.byDER, der)
}

func find(identities []Identity, by map[Hash]int, secret []byte) (Identity, bool) {
	at, found := by[sha256.Sum256(secret)]
	if !found {
		return Identity{}, false
	}
	return identities[at], true
}
