//! What is known of each file of vectors: how the SDK answers it, and every field and flag.

use fractal_lba_core::Object;

use crate::answers::{documents, records, Answer};

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
];

/// Returns what is known of a file, given its name without the ending.
#[must_use]
pub fn suite(name: &str) -> Option<&'static Suite> {
    SUITES.iter().find(|suite| suite.name == name)
}
