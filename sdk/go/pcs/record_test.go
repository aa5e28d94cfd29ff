package pcs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"fractallba/pcs"
)

func signed(t testing.TB, members pcs.Members, key *pcs.Key) *pcs.Record {
	t.Helper()
	record, err := pcs.Sign(&members, key)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// ringOf returns a ring with the two keys that tests sign with, under one kid
// each.
func ringOf(t testing.TB) *pcs.Keyring {
	t.Helper()
	ring, err := pcs.ParseKeyring([]byte(`{"keys": [
		{"kid": "k", "tenant": "t", "alg": "hmac-sha256", "secret": "base64:qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo="},
		{"kid": "e", "tenant": "t", "alg": "ed25519", "secret": "base64:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}]}`),
		pcs.NoSecretsOutside)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestWhatIsSignedIsReadAsItWas(t *testing.T) {
	ring := ringOf(t)
	full := soundMembers()
	full.Meta = map[string]any{"z": "\"\\\u2028é\x01", "a.b": int64(-7), "a_": true, "a": "", "b": false}
	full.FT = pcs.FaultTolerance{Degraded: true, Fallbacks: []string{"kurz", "\t/"}, ClockSkewMS: -12}
	full.Delivery = &pcs.Delivery{Attempt: 1, SentAt: "2026-11-21T06:00:01.000Z", OutboxSeq: 7}
	full.Scales, full.NJ = []int64{2, 10, 20, 100, 200, 1000}, []int64{1, 2, 3, 4, 5, 6}
	for _, members := range []pcs.Members{soundMembers(), full} {
		for _, key := range ring.Keys() {
			record := signed(t, members, key)
			found, err := pcs.Authenticate(record.Stored(), ring)
			if err != nil {
				t.Fatal(key.KID, err)
			}
			if found.Key != key || found.Tenant() != "t" {
				t.Errorf("expected key %s, got %s", key.KID, found.Key.KID)
			}
			read := found.Record
			if !bytes.Equal(read.Stored(), record.Stored()) || read.PCSID() != record.PCSID() ||
				read.Digest() != record.Digest() || read.ContentDigest() != record.ContentDigest() ||
				read.CreatedAtMS() != record.CreatedAtMS() || !bytes.Equal(read.Signature(), record.Signature()) {
				t.Errorf("expected the record as it was signed, got %s", read.Stored())
			}
			value, err := pcs.ParseJSON(record.Stored(), pcs.RecordDepthMax)
			if err != nil {
				t.Fatal(err)
			}
			if written, err := pcs.Canonical(value); err != nil || !bytes.Equal(written, record.Stored()) {
				t.Errorf("expected canonical bytes, got %s (%v)", record.Stored(), err)
			}
		}
	}
}

func TestEachChangedByteIsRefused(t *testing.T) {
	ring := ringOf(t)
	for _, key := range ring.Keys() {
		body := signed(t, soundMembers(), key).Stored()
		for i := range body {
			changed := bytes.Clone(body)
			changed[i] ^= 1
			if _, err := pcs.Authenticate(changed, ring); err == nil {
				t.Errorf("%s: expected byte %d to matter, got the record accepted", key.KID, i)
			}
		}
	}
}

func TestSignRefusesTheFirstMemberThatIsWrong(t *testing.T) {
	long := strings.Repeat("x", 257)
	cases := []struct {
		bend           func(*pcs.Members)
		reason, member string
	}{
		{func(m *pcs.Members) { m.MerkleRoot = "E9" }, "wrong_format", "merkle_root"},
		{func(m *pcs.Members) { m.Epoch = -1 }, "out_of_range", "epoch"},
		{func(m *pcs.Members) { m.Epoch = 1 << 53 }, "not_an_integer", "epoch"},
		{func(m *pcs.Members) { m.ShardID, m.N = "a|b", 0 }, "wrong_format", "shard_id"},
		{func(m *pcs.Members) { m.CreatedAt = "2026-02-29T00:00:00.000Z" }, "wrong_format", "created_at"},
		{func(m *pcs.Members) { m.Profile = "lines/1" }, "wrong_value", "profile"},
		{func(m *pcs.Members) { m.N = 2 }, "out_of_range", "n"},
		{func(m *pcs.Members) { m.Profile = pcs.ProfileBytes }, "out_of_range", "d"},
		{func(m *pcs.Members) { m.Seed = -1 }, "out_of_range", "seed"},
		{func(m *pcs.Members) { m.Scales = nil }, "wrong_count", "scales"},
		{func(m *pcs.Members) { m.Scales[1] = 3 }, "not_doubled", "scales.1"},
		{func(m *pcs.Members) { m.Scales[4] = 2048 }, "out_of_range", "scales.4"},
		{func(m *pcs.Members) { m.NJ = m.NJ[:3] }, "missing", "N_j.16"},
		{func(m *pcs.Members) { m.NJ = append(m.NJ, 1) }, "wrong_count", "N_j"},
		{func(m *pcs.Members) { m.NJ[2] = 1001 }, "out_of_range", "N_j.8"},
		{func(m *pcs.Members) { m.D, m.NJ[4] = 1, 999 }, "out_of_range", "N_j.32"},
		{func(m *pcs.Members) { m.DHat = math.Inf(1) }, "out_of_range", "D_hat"},
		{func(m *pcs.Members) { m.CohStar = 0.04 }, "out_of_range", "coh_star"},
		{func(m *pcs.Members) { m.R = math.NaN() }, "out_of_range", "r"},
		{func(m *pcs.Members) { m.Budget = 1.5 }, "out_of_range", "budget"},
		{func(m *pcs.Members) { m.VStar[1] = -2 }, "out_of_range", "v_star.1"},
		{func(m *pcs.Members) { m.VStar[1] = 0 }, "not_a_unit_vector", "v_star"},
		{func(m *pcs.Members) { m.Regime = "odd" }, "wrong_value", "regime"},
		{func(m *pcs.Members) { m.FT.Fallbacks = make([]string, 9) }, "wrong_count", "ft.fallbacks"},
		{func(m *pcs.Members) { m.FT.Fallbacks = []string{"", long} }, "too_long", "ft.fallbacks.1"},
		{func(m *pcs.Members) { m.FT.Fallbacks = []string{"\xff"} }, "wrong_type", "ft.fallbacks.0"},
		{func(m *pcs.Members) { m.FT.ClockSkewMS = 1 << 60 }, "not_an_integer", "ft.clock_skew_ms"},
		{func(m *pcs.Members) { m.Meta = map[string]any{"a": long} }, "too_long", "meta.a"},
		{func(m *pcs.Members) { m.Meta = map[string]any{"B C": "x"} }, "wrong_format", "meta.?"},
		{func(m *pcs.Members) { m.Meta = map[string]any{"a": 1.5} }, "not_an_integer", "meta.a"},
		{func(m *pcs.Members) { m.Meta = map[string]any{"a": []any{}} }, "wrong_type", "meta.a"},
		{func(m *pcs.Members) { m.Meta = map[string]any{"a": "\xff"} }, "wrong_type", "meta.a"},
		{func(m *pcs.Members) { m.Meta = crowd(17) }, "wrong_count", "meta"},
		{func(m *pcs.Members) { m.Delivery = &pcs.Delivery{} }, "out_of_range", "delivery.attempt"},
	}
	for _, each := range cases {
		members := soundMembers()
		each.bend(&members)
		_, err := pcs.Sign(&members, hmacKey(t))
		var refusal *pcs.Refusal
		if !errors.As(err, &refusal) || refusal.Reason != each.reason || refusal.Member != each.member ||
			refusal.Code != pcs.InvalidRecord || !errors.Is(err, pcs.ErrContract) {
			t.Errorf("expected %s %s, got %+v", each.reason, each.member, err)
		}
	}
}

func crowd(count int) map[string]any {
	meta := map[string]any{}
	for i := range count {
		meta[fmt.Sprint("m", i)] = true
	}
	return meta
}

func TestARecordDoesNotChangeWithWhatItWasMadeOf(t *testing.T) {
	members := soundMembers()
	members.Meta = map[string]any{"a": true}
	members.FT.Fallbacks = []string{"x"}
	record := signed(t, members, hmacKey(t))
	before, digest := record.Stored(), record.ContentDigest()
	out := record.Members()
	for _, m := range []*pcs.Members{&members, &out} {
		m.Scales[0], m.NJ[0], m.FT.Fallbacks[0], m.Meta["a"] = 9, 9, "y", false
	}
	record.Signature()[0] ^= 1
	record.SigningInput()[0] ^= 1
	record.Stored()[0] ^= 1
	if !bytes.Equal(record.Stored(), before) || record.ContentDigest() != digest {
		t.Errorf("expected the record as it was signed, got %s", record.Stored())
	}
}

func TestSentBytesHaveTheDeliveryOfTheAttempt(t *testing.T) {
	record := signed(t, soundMembers(), hmacKey(t))
	delivery := pcs.Delivery{Attempt: 3, SentAt: "2026-11-21T06:00:01.000Z", OutboxSeq: 7}
	sent, err := record.Sent(delivery)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pcs.Authenticate(sent, ringOf(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := found.Record.Members().Delivery; got == nil || *got != delivery {
		t.Errorf("expected the delivery, got %+v", got)
	}
	if !bytes.Equal(found.Record.Stored(), record.Stored()) {
		t.Errorf("expected stored bytes without it, got %s", found.Record.Stored())
	}
	_, err = record.Sent(pcs.Delivery{Attempt: 1, SentAt: "soon", OutboxSeq: 1})
	var refusal *pcs.Refusal
	if !errors.As(err, &refusal) || refusal.Member != "delivery.sent_at" {
		t.Errorf("expected delivery.sent_at to be refused, got %v", err)
	}
}

func TestAKeyThatCannotSignSignsNothing(t *testing.T) {
	ring, err := pcs.ParseKeyring([]byte(`{"keys": [
		{"kid": "p", "tenant": "t", "alg": "ed25519", "public": "base64:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="},
		{"kid": "s", "tenant": "t", "alg": "hmac-sha256", "legacy": true, "secret": "base64:AAAA"}]}`),
		pcs.NoSecretsOutside)
	if err != nil {
		t.Fatal(err)
	}
	members := soundMembers()
	for _, key := range ring.Keys() {
		if record, err := pcs.Sign(&members, key); record != nil || !errors.Is(err, pcs.ErrContract) {
			t.Errorf("%s: expected no record, got %v (%v)", key.KID, record, err)
		}
	}
}

func TestNoWayOfPrintingAKeyShowsItsSecret(t *testing.T) {
	secret := []byte("0123456789abcdef0123456789abcdef")
	key, err := pcs.NewHMACKey("k", secret)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	shown := string(encoded)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X"} {
		shown += fmt.Sprintf(verb, key) + fmt.Sprintf(verb, *key)
	}
	for _, form := range []string{"%s", "%d", "%x", "%X"} {
		if part := strings.Trim(fmt.Sprintf(form, secret[:8]), "[]"); strings.Contains(shown, part) {
			t.Errorf("expected no secret, got %s", shown)
		}
	}
}
