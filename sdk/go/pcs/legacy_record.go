package pcs

import (
	"encoding/base64"
	"math"
	"strconv"
)

// LegacyVersion is the version of old agents' records: accepted, never made.
const LegacyVersion = "0.1"

const (
	legacyShardIDBytesMax          = 128
	legacySentAtBytesMax           = 64
	legacyScalesMin                = 2
	legacyScalesMax                = 16
	legacyScaleMin, legacyScaleMax = 2, 65_536
	legacyVStarMax                 = 4_096
	// Nine decimals of it are exact in a double, so rounding twice is once.
	legacyNumberMax = 1_000_000
)

// LegacySigned is what the signature of a record of version 0.1 covers, and all
// that is remembered of it. The numbers are rounded.
type LegacySigned struct {
	PCSID, MerkleRoot string
	Epoch             int64
	// ShardID is 1 to 128 bytes of UTF-8 without control characters.
	ShardID                  string
	DHat, CohStar, R, Budget float64
}

// LegacyRecord is a record of version 0.1 whose structure and pcs_id are right;
// its signature is not checked by that. What is not signed is anyone's word: it
// is read, since a verdict is checked against it, and forgotten.
type LegacyRecord struct {
	signed     LegacySigned
	scales, nJ []int64
	regime     Regime
	signature  []byte
}

// Version returns "0.1".
func (r *LegacyRecord) Version() string { return LegacyVersion }

// PCSID returns the id of the record's window.
func (r *LegacyRecord) PCSID() string { return r.signed.PCSID }

// Signed returns what the signature covers.
func (r *LegacyRecord) Signed() LegacySigned { return r.signed }

// Stored returns what is kept of the record: the canonical form of what was
// signed, schema, version and sig. Two copies that differ in what is not signed
// are stored alike.
func (r *LegacyRecord) Stored() []byte {
	s := &r.signed
	out := appendNumber([]byte(`{"D_hat":`), s.DHat)
	out = appendNumber(append(out, `,"budget":`...), s.Budget)
	out = appendNumber(append(out, `,"coh_star":`...), s.CohStar)
	out = strconv.AppendInt(append(out, `,"epoch":`...), s.Epoch, 10)
	out = appendPlain(append(out, `,"merkle_root":`...), s.MerkleRoot)
	out = appendPlain(append(out, `,"pcs_id":`...), s.PCSID)
	out = appendNumber(append(out, `,"r":`...), s.R)
	out = appendText(append(out, `,"schema":"`+Schema+`","shard_id":`...), s.ShardID)
	out = base64.StdEncoding.AppendEncode(append(out, `,"sig":"`...), r.signature)
	return append(out, `","version":"`+LegacyVersion+`"}`...)
}

// Digest returns the record's one name, in hexadecimal: its record digest and
// its content digest. One for all spellings, so that a record signed again in
// another one is a repeat.
func (r *LegacyRecord) Digest() string {
	return hexSHA256(append([]byte(legacyLabel), r.signed.SpelledAsPython()...))
}

// ContentDigest returns Digest.
func (r *LegacyRecord) ContentDigest() string { return r.Digest() }

// ParseLegacyRecord returns the record of version 0.1 that a body holds. The
// error is a *Refusal, as of ParseRecord by the table of specs/pcs.md section 7.
// Members that the table does not have are ignored.
func ParseLegacyRecord(body []byte) (*LegacyRecord, error) {
	doc, refusal := parseDocument(body)
	if refusal != nil {
		return nil, refusal
	}
	if _, refusal := versionAmong(doc, LegacyVersion); refusal != nil {
		return nil, refusal
	}
	record, refusal := legacyRecordOf(doc)
	if refusal != nil {
		return nil, refusal
	}
	return record, nil
}

func legacyRecordOf(doc map[string]any) (*LegacyRecord, *Refusal) {
	c := checker{doc: doc}
	r := &LegacyRecord{}
	s := &r.signed
	schema, sentAt, attempt, seed := "", "", int64(0), int64(0)
	c.match("pcs_id", &s.PCSID, isHash, hashPattern)
	c.among("schema", &schema, Schema)
	c.within("shard_id", &s.ShardID, legacyShardIDBytesMax)
	if c.refusal == nil {
		c.note("shard_id", textMatches(s.ShardID, isLegacyShardID, `[^\x00-\x1f\x7f]+`))
	}
	c.integer("epoch", &s.Epoch, 0, SafeIntegerMax)
	c.integer("attempt", &attempt, -SafeIntegerMax, SafeIntegerMax)
	c.within("sent_at", &sentAt, legacySentAtBytesMax)
	c.integer("seed", &seed, -SafeIntegerMax, SafeIntegerMax)
	c.legacyScales(r)
	c.legacyCounts(r)
	c.rounded("coh_star", &s.CohStar)
	c.legacyDirection()
	c.rounded("D_hat", &s.DHat)
	c.rounded("r", &s.R)
	c.among("regime", (*string)(&r.regime), string(Sticky), string(Mixed), string(NonSticky))
	c.rounded("budget", &s.Budget)
	c.match("merkle_root", &s.MerkleRoot, isHash, hashPattern)
	if c.refusal == nil {
		var fault *fault
		r.signature, fault = signatureOf(member(doc, "sig"))
		c.note("sig", fault)
	}
	if c.refusal == nil {
		c.refusal = ownID(s.PCSID, s.MerkleRoot, s.Epoch, s.ShardID)
	}
	if c.refusal != nil {
		return nil, c.refusal
	}
	return r, nil
}

func isLegacyShardID(text string) bool {
	for i := range len(text) {
		if text[i] < 0x20 || text[i] == 0x7f {
			return false
		}
	}
	return text != ""
}

func (c *checker) within(path string, into *string, bytesMax int) {
	if c.text(path, into); c.refusal == nil {
		c.note(path, textWithin(*into, bytesMax))
	}
}

func (c *checker) rounded(path string, into *float64) {
	c.number(path, into, -legacyNumberMax, legacyNumberMax)
	*into = Rounded(*into)
}

func (c *checker) legacyScales(r *LegacyRecord) {
	count := 0
	items := c.items("scales", &count)
	c.note("scales", countIn(count, legacyScalesMin, legacyScalesMax))
	if c.refusal != nil {
		return
	}
	least := int64(legacyScaleMin)
	for i, item := range items {
		scale, fault := integerOf(item)
		if fault == nil {
			fault = integerIn(scale, least, legacyScaleMax)
		}
		if fault != nil {
			c.note("scales."+strconv.Itoa(i), fault)
			return
		}
		r.scales = append(r.scales, scale)
		least = scale + 1
	}
}

func (c *checker) legacyCounts(r *LegacyRecord) {
	members := c.object("N_j")
	if c.refusal != nil {
		return
	}
	for _, scale := range r.scales {
		name := strconv.FormatInt(scale, 10)
		count, fault := integerOf(member(members, name))
		if fault == nil {
			fault = integerIn(count, 1, SafeIntegerMax)
		}
		if fault != nil {
			c.note("N_j."+name, fault)
			return
		}
		r.nJ = append(r.nJ, count)
	}
	c.refusal = unknownMember(members, func(name string) bool { return isScale(name, r.scales) }, "N_j.")
}

func (c *checker) legacyDirection() {
	count := 0
	items := c.items("v_star", &count)
	c.note("v_star", countIn(count, 1, legacyVStarMax))
	if c.refusal != nil {
		return
	}
	for i, item := range items {
		if _, fault := numberOf(item); fault != nil {
			c.note("v_star."+strconv.Itoa(i), fault)
			return
		}
	}
}

// JudgeLegacy returns the verdict on a record of version 0.1: pure. Every check
// of specs/pcs.md section 7.3 is run. The error is a *Refusal of the code
// UnsignedMemberMismatch: an unsigned member disagrees with the signed ones, and
// this copy says nothing of the record.
func JudgeLegacy(record *LegacyRecord, params Params) (*Outcome, error) {
	s := &record.signed
	found := slopes(record.scales, record.nJ)
	slope := Rounded(found[len(found)/2]) // the upper median, as old agents took it
	budget := Budget(s.DHat, s.CohStar, s.R)
	o := &Outcome{Accepted: true, RecomputedBudget: budget, ParamsVersion: params.Version}
	o.note(math.Abs(slope-s.DHat) > params.TolDHat, DHatMismatch, true)
	o.note(!isConsistent(record.scales, record.nJ), NJInconsistent, true)
	o.note(s.CohStar < 0 || s.CohStar > legacyCohStarMax, CohStarBounds, true)
	o.note(s.R < 0 || s.R > 1, RBounds, true)
	o.note(RegimeOf(s.DHat, s.CohStar) != record.regime, RegimeMismatch, true)
	o.note(math.Abs(budget-s.Budget) > params.TolBudget, BudgetDeviation, false)
	for _, reason := range o.Reasons {
		if name, asksUnsigned := unsignedMembers[reason]; asksUnsigned {
			message := name + ": expected what agrees with the signed members, got another"
			return nil, refuse(UnsignedMemberMismatch, string(reason), name, message)
		}
	}
	return o.settle(), nil
}

const legacyCohStarMax = 1.05

// unsignedMembers are the members that checks ask and that anyone could change.
var unsignedMembers = map[Reason]string{
	DHatMismatch: "N_j", NJInconsistent: "N_j", RegimeMismatch: "regime",
}
