package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"strings"

	"fractallba/pcs"
)

// work is one thing that is measured: what makes records again and again.
type work struct {
	name string
	// prepare returns what does it count times.
	prepare func() func(count int) error
}

var (
	secret = bytes.Repeat([]byte{0xaa}, 32)
	seed   = bytes.Repeat([]byte{0x55}, 32)
)

// works are what is measured, the SDK's beside the bare primitives on the bytes
// that the same signature covers.
var works = []work{
	{"hmac_sign_canonical", func() func(int) error { return signing(hmacKey()) }},
	{"hmac_bare", bareHMAC},
	{"sha256_bare", bareSHA256},
	{"ed25519_sign", func() func(int) error { return signing(ed25519Key()) }},
	{"ed25519_sign_bare", bareEd25519},
	{"verify", func() func(int) error { return verifying(hmacKey(), `"alg": "hmac-sha256"`, secretText) }},
	{"ed25519_verify", func() func(int) error { return verifying(ed25519Key(), `"alg": "ed25519"`, seedText) }},
}

const (
	secretText = "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo="
	seedText   = "VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVU="
)

func hmacKey() *pcs.Key    { return must(pcs.NewHMACKey("lab-1", secret)) }
func ed25519Key() *pcs.Key { return must(pcs.NewEd25519Key("lab-1", seed)) }

// must returns what is made of constants, which is always sound.
func must[T any](made T, err error) T {
	if err != nil {
		panic(err)
	}
	return made
}

// soundMembers returns those of a record that is accepted.
func soundMembers() pcs.Members {
	return pcs.Members{
		MerkleRoot: strings.Repeat("e9", 32), Epoch: 1, ShardID: "lab:stream-1",
		CreatedAt: "2026-11-21T06:00:00.123Z", Profile: pcs.ProfilePoints, N: 1000, D: 3, Seed: 42,
		Scales: []int64{2, 4, 8, 16, 32}, NJ: []int64{8, 40, 150, 400, 800},
		DHat: 1.660964047, CohStar: 0.12, R: 0.773214905, Budget: 0.192035529,
		VStar: [3]float64{0.6, 0.64, 0.48}, Regime: pcs.Mixed,
	}
}

// signing checks members, signs their canonical bytes and writes the record.
func signing(key *pcs.Key) func(int) error {
	members := soundMembers()
	body := make([]byte, 0, 4096)
	return func(count int) error {
		for range count {
			members.Epoch++ // each record is another
			record, err := pcs.Sign(&members, key)
			if err != nil {
				return err
			}
			body = record.AppendStored(body[:0])
		}
		return nil
	}
}

// verifying reads a body, checks its signature and judges it.
func verifying(key *pcs.Key, alg, text string) func(int) error {
	members := soundMembers()
	body := must(pcs.Sign(&members, key)).Stored()
	ring := must(pcs.ParseKeyring([]byte(
		`{"keys": [{"kid": "lab-1", "tenant": "lab", `+alg+`, "secret": "base64:`+text+`"}]}`), pcs.NoSecretsOutside))
	return func(count int) error {
		for range count {
			found, err := pcs.Authenticate(body, ring)
			if err != nil {
				return err
			}
			pcs.Judge(found.Record, pcs.CurrentParams)
		}
		return nil
	}
}

// signedBytes are those that the signature of such a record covers.
func signedBytes() []byte {
	members := soundMembers()
	return must(pcs.Sign(&members, hmacKey())).SigningInput()
}

func bareHMAC() func(int) error {
	message, mac := signedBytes(), hmac.New(sha256.New, secret)
	var tag [sha256.Size]byte
	return func(count int) error {
		for range count {
			mac.Reset()
			mac.Write(message)
			mac.Sum(tag[:0])
		}
		return nil
	}
}

func bareSHA256() func(int) error {
	message := signedBytes()
	return func(count int) error {
		for range count {
			sha256.Sum256(message)
		}
		return nil
	}
}

func bareEd25519() func(int) error {
	message, key := signedBytes(), ed25519.NewKeyFromSeed(seed)
	return func(count int) error {
		for range count {
			ed25519.Sign(key, message)
		}
		return nil
	}
}
