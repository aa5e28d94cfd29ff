package pcs

// LegacyTenant is whose keys a record of version 0.1 is tried with where its
// sender names no tenant.
const LegacyTenant = "default"

// Authenticated is a record of version 1.0 whose signature holds.
type Authenticated struct {
	Record *Record
	// Key verified it. Whether it was valid at the time of receipt is for
	// RequireValidAt to say, and only asked of what is no repeat.
	Key *Key
	// RecordDigest names the signed record, ContentDigest what it says of its
	// window, both in hexadecimal.
	RecordDigest, ContentDigest string
}

// Tenant returns whose record it is: the tenant of the key.
func (a *Authenticated) Tenant() string { return a.Key.Tenant }

// RequireValidAt refuses a record whose key is not valid at a time in
// milliseconds since 1970. The error is a *Refusal of the code KeyNotValidNow.
func (a *Authenticated) RequireValidAt(ms int64) error { return requireValidAt(a.Key, ms, "kid") }

func requireValidAt(key *Key, ms int64, member string) error {
	if key.IsValidAt(ms) {
		return nil
	}
	message := "kid: expected a key that is valid at receipt, got another"
	return refuse(KeyNotValidNow, "key_not_valid_now", member, message)
}

// Authenticate returns the record of version 1.0 that a body holds, with the key
// that verified it. The error is a *Refusal: as of AuthenticateAny that takes no
// record of version 0.1.
func Authenticate(body []byte, ring *Keyring) (*Authenticated, error) {
	found, _, refusal := authenticateAny(body, ring, LegacyTenant, false)
	if refusal != nil {
		return nil, refusal
	}
	return found, nil
}

func authenticated(record *Record, ring *Keyring) (*Authenticated, *Refusal) {
	key := ring.Key(record.members.KID)
	switch {
	case key == nil:
		return nil, refuse(UnknownKey, "unknown_key", "kid", "kid: expected a key of the ring, got another")
	case key.IsShort():
		message := "kid: expected a key of at least 32 bytes, got one for version 0.1 only"
		return nil, refuse(UnknownKey, "short_key", "kid", message)
	case record.sigBytes == 0:
		return nil, signatureMissing()
	case record.sigBytes != key.signatureBytes():
		return nil, signatureLength()
	}
	signed := record.SigningInput()
	if !key.verify(signed, record.signature()) {
		return nil, signatureMismatch()
	}
	return &Authenticated{
		Record: record, Key: key, RecordDigest: hexSHA256(signed), ContentDigest: record.ContentDigest(),
	}, nil
}

func signatureMissing() *Refusal {
	return refuse(SignatureMissing, "signature_missing", "sig", "sig: expected one, got none")
}

func signatureLength() *Refusal {
	message := "sig: expected the length of the key's, got another"
	return refuse(SignatureInvalid, "signature_length", "sig", message)
}

func signatureMismatch() *Refusal {
	message := "sig: expected the key's signature of the record, got another"
	return refuse(SignatureInvalid, "signature_mismatch", "sig", message)
}

// AuthenticatedLegacy is a record of version 0.1 whose signature holds.
type AuthenticatedLegacy struct {
	Record *LegacyRecord
	Key    *Key
	// RecordDigest is the content digest too.
	RecordDigest string
}

// Tenant returns whose record it is: the tenant of the key.
func (a *AuthenticatedLegacy) Tenant() string { return a.Key.Tenant }

// RequireValidAt does as that of Authenticated, and names no member.
func (a *AuthenticatedLegacy) RequireValidAt(ms int64) error { return requireValidAt(a.Key, ms, "") }

// AuthenticateAny returns the record that a body holds, of whichever version it
// says it has: one of the two values is nil. A record of version 0.1 names no
// key and is tried with the legacy keys of tenant, which is anyone's word; where
// takesLegacy is false it is refused as such, before any member is looked at.
// The error is a *Refusal: as of ParseRecord by the rules of the version, then
// UnknownKey, SignatureMissing, SignatureInvalid.
func AuthenticateAny(
	body []byte, ring *Keyring, tenant string, takesLegacy bool,
) (*Authenticated, *AuthenticatedLegacy, error) {
	current, legacy, refusal := authenticateAny(body, ring, tenant, takesLegacy)
	if refusal != nil {
		return nil, nil, refusal
	}
	return current, legacy, nil
}

func authenticateAny(
	body []byte, ring *Keyring, tenant string, takesLegacy bool,
) (*Authenticated, *AuthenticatedLegacy, *Refusal) {
	doc, refusal := parseDocument(body)
	if refusal != nil {
		return nil, nil, refusal
	}
	version, refusal := versionAmong(doc, Version, LegacyVersion)
	if refusal != nil {
		return nil, nil, refusal
	}
	if version == Version {
		record, refusal := recordOf(doc)
		if refusal != nil {
			return nil, nil, refusal
		}
		found, refusal := authenticated(record, ring)
		return found, nil, refusal
	}
	if !takesLegacy {
		message := "version: expected 1.0, got 0.1, which is switched off here"
		return nil, nil, refuse(UnsupportedVersion, "legacy_switched_off", "version", message)
	}
	record, refusal := legacyRecordOf(doc)
	if refusal != nil {
		return nil, nil, refusal
	}
	found, refusal := authenticatedLegacy(record, ring.legacy[tenant])
	return nil, found, refusal
}

func authenticatedLegacy(record *LegacyRecord, keys []*Key) (*AuthenticatedLegacy, *Refusal) {
	if len(keys) == 0 {
		message := "X-Tenant-Id: expected a tenant with a key for version 0.1, got another"
		return nil, refuse(UnknownKey, "no_legacy_key", "", message)
	}
	if len(record.signature) == 0 {
		return nil, signatureMissing()
	}
	isLong := false
	for _, key := range keys {
		isLong = isLong || len(record.signature) == key.signatureBytes()
	}
	if !isLong {
		return nil, signatureLength()
	}
	for _, key := range keys {
		if record.signed.verifies(key, record.signature) {
			return &AuthenticatedLegacy{Record: record, Key: key, RecordDigest: record.Digest()}, nil
		}
	}
	return nil, signatureMismatch()
}

// Sign returns the record with these members, its kid, pcs_id and sig being this
// key's and its own. The error is a *Refusal where the members break a rule, and
// a *ContractError where the key cannot sign; nothing is signed then.
func Sign(members *Members, key *Key) (*Record, error) {
	if key.IsShort() {
		return nil, contract("key: expected at least 32 bytes, got a shorter secret")
	}
	if key.Alg == Ed25519 && key.private == nil {
		return nil, contract("key: expected a secret to sign with, got none")
	}
	record := &Record{members: members.copied(), hasSig: true}
	record.members.KID = key.KID
	c := checker{}
	if c.record(record); c.refusal != nil {
		return nil, c.refusal
	}
	m := &record.members
	record.pcsID = PCSID(m.MerkleRoot, m.Epoch, m.ShardID)
	signed := append(make([]byte, 0, canonicalBytes), signingLabel...)
	signed = record.appendBeforeSig(signed, signedForm, nil)
	record.sigAt = len(signed)
	record.signed = record.appendBehindSig(signed)
	signature, _ := key.appendSignature(record.sig[:0], record.signed)
	record.sigBytes = len(signature)
	return record, nil
}
