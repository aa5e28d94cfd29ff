// Package vectors puts the SDK before the golden vectors: each file's cases in,
// what is wrong out. A file, a flag or a field that it does not know is an
// error: a runner that passes over what it does not know has tested less than
// it says.
package vectors

import "strings"

// suite is what the runner knows of one file.
type suite struct {
	answer answerer // nil where a server has to be asked
	fields []string
	flags  []string
}

func knows(answer answerer, fields, flags string) suite {
	return suite{answer, strings.Fields(fields), strings.Fields(flags)}
}

// ServersFile is the one file that says what a server answers, not an SDK.
const ServersFile = "http_exchanges.json"

var suites = map[string]suite{
	"canonical.json": knows(canonicalJSON, "document",
		"Rfc8785Example Rfc8785AppendixB Rfc8259Example NumberText StringText NameOrder WhiteSpace Structure"),
	"json_refusals.json": knows(jsonRefusals, "layer document",
		"Rfc3629 Rfc8259 Rfc7493 Encoding Depth Grammar Trailing NumberLength NumberOverflow "+
			"Surrogate Duplicate Precedence Accepted"),
	"ids.json": knows(ids, "merkle_root epoch shard_id", "FirstPrototype Epoch ShardId Root"),
	"digests.json": knows(digests, "body trailing_spaces",
		"FirstPrototype SameContent SameRecord OtherContent"),
	"records_1_0.json": knows(records10, "body trailing_spaces",
		"FirstPrototype Rfc3339 Rfc4648 Gregorian Sound Bound PastBound Type Missing Unknown "+
			"Format ClosedSet Spelling Version PcsId Size Json TwoFaults"),
	"records_0_1.json": knows(records01, "keyring tenant accepts_legacy body trailing_spaces received_at",
		"FirstPrototype Rfc4231 Rfc8032 Spelling NoSpelling Escape NumberText Rounding Unsigned "+
			"Signed Check Spoiled ExactEdge Key Validity Version Sound Bound PastBound Type Missing "+
			"Format Json Size PcsId TwoFaults"),
	"outcomes.json": knows(outcomes, "body trailing_spaces",
		"BoxCounting Alone Together DHat Budget ExactEdge Consistency Regime Rounding Median"),
	"signing_ed25519.json": knows(signingEd25519, "seed public message signature",
		"Rfc8032 Sound Changed Length ScalarNotReduced NonCanonicalKey NonCanonicalR SmallOrderKey "+
			"SmallOrderR CofactorOnly MixedOrder NotOnCurve"),
	"signing_hmac.json": knows(signingHMAC, "secret message tag", "Rfc4231 KeyLength Truncated Changed"),
	"keyrings.json": knows(keyrings, "keyring",
		"Rfc8032 Sound Json Member Twice LegacyCount SecretLength WeakKey Pair Time"),
	"signing_records.json": knows(signingRecords, "keyring body trailing_spaces received_at",
		"Rfc8032 Rfc4231 Sound Key Missing Length Mismatch Unsigned Validity Order Version"),
	"signals_points.json": knows(signalsPoints, "seed scales rows rows_bits",
		"BoxCounting Series Plane Space Projected SeedAndScales Magnitude CellBorder Regime Refused"),
	"signals_bytes.json": knows(signalsBytes, "seed scales data",
		"BoxCounting Text Leaves Series SeedAndScales Refused"),
	"merkle_roots.json": knows(merkleRoots, "leaves", "CertificateTransparency Sha256 Shape Leaf Order"),
	"merkle_inclusion.json": knows(merkleInclusion, "size index leaf_hash root proof",
		"CertificateTransparency Rfc9162Example EveryIndex Changed WrongPlace WrongCount WrongLength"),
	"merkle_consistency.json": knows(merkleConsistency, "size1 size2 root1 root2 proof",
		"CertificateTransparency Rfc9162Example Grown Equal Empty Changed WrongPlace WrongCount WrongLength"),
	"ring.json": knows(ring, "shards tenant pcs_id",
		"Karger DefaultSet Wrapped OnAPoint Tie Weighted ShardMore Tenant Refused"),
	ServersFile: knows(nil, "keyring settings requests",
		"Rfc9110 Rfc9112 Rfc9457 Rfc6750 FirstPrototype Decided Repeated Conflict Refused "+
			"Identity Legacy Head Bounds Batch Read Listing Resolution Operations NoHttp"),
}
