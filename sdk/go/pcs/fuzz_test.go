package pcs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"fractallba/pcs"
)

// inputs returns what the cases of a golden-vector file give.
func inputs[T any](f *testing.F, file string) []T {
	f.Helper()
	data, err := os.ReadFile("../../../golden_vectors/" + file)
	if err != nil {
		f.Fatal(err)
	}
	var vectors struct{ Tests []struct{ Input T } }
	if err := json.Unmarshal(data, &vectors); err != nil {
		f.Fatal(err)
	}
	found := make([]T, len(vectors.Tests))
	for i := range vectors.Tests {
		found[i] = vectors.Tests[i].Input
	}
	return found
}

func requireRefusal(t *testing.T, err error) {
	t.Helper()
	var refusal *pcs.Refusal
	if !errors.As(err, &refusal) || refusal.Code == "" || refusal.Reason == "" || refusal.Message == "" {
		t.Fatalf("expected a refusal, got %v", err)
	}
}

func FuzzParseJSON(f *testing.F) {
	for _, input := range inputs[struct{ Document string }](f, "json_refusals.json") {
		f.Add([]byte(hexText(input.Document)))
	}
	for _, input := range inputs[struct{ Document string }](f, "canonical.json") {
		f.Add([]byte(hexText(input.Document)))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		value, err := pcs.ParseJSON(document, pcs.JCSDepthMax)
		if err != nil {
			requireRefusal(t, err)
			return
		}
		if !json.Valid(document) {
			t.Fatal("expected what is taken to be JSON, got another text")
		}
		written, err := pcs.Canonical(value)
		if err != nil {
			t.Fatal(err)
		}
		again, err := pcs.ParseJSON(written, pcs.JCSDepthMax)
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := pcs.Canonical(again); err != nil || !bytes.Equal(written, twice) {
			t.Fatalf("expected %q again, got %q (%v)", written, twice, err)
		}
	})
}

func hexText(text string) string {
	var data []byte
	for i := 0; i+1 < len(text); i += 2 {
		data = append(data, unhex(text[i])<<4|unhex(text[i+1]))
	}
	return string(data)
}

func unhex(digit byte) byte {
	if digit >= 'a' {
		return digit - 'a' + 10
	}
	return digit - '0'
}

func FuzzParseRecord(f *testing.F) {
	for _, input := range inputs[struct{ Body []byte }](f, "records_1_0.json") {
		f.Add(input.Body)
	}
	ring := ringOf(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		record, err := pcs.ParseRecord(body)
		if err != nil {
			requireRefusal(t, err)
			return
		}
		again, err := pcs.ParseRecord(record.Stored())
		if err != nil {
			t.Fatal(err)
		}
		if again.Digest() != record.Digest() || again.ContentDigest() != record.ContentDigest() ||
			!bytes.Equal(again.Stored(), record.Stored()) {
			t.Fatalf("expected %q again, got %q", record.Stored(), again.Stored())
		}
		members := record.Members()
		if _, err := pcs.Sign(&members, hmacKey(t)); err != nil {
			t.Fatalf("expected what was read to be sound when it is signed, got %v", err)
		}
		if _, err := pcs.Authenticate(body, ring); err != nil {
			requireRefusal(t, err)
		}
		if _, err := pcs.DecisionBody(record.PCSID(), record.Digest(), pcs.Judge(record, pcs.CurrentParams)); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzParseLegacyRecord(f *testing.F) {
	for _, input := range inputs[struct{ Body []byte }](f, "records_0_1.json") {
		f.Add(input.Body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		record, err := pcs.ParseLegacyRecord(body)
		if err != nil {
			requireRefusal(t, err)
			return
		}
		value, err := pcs.ParseJSON(record.Stored(), pcs.RecordDepthMax)
		if err != nil {
			t.Fatal(err)
		}
		if written, err := pcs.Canonical(value); err != nil || !bytes.Equal(written, record.Stored()) {
			t.Fatalf("expected canonical bytes, got %q (%v)", record.Stored(), err)
		}
		if _, err := pcs.JudgeLegacy(record, pcs.LegacyParams); err != nil {
			requireRefusal(t, err)
		}
	})
}

func FuzzParseKeyring(f *testing.F) {
	for _, input := range inputs[struct{ Keyring []byte }](f, "keyrings.json") {
		f.Add(input.Keyring)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ring, err := pcs.ParseKeyring(data, pcs.NoSecretsOutside)
		var problem *pcs.KeyringError
		if err != nil {
			if !errors.As(err, &problem) || problem.Entry == "" {
				t.Fatalf("expected where the problem is, got %v", err)
			}
			return
		}
		for _, key := range ring.Keys() {
			if ring.Key(key.KID) != key {
				t.Fatal("expected each key under its name, got another")
			}
		}
	})
}

func FuzzVerifyEd25519(f *testing.F) {
	for _, input := range inputs[struct{ Public, Message, Signature string }](f, "signing_ed25519.json") {
		f.Add([]byte(hexText(input.Public)), []byte(hexText(input.Message)), []byte(hexText(input.Signature)))
	}
	f.Fuzz(func(t *testing.T, public, message, signature []byte) {
		if !pcs.VerifyEd25519(public, message, signature) {
			return
		}
		for i := range signature {
			changed := bytes.Clone(signature)
			changed[i] ^= 0x80
			if pcs.VerifyEd25519(public, message, changed) {
				t.Fatalf("expected one signature, got another with byte %d changed", i)
			}
		}
	})
}

func FuzzVerifyProofs(f *testing.F) {
	f.Add(uint64(3), uint64(7), bytes.Repeat([]byte{1}, 160))
	f.Add(uint64(1), uint64(1), []byte{})
	f.Add(uint64(0), ^uint64(0), bytes.Repeat([]byte{2}, 2100))
	f.Fuzz(func(t *testing.T, first, second uint64, hashes []byte) {
		var proof [][]byte
		for len(hashes) >= 32 {
			proof, hashes = append(proof, hashes[:32]), hashes[32:]
		}
		if len(proof) < 2 {
			return
		}
		inclusion := pcs.Inclusion{Root: proof[0], LeafHash: proof[1], Size: second, Index: first, Proof: proof[2:]}
		consistency := pcs.Consistency{Size1: first, Size2: second, Root1: proof[0], Root2: proof[1], Proof: proof[2:]}
		for _, err := range []error{inclusion.Verify(), consistency.Verify()} {
			if err != nil && !errors.Is(err, pcs.ErrContract) {
				t.Fatal(err)
			}
		}
	})
}
