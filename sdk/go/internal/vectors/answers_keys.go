package vectors

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sort"

	"fractallba/pcs"
)

func mismatch() error { return refusedFor("signature_invalid", "signature_mismatch", "sig") }

// signingEd25519 answers whether a signature holds; where a seed is given it
// must sign to this signature.
func signingEd25519(input json.RawMessage) (expected, error) {
	given, err := read[struct {
		Seed                       *hexBytes
		Public, Message, Signature hexBytes
	}](input)
	if err != nil {
		return nil, err
	}
	if !pcs.VerifyEd25519(given.Public, given.Message, given.Signature) {
		return nil, mismatch()
	}
	if given.Seed == nil {
		return expected{"public": nil, "signature": nil}, nil
	}
	public, err := pcs.Ed25519Public(*given.Seed)
	if err != nil {
		return nil, err
	}
	signature, err := pcs.SignEd25519(*given.Seed, given.Message)
	return expected{"public": hex.EncodeToString(public), "signature": hex.EncodeToString(signature)}, err
}

func signingHMAC(input json.RawMessage) (expected, error) {
	given, err := read[struct{ Secret, Message, Tag hexBytes }](input)
	if err != nil {
		return nil, err
	}
	if !pcs.VerifyHMAC(given.Secret, given.Message, given.Tag) {
		return nil, mismatch()
	}
	return expected{"tag": hex.EncodeToString(pcs.SignHMAC(given.Secret, given.Message))}, nil
}

func parsedKeyring(data []byte) (*pcs.Keyring, error) {
	ring, err := pcs.ParseKeyring(data, pcs.NoSecretsOutside)
	var problem *pcs.KeyringError
	if errors.As(err, &problem) {
		return nil, &refused{expected{
			"code": "keyring_refused", "entry": problem.Entry, "member": orNull(problem.Member),
		}}
	}
	return ring, err
}

func keyrings(input json.RawMessage) (expected, error) {
	given, err := read[struct{ Keyring []byte }](input)
	if err != nil {
		return nil, err
	}
	ring, err := parsedKeyring(given.Keyring)
	if err != nil {
		return nil, err
	}
	keys := []any{}
	for _, key := range ring.Keys() {
		var public any
		if key.Alg == pcs.Ed25519 {
			public = hex.EncodeToString(key.Public())
		}
		keys = append(keys, expected{
			"kid": key.KID, "tenant": key.Tenant, "alg": string(key.Alg), "public": public, "legacy": key.Legacy,
		})
	}
	return expected{
		"keys": keys, "tokens": identities(ring.Tokens()), "certificates": identities(ring.Certificates()),
	}, nil
}

func identities(found []pcs.Identity) []any {
	listed := []any{}
	for _, identity := range found {
		scopes := []string{}
		for _, scope := range identity.Scopes {
			scopes = append(scopes, string(scope))
		}
		sort.Strings(scopes)
		listed = append(listed, expected{"tenant": identity.Tenant, "scopes": scopes})
	}
	return listed
}

func signingRecords(input json.RawMessage) (expected, error) {
	given, err := read[struct {
		Keyring []byte
		body
		ReceivedAt string `json:"received_at"`
	}](input)
	if err != nil {
		return nil, err
	}
	ring, err := parsedKeyring(given.Keyring)
	if err != nil {
		return nil, err
	}
	receivedMS, err := pcs.ParseTimestamp(given.ReceivedAt)
	if err != nil {
		return nil, err
	}
	found, err := pcs.Authenticate(given.bytes(), ring)
	if err == nil {
		err = found.RequireValidAt(receivedMS)
	}
	if err != nil {
		return nil, refusedBy(err)
	}
	return expected{
		"tenant": found.Tenant(), "kid": found.Key.KID,
		"record_digest": found.RecordDigest, "content_digest": found.ContentDigest,
	}, nil
}

func bytesOf(given []hexBytes) [][]byte {
	found := make([][]byte, len(given))
	for i, each := range given {
		found[i] = each
	}
	return found
}

func merkleRoots(input json.RawMessage) (expected, error) {
	given, err := read[struct{ Leaves []hexBytes }](input)
	root := pcs.MerkleRoot(bytesOf(given.Leaves))
	return expected{"root": hex.EncodeToString(root[:])}, err
}

func merkleInclusion(input json.RawMessage) (expected, error) {
	given, err := read[struct {
		Size, Index uint64
		LeafHash    hexBytes `json:"leaf_hash"`
		Root        hexBytes
		Proof       []hexBytes
	}](input)
	if err != nil {
		return nil, err
	}
	claim := pcs.Inclusion{
		Root: given.Root, LeafHash: given.LeafHash, Size: given.Size, Index: given.Index, Proof: bytesOf(given.Proof),
	}
	if claim.Verify() != nil {
		return nil, refusedFor("proof_refused", "inclusion", "")
	}
	return expected{}, nil
}

func merkleConsistency(input json.RawMessage) (expected, error) {
	given, err := read[struct {
		Size1, Size2 uint64
		Root1, Root2 hexBytes
		Proof        []hexBytes
	}](input)
	if err != nil {
		return nil, err
	}
	claim := pcs.Consistency{
		Size1: given.Size1, Size2: given.Size2, Root1: given.Root1, Root2: given.Root2, Proof: bytesOf(given.Proof),
	}
	if claim.Verify() != nil {
		return nil, refusedFor("proof_refused", "consistency", "")
	}
	return expected{}, nil
}

func ring(input json.RawMessage) (expected, error) {
	given, err := read[struct {
		Shards []pcs.Shard
		Tenant string
		PCSID  string `json:"pcs_id"`
	}](input)
	if err != nil {
		return nil, err
	}
	made, err := pcs.NewRing(given.Shards)
	var problem *pcs.RingError
	if errors.As(err, &problem) {
		return nil, refusedFor("ring_refused", problem.Reason, "shards")
	}
	if err != nil {
		return nil, err
	}
	point := fmt.Sprintf("%08x", pcs.RingPoint(given.Tenant, given.PCSID))
	return expected{"point": point, "owner": made.OwnerOf(given.Tenant, given.PCSID)}, nil
}
