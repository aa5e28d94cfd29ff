package pcs

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
)

// form says which members of a record canonical bytes hold.
type form struct{ notContent, sig, delivery bool }

var (
	contentForm = form{}
	signedForm  = form{notContent: true}
	storedForm  = form{notContent: true, sig: true}
	sentForm    = form{notContent: true, sig: true, delivery: true}
)

// appendCanonical appends the canonical bytes of a record. The order of its
// names is written down here: to sort them anew for each record would cost more
// than all the rest.
func (r *Record) appendCanonical(out []byte, f form, delivery *Delivery) []byte {
	out = r.appendBeforeSig(out, f, delivery)
	if f.sig && r.hasSig {
		out = r.appendSig(out)
	}
	return r.appendBehindSig(out)
}

func (r *Record) appendSig(out []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(out, `,"sig":"`...), r.signature()), '"')
}

func (r *Record) appendBeforeSig(out []byte, f form, delivery *Delivery) []byte {
	m := &r.members
	out = appendNumber(append(out, `{"D_hat":`...), m.DHat)
	out = appendCounts(append(out, `,"N_j":`...), m.Scales, m.NJ)
	if f.notContent {
		out = appendNumber(append(out, `,"budget":`...), m.Budget)
	}
	out = appendNumber(append(out, `,"coh_star":`...), m.CohStar)
	if f.notContent {
		out = appendPlain(append(out, `,"created_at":`...), m.CreatedAt)
	}
	out = strconv.AppendInt(append(out, `,"d":`...), m.D, 10)
	if f.delivery && delivery != nil {
		out = appendDelivery(append(out, `,"delivery":`...), delivery)
	}
	out = strconv.AppendInt(append(out, `,"epoch":`...), m.Epoch, 10)
	if f.notContent {
		out = appendFaultTolerance(append(out, `,"ft":`...), &m.FT)
		out = appendPlain(append(out, `,"kid":`...), m.KID)
	}
	out = appendPlain(append(out, `,"merkle_root":`...), m.MerkleRoot)
	if f.notContent && m.Meta != nil {
		out = appendMeta(append(out, `,"meta":`...), m.Meta)
	}
	out = strconv.AppendInt(append(out, `,"n":`...), m.N, 10)
	out = appendPlain(append(out, `,"pcs_id":`...), r.pcsID)
	out = appendPlain(append(out, `,"profile":`...), string(m.Profile))
	if f.notContent {
		out = appendNumber(append(out, `,"r":`...), m.R)
	}
	out = appendPlain(append(out, `,"regime":`...), string(m.Regime))
	out = append(out, `,"scales":[`...)
	for i, scale := range m.Scales {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendInt(out, scale, 10)
	}
	out = strconv.AppendInt(append(out, `],"schema":"`+Schema+`","seed":`...), m.Seed, 10)
	return appendPlain(append(out, `,"shard_id":`...), m.ShardID)
}

func (r *Record) appendBehindSig(out []byte) []byte {
	m := &r.members
	out = appendNumber(append(out, `,"v_star":[`...), m.VStar[0])
	out = appendNumber(append(out, ','), m.VStar[1])
	out = appendNumber(append(out, ','), m.VStar[2])
	return append(out, `],"version":"`+Version+`"}`...)
}

// appendPlain writes a string that was checked to hold nothing to escape.
func appendPlain(out []byte, text string) []byte {
	return append(append(append(out, '"'), text...), '"')
}

// appendCounts writes N_j, its names in the order of their text.
func appendCounts(out []byte, scales, counts []int64) []byte {
	var order [scalesMax]int
	for i := range scales {
		at := i
		for at > 0 && textOrder(scales[i]) < textOrder(scales[order[at-1]]) {
			order[at] = order[at-1]
			at--
		}
		order[at] = i
	}
	out = append(out, '{')
	for place := range scales {
		if place > 0 {
			out = append(out, ',')
		}
		i := order[place]
		out = strconv.AppendInt(append(out, '"'), scales[i], 10)
		out = strconv.AppendInt(append(out, `":`...), counts[i], 10)
	}
	return append(out, '}')
}

// textOrder maps a scale, at most four digits, to a number that sorts as its
// decimal text does: filled up with zeros, and of equals the shorter first.
func textOrder(scale int64) int64 {
	digits := int64(1)
	filled := scale * 1000
	for ; digits < 4 && filled >= 10_000; digits++ {
		filled /= 10
	}
	return filled*8 + digits
}

func appendFaultTolerance(out []byte, ft *FaultTolerance) []byte {
	out = strconv.AppendInt(append(out, `{"clock_skew_ms":`...), ft.ClockSkewMS, 10)
	out = strconv.AppendBool(append(out, `,"degraded":`...), ft.Degraded)
	out = append(out, `,"fallbacks":[`...)
	for i, fallback := range ft.Fallbacks {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendText(out, fallback)
	}
	return append(out, `]}`...)
}

func appendMeta(out []byte, meta map[string]any) []byte {
	out = append(out, '{')
	for i, name := range sortedNames(meta) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendPlain(out, name), ':')
		switch value := meta[name].(type) {
		case bool:
			out = strconv.AppendBool(out, value)
		case int64:
			out = strconv.AppendInt(out, value, 10)
		case string:
			out = appendText(out, value)
		}
	}
	return append(out, '}')
}

func appendDelivery(out []byte, d *Delivery) []byte {
	out = strconv.AppendInt(append(out, `{"attempt":`...), d.Attempt, 10)
	out = strconv.AppendInt(append(out, `,"outbox_seq":`...), d.OutboxSeq, 10)
	return append(appendPlain(append(out, `,"sent_at":`...), d.SentAt), '}')
}

// appendPCSID appends the id of a window, in hexadecimal.
func appendPCSID(out []byte, merkleRoot string, epoch int64, shardID string) []byte {
	var own [64 + 1 + 20 + 1 + 128]byte
	named := append(append(own[:0], merkleRoot...), '|')
	named = append(strconv.AppendInt(named, epoch, 10), '|')
	sum := sha256.Sum256(append(named, shardID...))
	return hex.AppendEncode(out, sum[:])
}
