/** What the runner knows of each file: the members of an input, and the flags of its cases. */
export const SUITES = {
  canonical: {
    fields: "document",
    flags:
      "Rfc8785Example Rfc8785AppendixB Rfc8259Example NumberText StringText NameOrder " +
      "WhiteSpace Structure",
  },
  json_refusals: {
    fields: "layer document",
    flags:
      "Rfc3629 Rfc8259 Rfc7493 Encoding Depth Grammar Trailing NumberLength " +
      "NumberOverflow Surrogate Duplicate Precedence Accepted",
  },
  ids: {
    fields: "merkle_root epoch shard_id",
    flags:
      "FirstPrototype Epoch ShardId Root",
  },
  digests: {
    fields: "body trailing_spaces",
    flags:
      "FirstPrototype SameContent SameRecord OtherContent",
  },
  records_1_0: {
    fields: "body trailing_spaces",
    flags:
      "FirstPrototype Rfc3339 Rfc4648 Gregorian Sound Bound PastBound Type Missing " +
      "Unknown Format ClosedSet Spelling Version PcsId Size Json TwoFaults",
  },
  records_0_1: {
    fields: "keyring tenant accepts_legacy body trailing_spaces received_at",
    flags:
      "FirstPrototype Rfc4231 Rfc8032 Spelling NoSpelling Escape NumberText Rounding " +
      "Unsigned Signed Check Spoiled ExactEdge Key Validity Version Sound Bound " +
      "PastBound Type Missing Format Json Size PcsId TwoFaults",
  },
  outcomes: {
    fields: "body trailing_spaces",
    flags:
      "BoxCounting Alone Together DHat Budget ExactEdge Consistency Regime Rounding " +
      "Median",
  },
  signing_ed25519: {
    fields: "seed public message signature",
    flags:
      "Rfc8032 Sound Changed Length ScalarNotReduced NonCanonicalKey NonCanonicalR " +
      "SmallOrderKey SmallOrderR CofactorOnly MixedOrder NotOnCurve",
  },
  signing_hmac: {
    fields: "secret message tag",
    flags:
      "Rfc4231 KeyLength Truncated Changed",
  },
  keyrings: {
    fields: "keyring",
    flags:
      "Rfc8032 Sound Json Member Twice LegacyCount SecretLength WeakKey Pair Time",
  },
  signing_records: {
    fields: "keyring body trailing_spaces received_at",
    flags:
      "Rfc8032 Rfc4231 Sound Key Missing Length Mismatch Unsigned Validity Order Version",
  },
  signals_points: {
    fields: "seed scales rows rows_bits",
    flags:
      "BoxCounting Series Plane Space Projected SeedAndScales Magnitude CellBorder " +
      "Regime Refused",
  },
  signals_bytes: {
    fields: "seed scales data",
    flags:
      "BoxCounting Text Leaves Series SeedAndScales Refused",
  },
  merkle_roots: {
    fields: "leaves",
    flags:
      "CertificateTransparency Sha256 Shape Leaf Order",
  },
  merkle_inclusion: {
    fields: "size index leaf_hash root proof",
    flags:
      "CertificateTransparency Rfc9162Example EveryIndex Changed WrongPlace WrongCount " +
      "WrongLength",
  },
  merkle_consistency: {
    fields: "size1 size2 root1 root2 proof",
    flags:
      "CertificateTransparency Rfc9162Example Grown Equal Empty Changed WrongPlace " +
      "WrongCount WrongLength",
  },
  ring: {
    fields: "shards tenant pcs_id",
    flags:
      "Karger DefaultSet Wrapped OnAPoint Tie Weighted ShardMore Tenant Refused",
  },
};
