package pcs

import (
	"math"
	"strconv"
	"strings"
)

const (
	rowsMin, rowsMax                   = 3, 65_536
	columnsMax                         = 4_096
	scalesMin, scalesMax               = 2, 10
	scaleMin, scaleMax                 = 2, 1_024
	dHatMax                            = 16
	cohStarMin                         = 0.05 // one of 20 bins always holds a twentieth
	unitTolerance                      = 1e-6
	fallbacksMax, fallbackBytesMax     = 8, 64
	metaMembersMax, metaTextBytesMax   = 16, 256
	deliveryMember, metaMember, ftPath = "delivery", "meta", "ft."
)

// ParseRecord returns the record of version 1.0 that a body holds. The error is
// a *Refusal: TooLarge, BadEncoding, MalformedJSON, InvalidRecord with the
// member, UnsupportedVersion, or PCSIDMismatch, of several the first in the
// order of specs/pcs.md section 1.2.
func ParseRecord(body []byte) (*Record, error) {
	doc, refusal := parseDocument(body)
	if refusal != nil {
		return nil, refusal
	}
	if _, refusal := versionAmong(doc, Version); refusal != nil {
		return nil, refusal
	}
	record, refusal := recordOf(doc)
	if refusal != nil {
		return nil, refusal
	}
	return record, nil
}

// parseDocument returns the members of the one object a body holds.
func parseDocument(body []byte) (map[string]any, *Refusal) {
	if len(body) > RecordBytesMax {
		message := "record: expected at most 65536 bytes, got " + strconv.Itoa(len(body))
		return nil, refuse(TooLarge, "record_too_large", "", message)
	}
	value, refusal := parseJSON(body, RecordDepthMax)
	if refusal != nil {
		return nil, refusal
	}
	doc, is := value.(map[string]any)
	if !is {
		message := "record: expected an object, got another value"
		return nil, refuse(InvalidRecord, "not_an_object", "", message)
	}
	return doc, nil
}

// versionAmong returns the version a document says it has, if it is known.
func versionAmong(doc map[string]any, known ...string) (string, *Refusal) {
	version, fault := textOf(member(doc, "version"))
	if fault != nil {
		return "", fault.at("version")
	}
	if textAmong(version, known...) != nil {
		message := "version: expected " + strings.Join(known, " or ") + ", got another"
		return "", refuse(UnsupportedVersion, "unsupported_version", "version", message)
	}
	return version, nil
}

// recordOf returns the record of a document of version 1.0.
func recordOf(doc map[string]any) (*Record, *Refusal) {
	c := checker{doc: doc}
	r := &Record{}
	c.record(r)
	if c.refusal == nil {
		c.refusal = unknownMember(doc, isMember, "")
	}
	if c.refusal == nil {
		c.refusal = ownID(r.pcsID, r.members.MerkleRoot, r.members.Epoch, r.members.ShardID)
	}
	if c.refusal != nil {
		return nil, c.refusal
	}
	return r, nil
}

func ownID(id, merkleRoot string, epoch int64, shardID string) *Refusal {
	if id != PCSID(merkleRoot, epoch, shardID) {
		message := "pcs_id: expected the hash of merkle_root, epoch and shard_id, got another"
		return refuse(PCSIDMismatch, "pcs_id_mismatch", "pcs_id", message)
	}
	return nil
}

func isMember(name string) bool {
	switch name {
	case "schema", "version", "kid", "pcs_id", "merkle_root", "epoch", "shard_id", "created_at",
		"profile", "n", "d", "seed", "scales", "N_j", "D_hat", "coh_star", "r", "budget", "v_star",
		"regime", "ft", metaMember, deliveryMember, "sig":
		return true
	}
	return false
}

// record checks the members of a record in the order of the table in
// specs/pcs.md section 1, having read each before it is checked where there is
// a document.
func (c *checker) record(r *Record) {
	m := &r.members
	if c.doc != nil {
		schema := ""
		c.among("schema", &schema, Schema)
	}
	c.match("kid", &m.KID, isName, namePattern)
	if c.doc != nil {
		c.match("pcs_id", &r.pcsID, isHash, hashPattern)
	}
	c.match("merkle_root", &m.MerkleRoot, isHash, hashPattern)
	c.integer("epoch", &m.Epoch, 0, SafeIntegerMax)
	c.match("shard_id", &m.ShardID, isShardID, shardIDPattern)
	r.createdAtMS = c.timestamp("created_at", &m.CreatedAt)
	c.among("profile", (*string)(&m.Profile), string(ProfilePoints), string(ProfileBytes))
	c.integer("n", &m.N, rowsMin, rowsMax)
	columns := int64(columnsMax)
	if m.Profile == ProfileBytes {
		columns = 1
	}
	c.integer("d", &m.D, 1, columns)
	c.integer("seed", &m.Seed, 0, SafeIntegerMax)
	c.scales(m)
	c.counts(m)
	c.number("D_hat", &m.DHat, -dHatMax, dHatMax)
	c.number("coh_star", &m.CohStar, cohStarMin, 1)
	c.number("r", &m.R, 0, 1)
	c.number("budget", &m.Budget, 0, 1)
	c.direction(m)
	c.among("regime", (*string)(&m.Regime), string(Sticky), string(Mixed), string(NonSticky))
	c.faultTolerance(&m.FT)
	c.meta(m)
	c.delivery(m)
	if c.doc != nil {
		c.signature(r)
	}
}

func (c *checker) scales(m *Members) {
	count := len(m.Scales)
	items := c.items("scales", &count)
	c.note("scales", countIn(count, scalesMin, scalesMax))
	if c.refusal != nil {
		return
	}
	if items != nil {
		m.Scales = make([]int64, count)
	}
	for i := range m.Scales {
		var fault *fault
		if items != nil {
			m.Scales[i], fault = integerOf(items[i])
		}
		if fault == nil {
			fault = integerIn(m.Scales[i], scaleMin, scaleMax)
		}
		if fault == nil && i > 0 && m.Scales[i] < 2*m.Scales[i-1] {
			fault = &faultNotDoubled
		}
		if fault != nil {
			c.note("scales."+strconv.Itoa(i), fault)
			return
		}
	}
}

var faultNotDoubled = fault{"not_doubled", "at least twice the one before", "less"}

// counts reads and checks N_j in the order of the scales.
func (c *checker) counts(m *Members) {
	points := m.N
	if m.D == 1 {
		points -= 2 // a delay embedding of three loses two
	}
	members := c.object("N_j")
	if c.refusal != nil {
		return
	}
	if members != nil {
		m.NJ = make([]int64, len(m.Scales))
	}
	for i, scale := range m.Scales {
		var fault *fault
		switch {
		case members != nil:
			m.NJ[i], fault = integerOf(member(members, strconv.FormatInt(scale, 10)))
		case i >= len(m.NJ):
			fault = wrongType(absent{}, "an integer")
		}
		if fault == nil {
			fault = integerIn(m.NJ[i], 1, points)
		}
		if fault != nil {
			c.note("N_j."+strconv.FormatInt(scale, 10), fault)
			return
		}
	}
	if members == nil {
		if len(m.NJ) > len(m.Scales) {
			c.note("N_j", countIn(len(m.NJ), len(m.Scales), len(m.Scales)))
		}
		return
	}
	c.refusal = unknownMember(members, func(name string) bool { return isScale(name, m.Scales) }, "N_j.")
}

func isScale(name string, scales []int64) bool {
	for _, scale := range scales {
		if name == strconv.FormatInt(scale, 10) {
			return true
		}
	}
	return false
}

func (c *checker) direction(m *Members) {
	count := len(m.VStar)
	items := c.items("v_star", &count)
	c.note("v_star", countIn(count, len(m.VStar), len(m.VStar)))
	if c.refusal != nil {
		return
	}
	for i := range m.VStar {
		var fault *fault
		if items != nil {
			m.VStar[i], fault = numberOf(items[i])
		}
		if fault == nil {
			fault = numberIn(m.VStar[i], -1, 1)
		}
		if fault != nil {
			c.note("v_star."+strconv.Itoa(i), fault)
			return
		}
	}
	v := m.VStar
	// Each product is rounded by itself: a conversion forbids to fuse it with the sum.
	length := float64(float64(v[0]*v[0])+float64(v[1]*v[1])) + float64(v[2]*v[2])
	if math.Abs(length-1) > unitTolerance {
		c.note("v_star", &fault{"not_a_unit_vector", "length 1", "another length"})
	}
}

func (c *checker) faultTolerance(ft *FaultTolerance) {
	outer := c.enter("ft")
	c.boolean("ft.degraded", &ft.Degraded)
	count := len(ft.Fallbacks)
	items := c.items("ft.fallbacks", &count)
	c.note("ft.fallbacks", countIn(count, 0, fallbacksMax))
	if c.refusal != nil {
		return
	}
	if items != nil {
		ft.Fallbacks = make([]string, count)
	}
	for i := range ft.Fallbacks {
		var fault *fault
		if items != nil {
			ft.Fallbacks[i], fault = textOf(items[i])
		}
		if fault == nil {
			fault = unicodeText(ft.Fallbacks[i])
		}
		if fault == nil {
			fault = textWithin(ft.Fallbacks[i], fallbackBytesMax)
		}
		if fault != nil {
			c.note("ft.fallbacks."+strconv.Itoa(i), fault)
			return
		}
	}
	c.integer("ft.clock_skew_ms", &ft.ClockSkewMS, -SafeIntegerMax, SafeIntegerMax)
	c.leave(outer, func(name string) bool {
		return name == "degraded" || name == "fallbacks" || name == "clock_skew_ms"
	}, ftPath)
}

// meta reads and checks the members by name in canonical order, each name
// before its value.
func (c *checker) meta(m *Members) {
	given := m.Meta
	if c.doc != nil {
		if _, there := c.doc[metaMember]; !there {
			return
		}
		given = c.object(metaMember)
	}
	if c.refusal != nil || given == nil {
		return
	}
	c.note(metaMember, countIn(len(given), 0, metaMembersMax))
	if c.refusal != nil {
		return
	}
	checked := given
	if c.doc != nil {
		checked = make(map[string]any, len(given))
	}
	for _, name := range sortedNames(given) {
		fault := textMatches(name, isMetaName, metaNamePattern)
		var value any
		if fault == nil {
			value, fault = metaValue(given[name])
		}
		if fault != nil {
			c.note("meta."+shown(name), fault)
			return
		}
		if c.doc != nil {
			checked[name] = value
		}
	}
	m.Meta = checked
}

// metaValue returns what a member of meta holds: a bool, a string or an int64.
func metaValue(value any) (any, *fault) {
	switch value := value.(type) {
	case bool:
		return value, nil
	case string:
		if fault := unicodeText(value); fault != nil {
			return nil, fault
		}
		return value, textWithin(value, metaTextBytesMax)
	case int64:
		return value, integerIn(value, -SafeIntegerMax, SafeIntegerMax)
	}
	return integerOf(value)
}

func (c *checker) delivery(m *Members) {
	if c.doc != nil {
		if _, there := c.doc[deliveryMember]; !there {
			return
		}
		m.Delivery = &Delivery{}
	}
	if c.refusal != nil || m.Delivery == nil {
		return
	}
	outer := c.enter(deliveryMember)
	c.integer("delivery.attempt", &m.Delivery.Attempt, 1, SafeIntegerMax)
	c.timestamp("delivery.sent_at", &m.Delivery.SentAt)
	c.integer("delivery.outbox_seq", &m.Delivery.OutboxSeq, 1, SafeIntegerMax)
	c.leave(outer, func(name string) bool {
		return name == "attempt" || name == "sent_at" || name == "outbox_seq"
	}, "delivery.")
}

func (d *Delivery) check() *Refusal {
	c := checker{}
	c.delivery(&Members{Delivery: d})
	return c.refusal
}

func (c *checker) signature(r *Record) {
	if c.refusal != nil {
		return
	}
	value := member(c.doc, "sig")
	signature, fault := signatureOf(value)
	c.note("sig", fault)
	_, isAbsent := value.(absent)
	r.sigBytes, r.hasSig = copy(r.sig[:], signature), !isAbsent
}
