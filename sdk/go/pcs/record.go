package pcs

import (
	"crypto/sha256"
	"encoding/hex"
)

const (
	// Schema is the schema of every record.
	Schema = "fractal-lba-kakeya"
	// Version is the version of the records made here.
	Version = "1.0"
	// RecordBytesMax is the longest body of a record, as sent. The longest
	// canonical record needs less than half of it.
	RecordBytesMax = 65_536
)

// Profile says how a window became points.
type Profile string

// The profiles.
const (
	ProfilePoints Profile = "points/1"
	ProfileBytes  Profile = "bytes/1"
)

// Regime says how the points of a window lie: along one thing, all over, or
// between.
type Regime string

// The regimes.
const (
	Sticky    Regime = "sticky"
	Mixed     Regime = "mixed"
	NonSticky Regime = "non_sticky"
)

// FaultTolerance is what the agent had to weaken.
type FaultTolerance struct {
	// Degraded: something was lost or substituted.
	Degraded bool
	// Fallbacks are 0 to 8 reasons of at most 64 bytes.
	Fallbacks []string
	// ClockSkewMS is the agent's estimate, any safe integer.
	ClockSkewMS int64
}

// Delivery is one attempt to send a record: unsigned, and different on every
// retry.
type Delivery struct {
	Attempt   int64  // 1 to 2^53-1
	SentAt    string // a timestamp, as FormatTimestamp writes it
	OutboxSeq int64  // 1 to 2^53-1
}

// Members is what the sender of a record says: all of its members but schema,
// version, pcs_id and sig, which follow from these and the key.
type Members struct {
	// KID is the key's name, [A-Za-z0-9._-]{1,64}.
	KID string
	// MerkleRoot is 64 hexadecimal digits and binds the window.
	MerkleRoot string
	// Epoch is the window's number in its stream, 0 to 2^53-1.
	Epoch int64
	// ShardID is the stream's name, [A-Za-z0-9._:-]{1,128}.
	ShardID string
	// CreatedAt is a timestamp, as FormatTimestamp writes it.
	CreatedAt string
	Profile   Profile
	// N is the rows of the window as given, 3 to 65,536.
	N int64
	// D is its columns, 1 to 4,096; 1 for ProfileBytes.
	D int64
	// Seed is 0 to 2^53-1.
	Seed int64
	// Scales are 2 to 10 of 2 to 1,024, each at least twice the one before.
	Scales []int64
	// NJ is the occupied cells at each of the scales, in their order.
	NJ []int64
	// DHat is -16 to 16, CohStar 0.05 to 1, R and Budget 0 to 1.
	DHat, CohStar, R, Budget float64
	// VStar is a unit vector.
	VStar  [3]float64
	Regime Regime
	FT     FaultTolerance
	// Meta has at most 16 members, each a string of at most 256 bytes, an int64
	// or a bool under a name of [a-z0-9_.]{1,64}; nil where the record has none.
	Meta map[string]any
	// Delivery is nil where the record has none.
	Delivery *Delivery
}

// Record is a record of version 1.0 whose structure and pcs_id are right; its
// signature is not checked by that. It does not change.
type Record struct {
	members     Members
	pcsID       string
	createdAtMS int64
	sig         [ed25519SignatureBytes]byte
	sigBytes    int
	hasSig      bool // there, though it may be empty

	// What was signed here is kept, label and all, with the place of sig in it:
	// to write a record again costs as much as to sign it.
	signed []byte
	sigAt  int
}

func (r *Record) signature() []byte { return r.sig[:r.sigBytes] }

// Version returns "1.0".
func (r *Record) Version() string { return Version }

// PCSID returns the id of the record's window, 64 hexadecimal digits.
func (r *Record) PCSID() string { return r.pcsID }

// KID returns the name of the key the record says it is signed by.
func (r *Record) KID() string { return r.members.KID }

// CreatedAtMS returns when the record was made, in milliseconds since 1970.
func (r *Record) CreatedAtMS() int64 { return r.createdAtMS }

// Signature returns a copy of the 32 or 64 bytes of sig, none where it is
// absent or empty.
func (r *Record) Signature() []byte { return append([]byte(nil), r.signature()...) }

// Members returns a copy of what the record says.
func (r *Record) Members() Members { return r.members.copied() }

// Stored returns the bytes that are kept of a record: canonical, with sig and
// without delivery. They are what an outbox holds and a server answers for.
func (r *Record) Stored() []byte { return r.AppendStored(make([]byte, 0, canonicalBytes)) }

// AppendStored appends what Stored returns to out.
func (r *Record) AppendStored(out []byte) []byte {
	if r.signed == nil {
		return r.appendCanonical(out, storedForm, nil)
	}
	out = r.appendSig(append(out, r.signed[len(signingLabel):r.sigAt]...))
	return append(out, r.signed[r.sigAt:]...)
}

// Sent returns the canonical bytes with sig and this delivery: what goes over
// the wire. The error is a *Refusal: the delivery breaks a rule.
func (r *Record) Sent(delivery Delivery) ([]byte, error) {
	if refusal := delivery.check(); refusal != nil {
		return nil, refusal
	}
	return r.appendCanonical(nil, sentForm, &delivery), nil
}

// SigningInput returns the bytes a signature covers: a label, and every member
// but sig and delivery.
func (r *Record) SigningInput() []byte {
	if r.signed != nil {
		return append([]byte(nil), r.signed...)
	}
	out := append(make([]byte, 0, canonicalBytes), signingLabel...)
	return r.appendCanonical(out, signedForm, nil)
}

// Digest returns the record_digest, the name of one signed record: SHA-256 of
// the signing input, in hexadecimal.
func (r *Record) Digest() string { return hexSHA256(r.SigningInput()) }

// ContentDigest returns the name of what the record says of its window, in
// hexadecimal. An honest re-run over the same window has the same one.
func (r *Record) ContentDigest() string {
	return hexSHA256(r.appendCanonical([]byte(contentLabel), contentForm, nil))
}

// Each label opens bytes made for one use, so that they cannot pass for those
// of another.
const (
	signingLabel = "fractal-lba/pcs/1\n"
	contentLabel = "fractal-lba/content/1\n"
)

// canonicalBytes is more than most records need; those of much meta grow.
const canonicalBytes = 1024

// PCSID returns the id of the window epoch of the stream shardID, in
// hexadecimal.
func PCSID(merkleRoot string, epoch int64, shardID string) string {
	var digits [2 * sha256.Size]byte
	return string(appendPCSID(digits[:0], merkleRoot, epoch, shardID))
}

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func (m *Members) copied() Members {
	c := *m
	held := make([]int64, 0, len(m.Scales)+len(m.NJ))
	held = append(append(held, m.Scales...), m.NJ...)
	c.Scales, c.NJ = held[:len(m.Scales):len(m.Scales)], held[len(m.Scales):]
	c.FT.Fallbacks = append([]string(nil), m.FT.Fallbacks...)
	if m.Meta != nil {
		c.Meta = make(map[string]any, len(m.Meta))
		for name, value := range m.Meta {
			c.Meta[name] = value
		}
	}
	if m.Delivery != nil {
		delivery := *m.Delivery
		c.Delivery = &delivery
	}
	return c
}
