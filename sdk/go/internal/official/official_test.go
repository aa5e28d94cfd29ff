// Package official puts the SDK before the official vectors: JCS, Wycheproof,
// CCTV, the proofs of transparency-dev, and the record of the first prototype.
// They are not part of the project; where they are not there, each test says so
// by name and is skipped.
package official

import (
	"bytes"
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"fractallba/pcs"
)

const folder = "../../../../../shared/vectors"

// file returns what a file of the vectors holds.
func file(t *testing.T, path ...string) []byte {
	t.Helper()
	if _, err := os.Stat(folder); err != nil {
		t.Skip("shared/vectors is not there")
	}
	data, err := os.ReadFile(filepath.Join(append([]string{folder}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func load[T any](t *testing.T, path ...string) (loaded T) {
	t.Helper()
	if err := json.Unmarshal(file(t, path...), &loaded); err != nil {
		t.Fatal(err)
	}
	return loaded
}

type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

func TestJCSDocumentsHaveTheirCanonicalBytes(t *testing.T) {
	names := []string{"arrays", "french", "structures", "unicode", "values", "weird"}
	for _, name := range names {
		value, err := pcs.ParseJSON(file(t, "jcs", "input", name+".json"), pcs.JCSDepthMax)
		if err != nil {
			t.Fatal(name, err)
		}
		written, err := pcs.Canonical(value)
		if err != nil || !bytes.Equal(written, file(t, "jcs", "output", name+".json")) {
			t.Errorf("%s: expected the bytes of output/, got %q (%v)", name, written, err)
		}
	}
	t.Logf("go: JCS: %d documents", len(names))
}

func TestTheTenThousandNumbersHaveTheirText(t *testing.T) {
	lines := strings.Fields(string(file(t, "jcs", "es6testfile_10k.txt")))
	for _, line := range lines {
		digits, text, _ := strings.Cut(line, ",")
		bits, err := strconv.ParseUint(digits, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		written, err := pcs.Canonical(math.Float64frombits(bits))
		if err != nil || string(written) != text {
			t.Errorf("%s: expected %s, got %s (%v)", digits, text, written, err)
		}
	}
	if len(lines) != 10_000 {
		t.Errorf("expected 10000 numbers, got %d", len(lines))
	}
	t.Logf("go: JCS: %d numbers", len(lines))
}

func TestWycheproofEd25519HoldsAndFailsAsItSays(t *testing.T) {
	suite := load[struct {
		TestGroups []struct {
			PublicKey struct{ PK hexBytes }
			Tests     []struct {
				TcID     int
				Msg, Sig hexBytes
				Result   string
			}
		}
	}](t, "wycheproof", "ed25519_test.json")
	ran := map[string]int{}
	for _, group := range suite.TestGroups {
		for _, test := range group.Tests {
			ran[test.Result]++
			if pcs.VerifyEd25519(group.PublicKey.PK, test.Msg, test.Sig) != (test.Result == "valid") {
				t.Errorf("test %d: expected %s, got the opposite", test.TcID, test.Result)
			}
		}
	}
	requireCounts(t, "Wycheproof Ed25519", ran, map[string]int{"valid": 88, "invalid": 63})
}

func TestWycheproofHMACHoldsAndFailsAsItSays(t *testing.T) {
	suite := load[struct {
		TestGroups []struct {
			TagSize int
			Tests   []struct {
				TcID          int
				Key, Msg, Tag hexBytes
				Result        string
			}
		}
	}](t, "wycheproof", "hmac_sha256_test.json")
	ran := map[string]int{}
	for _, group := range suite.TestGroups {
		for _, test := range group.Tests {
			ran[test.Result]++
			// A truncated tag tests the primitive alone: on the wire a tag is 32 bytes.
			own := pcs.SignHMAC(test.Key, test.Msg)[:group.TagSize/8]
			if hmac.Equal(own, test.Tag) != (test.Result == "valid") {
				t.Errorf("test %d: expected %s, got the opposite", test.TcID, test.Result)
			}
			holds := test.Result == "valid" && group.TagSize == 256
			if pcs.VerifyHMAC(test.Key, test.Msg, test.Tag) != holds {
				t.Errorf("test %d: expected a whole tag to verify and no other, got another", test.TcID)
			}
		}
	}
	requireCounts(t, "Wycheproof HMAC-SHA256", ran, map[string]int{"valid": 66, "invalid": 108})
}

func TestCCTVVerifiesExactlyWhereLibsodiumDoes(t *testing.T) {
	vectors := load[[]struct {
		Number   int
		Key, Sig hexBytes
		Msg      string
		Flags    []string
	}](t, "cctv_ed25519", "ed25519vectors.json")
	ran := map[string]int{}
	for _, vector := range vectors {
		if !pcs.VerifyEd25519(vector.Key, []byte(vector.Msg), vector.Sig) {
			ran["refused"]++
			continue
		}
		ran["held"]++
		for _, flag := range vector.Flags {
			switch flag {
			case "low_order_A", "low_order_R", "non_canonical_A", "non_canonical_R":
				t.Errorf("vector %d: expected %s to be refused, got it verified", vector.Number, flag)
			}
		}
	}
	requireCounts(t, "CCTV Ed25519", ran, map[string]int{"held": 43, "refused": 871})
}

func TestInclusionProofsHoldAndFailAsTheySay(t *testing.T) {
	proofs(t, "inclusion", func(data []byte) (wantErr bool, err error) {
		var vector struct {
			LeafIdx, TreeSize uint64
			Root, LeafHash    []byte
			Proof             [][]byte
			WantErr           bool
		}
		if err := json.Unmarshal(data, &vector); err != nil {
			t.Fatal(err)
		}
		claim := pcs.Inclusion{
			Root: vector.Root, LeafHash: vector.LeafHash, Size: vector.TreeSize, Index: vector.LeafIdx,
			Proof: vector.Proof,
		}
		return vector.WantErr, claim.Verify()
	})
}

func TestConsistencyProofsHoldAndFailAsTheySay(t *testing.T) {
	proofs(t, "consistency", func(data []byte) (wantErr bool, err error) {
		var vector struct {
			Size1, Size2 uint64
			Root1, Root2 []byte
			Proof        [][]byte
			WantErr      bool
		}
		if err := json.Unmarshal(data, &vector); err != nil {
			t.Fatal(err)
		}
		claim := pcs.Consistency{
			Size1: vector.Size1, Size2: vector.Size2, Root1: vector.Root1, Root2: vector.Root2,
			Proof: vector.Proof,
		}
		return vector.WantErr, claim.Verify()
	})
}

func proofs(t *testing.T, kind string, verify func(data []byte) (wantErr bool, err error)) {
	t.Helper()
	file(t, "README.md")
	ran := map[string]int{}
	err := filepath.WalkDir(filepath.Join(folder, "merkle", kind), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		wantErr, verifyErr := verify(data)
		if (verifyErr != nil) != wantErr {
			t.Errorf("%s: expected refused to be %t, got %v", entry.Name(), wantErr, verifyErr)
		}
		if verifyErr != nil {
			ran["refused"]++
		} else {
			ran["held"]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	requireCounts(t, "Merkle "+kind, ran, map[string]int{"held": 6, "refused": 92})
}

func TestTheFirstPrototypesRecordIsRead(t *testing.T) {
	ring, err := pcs.ParseKeyring([]byte(`{"keys": [{"kid": "old", "tenant": "default", "alg": "hmac-sha256",
		"secret": "base64:dGVzdHNlY3JldA==", "legacy": true}]}`), pcs.NoSecretsOutside)
	if err != nil {
		t.Fatal(err)
	}
	body := file(t, "legacy", "pcs_tiny_case_1.json")
	_, found, err := pcs.AuthenticateAny(body, ring, pcs.LegacyTenant, true)
	if err != nil || found == nil {
		t.Fatalf("expected its signature to hold, got %v", err)
	}
	if outcome, err := pcs.JudgeLegacy(found.Record, pcs.LegacyParams); err != nil || outcome.Status() != 200 {
		t.Errorf("expected 200, got %+v (%v)", outcome, err)
	}
}

func requireCounts(t *testing.T, what string, ran, wanted map[string]int) {
	t.Helper()
	if fmt.Sprint(ran) != fmt.Sprint(wanted) {
		t.Errorf("%s: expected %v, got %v", what, wanted, ran)
	}
	t.Logf("go: %s: %v", what, ran)
}
