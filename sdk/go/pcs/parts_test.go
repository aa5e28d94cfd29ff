package pcs_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math"
	"testing"
	"time"

	"fractallba/pcs"
)

func TestCanonicalRefusesWhatHasNoJSONForm(t *testing.T) {
	deep := any(1.0)
	for range 65 {
		deep = []any{deep}
	}
	for _, value := range []any{
		math.NaN(), math.Inf(-1), int64(1 << 53), int64(-1 << 53), "\xff", map[string]any{"\xff": 1.0}, deep,
		[]string{"x"}, float32(1), []any{struct{}{}}, map[string]any{"a": math.NaN()},
	} {
		if written, err := pcs.Canonical(value); !errors.Is(err, pcs.ErrContract) {
			t.Errorf("expected no canonical form, got %s (%v)", written, err)
		}
	}
}

func TestNumbersOfNineDecimalsHaveTheTextOfAnyOther(t *testing.T) {
	// The quick way of writing is held to the slow one: the text reads back, and
	// no shorter one does.
	x := uint64(1)
	for range 20_000 {
		x = x*6364136223846793005 + 1442695040888963407
		value := pcs.Rounded(float64(int64(x)) / float64(uint64(1)<<(x>>58)))
		if value == 0 || math.Abs(value) < 1e-6 || math.Abs(value) > 1e15 {
			continue
		}
		text, err := pcs.Canonical(value)
		if err != nil {
			t.Fatal(err)
		}
		read, err := pcs.ParseJSON(text, 1)
		if err != nil || read != value {
			t.Fatalf("%s: expected %v, got %v (%v)", text, value, read, err)
		}
		shorter, err := pcs.ParseJSON(text[:len(text)-1], 1)
		if err == nil && shorter == value {
			t.Fatalf("%s: expected the shortest text, got one longer", text)
		}
	}
}

func TestTimestampsAreTheirTimes(t *testing.T) {
	// A step that is no number of days and meets each day of the year in turn.
	const step = 13*86_400_000 + 7_654_321
	for ms := int64(0); ms <= pcs.TimestampMSMax; ms += step {
		text, err := pcs.FormatTimestamp(ms)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := pcs.ParseTimestamp(text); err != nil || back != ms {
			t.Fatalf("%s: expected %d, got %d (%v)", text, ms, back, err)
		}
	}
	for day := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2401; day = day.AddDate(0, 1, 0) {
		last := day.AddDate(0, 1, -1)
		text := last.Format("2006-01-02T15:04:05.000Z")
		if ms, err := pcs.ParseTimestamp(text); err != nil || ms != last.UnixMilli() {
			t.Fatalf("%s: expected %d, got %d (%v)", text, last.UnixMilli(), ms, err)
		}
	}
	for _, ms := range []int64{-1, pcs.TimestampMSMax + 1} {
		if _, err := pcs.FormatTimestamp(ms); !errors.Is(err, pcs.ErrContract) {
			t.Errorf("%d: expected it outside, got %v", ms, err)
		}
	}
}

// plainRoot is the definition of RFC 9162 section 2.1.1, written as it stands.
func plainRoot(leaves [][]byte) pcs.Hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	}
	split := 1
	for 2*split < len(leaves) {
		split *= 2
	}
	left, right := plainRoot(leaves[:split]), plainRoot(leaves[split:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

func leavesOf(count int) [][]byte {
	leaves := make([][]byte, count)
	for i := range leaves {
		leaves[i] = bytes.Repeat([]byte{byte(i)}, i%600) // some longer than what is held on the stack
	}
	return leaves
}

func slicesOf(hashes []pcs.Hash) [][]byte {
	found := make([][]byte, len(hashes))
	for i := range hashes {
		found[i] = hashes[i][:]
	}
	return found
}

func TestEveryProofThatIsMadeHolds(t *testing.T) {
	for size := range 34 {
		leaves := leavesOf(size)
		root := pcs.MerkleRoot(leaves)
		if root != plainRoot(leaves) {
			t.Errorf("%d leaves: expected the root of the definition, got another", size)
		}
		for index := range leaves {
			proof, err := pcs.InclusionProof(leaves, index)
			if err != nil {
				t.Fatal(err)
			}
			leaf := pcs.LeafHash(leaves[index])
			claim := pcs.Inclusion{
				Root: root[:], LeafHash: leaf[:], Size: uint64(size), Index: uint64(index), Proof: slicesOf(proof),
			}
			if err := claim.Verify(); err != nil {
				t.Errorf("leaf %d of %d: %v", index, size, err)
			}
			requireNoOther(t, claim)
		}
		for size1 := 1; size1 <= size; size1++ {
			proof, err := pcs.ConsistencyProof(leaves, size1)
			if err != nil {
				t.Fatal(err)
			}
			first := pcs.MerkleRoot(leaves[:size1])
			claim := pcs.Consistency{
				Size1: uint64(size1), Size2: uint64(size), Root1: first[:], Root2: root[:], Proof: slicesOf(proof),
			}
			if err := claim.Verify(); err != nil {
				t.Errorf("from %d to %d: %v", size1, size, err)
			}
			claim.Proof = append(claim.Proof, root[:])
			if claim.Verify() == nil {
				t.Errorf("from %d to %d: expected a longer proof to fail, got it held", size1, size)
			}
		}
	}
	for _, index := range []int{-1, 3} {
		if _, err := pcs.InclusionProof(leavesOf(3), index); !errors.Is(err, pcs.ErrContract) {
			t.Errorf("leaf %d of 3: expected no proof, got %v", index, err)
		}
	}
	for _, size1 := range []int{0, 4} {
		if _, err := pcs.ConsistencyProof(leavesOf(3), size1); !errors.Is(err, pcs.ErrContract) {
			t.Errorf("from %d to 3: expected no proof, got %v", size1, err)
		}
	}
}

// requireNoOther checks that no other leaf, hash or number of hashes holds.
func requireNoOther(t *testing.T, claim pcs.Inclusion) {
	t.Helper()
	for i := range claim.Proof {
		changed := claim
		changed.Proof = append([][]byte{}, claim.Proof...)
		changed.Proof[i] = bytes.Clone(claim.Proof[i])
		changed.Proof[i][31] ^= 1
		shorter := claim
		shorter.Proof = append(append([][]byte{}, claim.Proof[:i]...), claim.Proof[i+1:]...)
		if changed.Verify() == nil || shorter.Verify() == nil {
			t.Errorf("leaf %d of %d: expected hash %d to matter, got it held", claim.Index, claim.Size, i)
		}
	}
	longer := claim
	longer.Proof = append(append([][]byte{}, claim.Proof...), claim.Root)
	if longer.Verify() == nil {
		t.Errorf("leaf %d of %d: expected a longer proof to fail, got it held", claim.Index, claim.Size)
	}
}

func TestASecretOutsideIsWhatItsPlaceHolds(t *testing.T) {
	secret := bytes.Repeat([]byte{0xaa}, 32)
	places := map[string][]byte{
		"env:RAW":        secret,
		"file:base64":    []byte("base64:qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=\r\n"),
		"file:newline":   append(bytes.Clone(secret), '\n'),
		"file:two-lines": []byte("base64:qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=\n\n"),
		"env:NOT-BASE64": []byte("base64:q"),
	}
	resolve := func(where string) ([]byte, error) {
		if value, there := places[where]; there {
			return value, nil
		}
		return nil, errors.New("expected a file, got none")
	}
	keyOf := func(where string) (*pcs.Key, error) {
		ring, err := pcs.ParseKeyring([]byte(`{"keys": [{"kid": "k", "tenant": "t", "alg": "hmac-sha256", "secret": "`+
			where+`"}]}`), resolve)
		if err != nil {
			return nil, err
		}
		return ring.Key("k"), nil
	}
	inside := signed(t, soundMembers(), hmacKey(t)).Stored()
	for where, isSame := range map[string]bool{"env:RAW": true, "file:base64": true, "file:newline": false} {
		key, err := keyOf(where)
		if err != nil {
			t.Fatal(where, err)
		}
		if same := bytes.Equal(signed(t, soundMembers(), key).Stored(), inside); same != isSame {
			t.Errorf("%s: expected the same signature to be %t, got %t", where, isSame, same)
		}
	}
	for _, where := range []string{"file:two-lines", "env:NOT-BASE64", "file:none", "http:there"} {
		_, err := keyOf(where)
		var problem *pcs.KeyringError
		if !errors.As(err, &problem) || problem.Entry != "keys[0]" || problem.Member != "secret" || problem.KID != "k" {
			t.Errorf("%s: expected the secret to be refused, got %v", where, err)
		}
	}
}

func TestTokensAndCertificatesAreFoundByTheirDigest(t *testing.T) {
	digest := "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" // of "test"
	ring, err := pcs.ParseKeyring([]byte(`{"keys": [],
		"tokens": [{"tenant": "a", "sha256": "`+digest+`", "scopes": ["read", "submit"]}],
		"certificates": [{"tenant": "b", "sha256": "`+digest+`", "scopes": []}]}`), pcs.NoSecretsOutside)
	if err != nil {
		t.Fatal(err)
	}
	if token, is := ring.Token("test"); !is || token.Tenant != "a" || len(token.Scopes) != 2 {
		t.Errorf("expected the token, got %v", token)
	}
	if certificate, is := ring.Certificate([]byte("test")); !is || certificate.Tenant != "b" {
		t.Errorf("expected the certificate, got %v", certificate)
	}
	if token, is := ring.Token("test2"); is {
		t.Errorf("expected no token, got %v", token)
	}
}

func TestDHatIsOfCountedScales(t *testing.T) {
	if slope, err := pcs.DHat([]int64{2, 4, 8}, []int64{4, 16, 64}); err != nil || slope != 2 {
		t.Errorf("expected 2, got %v (%v)", slope, err)
	}
	for _, wrong := range [][2][]int64{
		{{2}, {4}}, {{2, 4}, {4}}, {{4, 2}, {1, 1}}, {{2, 4}, {0, 1}}, {{0, 4}, {1, 1}}, {nil, nil},
	} {
		if slope, err := pcs.DHat(wrong[0], wrong[1]); !errors.Is(err, pcs.ErrContract) {
			t.Errorf("%v: expected no slope, got %v (%v)", wrong, slope, err)
		}
	}
}
