//! What is known of each file of vectors: how the SDK answers it, and every field and flag.

use fractal_lba_core::Object;

use crate::answers::{documents, keys, records, signals, trees, verdicts, Answer};

/// What the runner knows of one file.
pub struct Suite {
    /// The file's name without its ending.
    pub name: &'static str,
    /// The SDK's answer; none where a server has to be asked.
    pub answer: Option<fn(&Object) -> Answer>,
    /// The members of an input.
    pub fields: &'static str,
    /// The flags of its cases.
    pub flags: &'static str,
}

/// Every file of vectors.
pub const SUITES: &[Suite] = &[
    Suite {
        name: "canonical",
        answer: Some(documents::canonical_json),
        fields: "document",
        flags: "Rfc8785Example Rfc8785AppendixB Rfc8259Example NumberText StringText NameOrder \
                WhiteSpace Structure",
    },
    Suite {
        name: "json_refusals",
        answer: Some(documents::json_refusals),
        fields: "layer document",
        flags: "Rfc3629 Rfc8259 Rfc7493 Encoding Depth Grammar Trailing NumberLength \
                NumberOverflow Surrogate Duplicate Precedence Accepted",
    },
    Suite {
        name: "ids",
        answer: Some(records::ids),
        fields: "merkle_root epoch shard_id",
        flags: "FirstPrototype Epoch ShardId Root",
    },
    Suite {
        name: "digests",
        answer: Some(records::digests),
        fields: "body trailing_spaces",
        flags: "FirstPrototype SameContent SameRecord OtherContent",
    },
    Suite {
        name: "records_1_0",
        answer: Some(records::records_1_0),
        fields: "body trailing_spaces",
        flags: "FirstPrototype Rfc3339 Rfc4648 Gregorian Sound Bound PastBound Type Missing \
                Unknown Format ClosedSet Spelling Version PcsId Size Json TwoFaults",
    },
    Suite {
        name: "records_0_1",
        answer: Some(verdicts::records_0_1),
        fields: "keyring tenant accepts_legacy body trailing_spaces received_at",
        flags: "FirstPrototype Rfc4231 Rfc8032 Spelling NoSpelling Escape NumberText Rounding \
                Unsigned Signed Check Spoiled ExactEdge Key Validity Version Sound Bound \
                PastBound Type Missing Format Json Size PcsId TwoFaults",
    },
    Suite {
        name: "outcomes",
        answer: Some(verdicts::outcomes),
        fields: "body trailing_spaces",
        flags: "BoxCounting Alone Together DHat Budget ExactEdge Consistency Regime Rounding \
                Median",
    },
    Suite {
        name: "signing_ed25519",
        answer: Some(keys::signing_ed25519),
        fields: "seed public message signature",
        flags: "Rfc8032 Sound Changed Length ScalarNotReduced NonCanonicalKey NonCanonicalR \
                SmallOrderKey SmallOrderR CofactorOnly MixedOrder NotOnCurve",
    },
    Suite {
        name: "signing_hmac",
        answer: Some(keys::signing_hmac),
        fields: "secret message tag",
        flags: "Rfc4231 KeyLength Truncated Changed",
    },
    Suite {
        name: "keyrings",
        answer: Some(keys::keyrings),
        fields: "keyring",
        flags: "Rfc8032 Sound Json Member Twice LegacyCount SecretLength WeakKey Pair Time",
    },
    Suite {
        name: "signing_records",
        answer: Some(keys::signing_records),
        fields: "keyring body trailing_spaces received_at",
        flags: "Rfc8032 Rfc4231 Sound Key Missing Length Mismatch Unsigned Validity Order Version",
    },
    Suite {
        name: "signals_points",
        answer: Some(signals::signals_points),
        fields: "seed scales rows rows_bits",
        flags: "BoxCounting Series Plane Space Projected SeedAndScales Magnitude CellBorder \
                Regime Refused",
    },
    Suite {
        name: "signals_bytes",
        answer: Some(signals::signals_bytes),
        fields: "seed scales data",
        flags: "BoxCounting Text Leaves Series SeedAndScales Refused",
    },
    Suite {
        name: "merkle_roots",
        answer: Some(trees::merkle_roots),
        fields: "leaves",
        flags: "CertificateTransparency Sha256 Shape Leaf Order",
    },
    Suite {
        name: "merkle_inclusion",
        answer: Some(trees::merkle_inclusion),
        fields: "size index leaf_hash root proof",
        flags: "CertificateTransparency Rfc9162Example EveryIndex Changed WrongPlace WrongCount \
                WrongLength",
    },
    Suite {
        name: "merkle_consistency",
        answer: Some(trees::merkle_consistency),
        fields: "size1 size2 root1 root2 proof",
        flags: "CertificateTransparency Rfc9162Example Grown Equal Empty Changed WrongPlace \
                WrongCount WrongLength",
    },
    Suite {
        name: "ring",
        answer: Some(trees::ring),
        fields: "shards tenant pcs_id",
        flags: "Karger DefaultSet Wrapped OnAPoint Tie Weighted ShardMore Tenant Refused",
    },
    // Asks a server, and is known here by its name.
    Suite { name: "http_exchanges", answer: None, fields: "", flags: "" },
];

/// Returns what is known of a file, given its name without the ending.
#[must_use]
pub fn suite(name: &str) -> Option<&'static Suite> {
    SUITES.iter().find(|suite| suite.name == name)
}
