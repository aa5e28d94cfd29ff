package pcs_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"testing"

	"fractallba/pcs"
)

// The figures beside each other: what a record costs to sign, canonical bytes
// included, and what the bare primitives cost on the same bytes. Run with
//
//	go test -run '^$' -bench . -cpu 1 ./pcs

func benchmarkSign(b *testing.B, key *pcs.Key) {
	members := soundMembers()
	body := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		members.Epoch++ // each record is another
		record, err := pcs.Sign(&members, key)
		if err != nil {
			b.Fatal(err)
		}
		body = record.AppendStored(body[:0])
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkSignHMAC(b *testing.B)    { benchmarkSign(b, hmacKey(b)) }
func BenchmarkSignEd25519(b *testing.B) { benchmarkSign(b, ed25519Key(b)) }

// signedBytes are those that the signature of such a record covers.
func signedBytes(b *testing.B) []byte {
	members := soundMembers()
	record, err := pcs.Sign(&members, hmacKey(b))
	if err != nil {
		b.Fatal(err)
	}
	return record.SigningInput()
}

func BenchmarkBareHMAC(b *testing.B) {
	message, mac := signedBytes(b), hmac.New(sha256.New, bytes.Repeat([]byte{0xaa}, 32))
	var tag [32]byte
	b.ReportAllocs()
	for b.Loop() {
		mac.Reset()
		mac.Write(message)
		mac.Sum(tag[:0])
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkBareSHA256(b *testing.B) {
	message := signedBytes(b)
	b.ReportAllocs()
	for b.Loop() {
		sha256.Sum256(message)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkBareEd25519(b *testing.B) {
	message, key := signedBytes(b), ed25519.NewKeyFromSeed(make([]byte, 32))
	b.ReportAllocs()
	for b.Loop() {
		ed25519.Sign(key, message)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func benchmarkRead(b *testing.B, key *pcs.Key, alg string, public string) {
	members := soundMembers()
	record, err := pcs.Sign(&members, key)
	if err != nil {
		b.Fatal(err)
	}
	ring, err := pcs.ParseKeyring([]byte(`{"keys": [{"kid": "k", "tenant": "t", "alg": "`+alg+`", `+public+`}]}`),
		pcs.NoSecretsOutside)
	if err != nil {
		b.Fatal(err)
	}
	body := record.Stored()
	b.ReportAllocs()
	for b.Loop() {
		found, err := pcs.Authenticate(body, ring)
		if err != nil {
			b.Fatal(err)
		}
		pcs.Judge(found.Record, pcs.CurrentParams)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkReadHMAC(b *testing.B) {
	benchmarkRead(b, hmacKey(b), "hmac-sha256", `"secret": "base64:qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo="`)
}

func BenchmarkReadEd25519(b *testing.B) {
	benchmarkRead(b, ed25519Key(b), "ed25519", `"secret": "base64:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`)
}
