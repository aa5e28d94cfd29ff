package pcs_test

import (
	"bytes"
	"errors"
	"fmt"

	"fractallba/pcs"
	"fractallba/signals"
)

// A window becomes a record: its signals, the key that signs it, and the bytes
// that are sent.
func Example() {
	key, err := pcs.NewHMACKey("lab-1", bytes.Repeat([]byte{0xaa}, 32))
	if err != nil {
		panic(err)
	}
	text := []byte("the same line, again and again. the same line, again and again.")
	window, err := signals.OfBytes(text, signals.DefaultSeed, signals.DefaultScales())
	if err != nil {
		panic(err)
	}
	members := pcs.Members{
		Epoch: 1, ShardID: "lab:stream-1", CreatedAt: "2026-11-21T06:00:00.123Z",
	}
	window.Fill(&members)
	record, err := pcs.Sign(&members, key)
	if err != nil {
		panic(err)
	}
	fmt.Println(record.PCSID())
	fmt.Println(pcs.Judge(record, pcs.CurrentParams).Status())
	// Output:
	// 945a07a1c15fb210437c6131335b8e8c88041a8da7d8463776b74e2a67e69bb1
	// 200
}

// Whoever has the keyring can tell whose record a body is.
func ExampleAuthenticate() {
	ring, err := pcs.ParseKeyring([]byte(`{"keys": [{"kid": "lab-1", "tenant": "lab", "alg": "ed25519",
		"public": "base64:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}]}`), pcs.NoSecretsOutside)
	if err != nil {
		panic(err)
	}
	_, err = pcs.Authenticate([]byte(`{"version": "1.0", "schema": 7}`), ring)
	var refusal *pcs.Refusal
	if errors.As(err, &refusal) {
		fmt.Println(refusal.Code, refusal.Reason, refusal.Member)
	}
	// Output: invalid_record wrong_type schema
}

func ExampleCanonical() {
	value, err := pcs.ParseJSON([]byte(`{"b": 1.0, "a": [1e-7, "\u00e9"]}`), pcs.JCSDepthMax)
	if err != nil {
		panic(err)
	}
	written, err := pcs.Canonical(value)
	fmt.Println(string(written), err)
	// Output: {"a":[1e-7,"é"],"b":1} <nil>
}

// A proof shows that one leaf is among those a record's merkle_root binds.
func ExampleInclusionProof() {
	leaves := [][]byte{[]byte("row 0"), []byte("row 1"), []byte("row 2")}
	proof, err := pcs.InclusionProof(leaves, 1)
	if err != nil {
		panic(err)
	}
	root, leaf := pcs.MerkleRoot(leaves), pcs.LeafHash(leaves[1])
	claim := pcs.Inclusion{Root: root[:], LeafHash: leaf[:], Size: 3, Index: 1}
	for i := range proof {
		claim.Proof = append(claim.Proof, proof[i][:])
	}
	fmt.Println(claim.Verify())
	claim.Index = 2
	fmt.Println(claim.Verify())
	// Output:
	// <nil>
	// inclusion proof: expected no hash above the root, got something else
}

// The ring says which of several shards a record belongs to.
func ExampleRing() {
	ring, err := pcs.NewRing([]pcs.Shard{{Name: "only", Weight: 1}})
	if err != nil {
		panic(err)
	}
	fmt.Println(ring.OwnerOf("acme", pcs.PCSID("00", 1, "s")))
	// Output: only
}
