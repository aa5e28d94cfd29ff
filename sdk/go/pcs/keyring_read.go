package pcs

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

const (
	// KeyringBytesMax is the longest keyring.
	KeyringBytesMax = 16 << 20
	// LegacyKeysMax is how many keys of one tenant may be tried on records of
	// version 0.1: they name no key, and a forged one costs a try with each.
	LegacyKeysMax = 8
)

// KeyringError is why a keyring cannot be used. Nothing of it was taken over.
type KeyringError struct {
	// Entry is "keyring", or one of its entries as "keys[0]".
	Entry string
	// KID is the name of that key, empty where it is not known.
	KID string
	// Member is the offending member, empty where there is none.
	Member string
	// Problem reads "expected X, got Y" and holds no value: an operator may well
	// have put a secret where a name belongs.
	Problem string
}

// Error returns where and what the problem is.
func (e *KeyringError) Error() string {
	where := e.Entry
	if e.KID != "" {
		where += ` kid "` + e.KID + `"`
	}
	if e.Member != "" {
		where += " " + e.Member
	}
	return where + ": " + e.Problem
}

// Is reports whether target is ErrContract.
func (e *KeyringError) Is(target error) bool { return target == ErrContract }

// NoSecretsOutside resolves nothing: a keyring read with it holds all of its
// secrets itself.
func NoSecretsOutside(string) ([]byte, error) {
	return nil, contract("secret: expected one inside the keyring, got a place outside")
}

// ParseKeyring returns the keyring that the bytes of a file hold: strict JSON as
// in specs/pcs.md section 3.
//
// resolve returns the bytes that an "env:NAME" or "file:PATH" stands for. They
// are the secret as they are, unless they start with "base64:"; then the rest,
// up to one line end, is decoded. The error is a *KeyringError; the messages of
// errors of resolve become part of it.
func ParseKeyring(data []byte, resolve func(where string) ([]byte, error)) (*Keyring, error) {
	ring, err := parseKeyring(data, resolve)
	if err != nil {
		return nil, err
	}
	return ring, nil
}

func parseKeyring(data []byte, resolve func(string) ([]byte, error)) (*Keyring, *KeyringError) {
	if len(data) > KeyringBytesMax {
		return nil, &KeyringError{Entry: "keyring", Problem: "expected at most 16 MiB, got more"}
	}
	value, refusal := parseJSON(data, RecordDepthMax)
	if refusal != nil {
		return nil, &KeyringError{Entry: "keyring", Problem: "expected strict JSON, got " + refusal.Reason}
	}
	top := newEntry(value, "keyring")
	keys := top.array("keys", true)
	ring := &Keyring{byKID: map[string]*Key{}, legacy: map[string][]*Key{}}
	ring.tokens, ring.byToken = top.identities("tokens")
	ring.certificates, ring.byDER = top.identities("certificates")
	if top.finish(); top.err != nil {
		return nil, top.err
	}
	for i, value := range keys {
		entry := newEntry(value, fmt.Sprintf("keys[%d]", i))
		key := entry.key(resolve)
		if entry.err == nil {
			entry.err = ring.add(key, entry.where)
		}
		if entry.err != nil {
			return nil, entry.err
		}
	}
	return ring, nil
}

func (r *Keyring) add(key *Key, where string) *KeyringError {
	if r.byKID[key.KID] != nil {
		return &KeyringError{Entry: where, Member: "kid", Problem: "expected each once, got one again"}
	}
	r.keys = append(r.keys, key)
	r.byKID[key.KID] = key
	if !key.Legacy {
		return nil
	}
	r.legacy[key.Tenant] = append(r.legacy[key.Tenant], key)
	if len(r.legacy[key.Tenant]) > LegacyKeysMax {
		return &KeyringError{Entry: where, Member: "legacy", Problem: "expected at most 8 of a tenant, got more"}
	}
	return nil
}

// entry is one object of the file, read member by member. It keeps the first
// error, after which every step returns nothing; finish refuses what was not
// read.
type entry struct {
	where, kid string
	members    map[string]any
	read       map[string]bool
	err        *KeyringError
}

func newEntry(value any, where string) *entry {
	e := &entry{where: where, read: map[string]bool{}}
	members, is := value.(map[string]any)
	if !is {
		e.refuse("", "an object", "another value")
	}
	e.members = members
	return e
}

func (e *entry) refuse(member, expected, got string) {
	if e.err == nil {
		problem := "expected " + expected + ", got " + got
		e.err = &KeyringError{Entry: e.where, KID: e.kid, Member: member, Problem: problem}
	}
}

func (e *entry) value(name string) (value any, there bool) {
	e.read[name] = true
	value, there = e.members[name]
	return value, there
}

func (e *entry) wrongType(name, expected string, there bool) {
	got := "another type"
	if !there {
		got = "nothing"
	}
	e.refuse(name, expected, got)
}

func (e *entry) text(name string) string {
	value, there := e.value(name)
	text, is := value.(string)
	if !is {
		e.wrongType(name, "a string", there)
	}
	return text
}

func (e *entry) match(name string, matches func(string) bool, pattern string) string {
	text := e.text(name)
	if !matches(text) {
		e.refuse(name, "a match of "+pattern, "another text")
	}
	return text
}

func (e *entry) array(name string, required bool) []any {
	value, there := e.value(name)
	items, is := value.([]any)
	if !is && (there || required) {
		e.wrongType(name, "an array", there)
	}
	return items
}

func (e *entry) boolean(name string) bool {
	value, there := e.value(name)
	boolean, is := value.(bool)
	if there && !is {
		e.refuse(name, "true or false", "another type")
	}
	return boolean
}

func (e *entry) timestamp(name string) *int64 {
	value, there := e.value(name)
	if !there || value == nil {
		return nil
	}
	text, is := value.(string)
	if !is {
		e.refuse(name, "a string", "another type")
	}
	ms, is := timestampMS(text)
	if !is {
		e.refuse(name, "YYYY-MM-DDTHH:MM:SS.mmmZ or null", "another text")
	}
	return &ms
}

func (e *entry) finish() {
	unknown := 0
	for name := range e.members {
		if !e.read[name] {
			unknown++
		}
	}
	if unknown > 0 {
		// The name is not shown: it may be a secret on the wrong side of the colon.
		e.refuse("", "known members", fmt.Sprintf("%d unknown", unknown))
	}
}

func (e *entry) identities(name string) ([]Identity, map[Hash]int) {
	by := map[Hash]int{}
	var found []Identity
	for i, value := range e.array(name, false) {
		inner := newEntry(value, fmt.Sprintf("%s[%d]", name, i))
		identity := inner.identity()
		if _, again := by[identity.SHA256]; again {
			inner.refuse("sha256", "each once", "one again")
		}
		if inner.err != nil {
			if e.err == nil {
				e.err = inner.err
			}
			return nil, nil
		}
		by[identity.SHA256] = len(found)
		found = append(found, identity)
	}
	return found, by
}

func (e *entry) identity() (identity Identity) {
	identity.Tenant = e.match("tenant", isName, namePattern)
	digits := e.match("sha256", isHash, hashPattern)
	items := e.array("scopes", true)
	for _, item := range items {
		text, _ := item.(string)
		scope := Scope(text)
		known := scope == Submit || scope == Read || scope == Operate
		if !known || slices.Contains(identity.Scopes, scope) {
			e.refuse("scopes", "submit, read, operate, each at most once", "something else")
		}
		identity.Scopes = append(identity.Scopes, scope)
	}
	if e.finish(); e.err == nil {
		identity.SHA256 = hashOf(digits)
	}
	return identity
}

// hashOf returns the hash of 64 hexadecimal digits.
func hashOf(digits string) (hash Hash) {
	for i := range hash {
		hash[i] = byte(strings.IndexByte(hexDigits, digits[2*i])<<4 | strings.IndexByte(hexDigits, digits[2*i+1]))
	}
	return hash
}

func (e *entry) key(resolve func(string) ([]byte, error)) *Key {
	key := Key{KID: e.match("kid", isName, namePattern)}
	if e.err != nil {
		return nil
	}
	e.kid = key.KID
	key.Tenant = e.match("tenant", isName, namePattern)
	key.Alg = Alg(e.text("alg"))
	if key.Alg != HMACSHA256 && key.Alg != Ed25519 {
		e.refuse("alg", "hmac-sha256 or ed25519", "another text")
	}
	key.Legacy = e.boolean("legacy")
	public, hasPublic := e.public()
	secret, hasSecret := e.secret(resolve)
	key.NotBeforeMS = e.timestamp("not_before")
	key.NotAfterMS = e.timestamp("not_after")
	e.finish()
	if key.NotBeforeMS != nil && key.NotAfterMS != nil && *key.NotBeforeMS > *key.NotAfterMS {
		e.refuse("not_after", "a time from not_before on", "an earlier one")
	}
	if key.Alg == HMACSHA256 {
		return e.hmacKey(key, secret, hasPublic, hasSecret)
	}
	return e.ed25519Key(key, public, secret, hasPublic, hasSecret)
}

func (e *entry) hmacKey(key Key, secret []byte, hasPublic, hasSecret bool) *Key {
	least := hmacSecretBytesMin
	if key.Legacy {
		least = 1
	}
	switch {
	case hasPublic:
		e.refuse("public", "none for hmac-sha256", "one")
	case !hasSecret:
		e.refuse("secret", "one for hmac-sha256", "none")
	case len(secret) < least:
		e.refuse("secret", fmt.Sprintf("at least %d bytes", least), fmt.Sprint(len(secret)))
	}
	if e.err != nil {
		return nil
	}
	return newHMACKey(key, secret)
}

func (e *entry) ed25519Key(key Key, public, secret []byte, hasPublic, hasSecret bool) *Key {
	switch {
	case hasSecret && len(secret) != ed25519SeedBytes:
		e.refuse("secret", "a seed of 32 bytes", fmt.Sprint(len(secret)))
	case hasSecret:
		if e.err != nil {
			return nil
		}
		signs := newEd25519Key(key, secret)
		if hasPublic && !bytes.Equal(public, signs.public) {
			e.refuse("public", "the public key of the secret", "another key")
		}
		return signs
	case !hasPublic:
		e.refuse("public", "a public key or a secret for ed25519", "neither")
	case len(public) != ed25519PublicBytes:
		e.refuse("public", "32 bytes", fmt.Sprint(len(public)))
	case !isStrictPoint(public):
		// With a point of small order one signature verifies for many messages.
		e.refuse("public", "a canonical point of large order", "another")
	}
	key.public = public
	return &key
}

func (e *entry) public() (public []byte, there bool) {
	if _, there := e.members["public"]; !there {
		return nil, false
	}
	text := e.text("public")
	if !strings.HasPrefix(text, base64Prefix) {
		e.refuse("public", "base64:…", "another text")
	}
	return e.decoded("public", text), true
}

const base64Prefix = "base64:"

func (e *entry) secret(resolve func(string) ([]byte, error)) (secret []byte, there bool) {
	if _, there := e.members["secret"]; !there {
		return nil, false
	}
	text := e.text("secret")
	if strings.HasPrefix(text, base64Prefix) {
		return e.decoded("secret", text), true
	}
	if !strings.HasPrefix(text, "env:") && !strings.HasPrefix(text, "file:") {
		e.refuse("secret", "base64:…, env:NAME or file:PATH", "another text")
	}
	if e.err != nil { // nothing is fetched for a ring that is refused
		return nil, true
	}
	value, err := resolve(text)
	if err != nil {
		e.refuse("secret", "what it names", "an error: "+err.Error())
		return nil, true
	}
	if !bytes.HasPrefix(value, []byte(base64Prefix)) {
		return value, true
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(value), "\n"), "\r")
	return e.decoded("secret", line), true
}

func (e *entry) decoded(name, text string) []byte {
	data, is := decodeBase64(strings.TrimPrefix(text, base64Prefix))
	if !is {
		e.refuse(name, "standard base64 with padding after base64:", "another text")
	}
	return data
}
