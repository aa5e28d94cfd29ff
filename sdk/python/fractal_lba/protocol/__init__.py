"""What a record is, and what two programs must agree on about it: bytes in, values out.

Pure: no I/O, no clock, no randomness; times and secrets are arguments. ``specs/pcs.md`` is the
normative text.
"""

from fractal_lba.protocol.authenticate import (
    LEGACY_TENANT,
    Authenticated,
    authenticate,
    sign_record,
)
from fractal_lba.protocol.canonical import SAFE_INTEGER_MAX, JsonValue, canonical
from fractal_lba.protocol.derive import Regime, budget, d_hat, regime, rounded, theil_sen_slope
from fractal_lba.protocol.document import RECORD_BYTES_MAX, SCHEMA
from fractal_lba.protocol.errors import (
    ContractError,
    CorruptionError,
    DurabilityError,
    FencedError,
    FractalError,
    KeyringError,
    LockedError,
    Refusal,
    RefusalCode,
    UnavailableError,
)
from fractal_lba.protocol.identity import content_digest, pcs_id, record_digest, signing_input
from fractal_lba.protocol.judge import (
    CURRENT_PARAMS,
    LEGACY_PARAMS,
    PARAMS,
    Outcome,
    Params,
    Reason,
    decision_body,
    judge,
)
from fractal_lba.protocol.keyring import Alg, Identity, Key, Keyring, Scope, parse_keyring
from fractal_lba.protocol.legacy_judge import judge_legacy, legacy_d_hat
from fractal_lba.protocol.legacy_record import (
    LEGACY_VERSION,
    LegacyRecord,
    LegacySigned,
    parse_legacy_record,
)
from fractal_lba.protocol.legacy_signing import legacy_digest, verify_legacy
from fractal_lba.protocol.merkle import (
    inclusion_proof,
    leaf_hash,
    merkle_root,
    merkle_root_of_hashes,
    verify_consistency,
    verify_inclusion,
)
from fractal_lba.protocol.reading import parse_record, record_from_members
from fractal_lba.protocol.record import (
    VERSION,
    Delivery,
    FaultTolerance,
    Profile,
    Record,
    sent_bytes,
    stored_bytes,
)
from fractal_lba.protocol.signing import (
    ed25519_public,
    sign_ed25519,
    sign_hmac,
    verify_ed25519,
    verify_hmac,
)
from fractal_lba.protocol.strict_base64 import decode_base64, encode_base64
from fractal_lba.protocol.strict_json import JCS_DEPTH_MAX, RECORD_DEPTH_MAX, parse_json
from fractal_lba.protocol.timestamps import format_timestamp, parse_timestamp
from fractal_lba.protocol.versions import (
    IN_FORCE,
    AnyRecord,
    Stored,
    is_remembered,
    judge_any,
    key_member,
    parse_any_record,
    read_stored,
    stored_bytes_of,
)

__all__ = [
    "CURRENT_PARAMS",
    "IN_FORCE",
    "JCS_DEPTH_MAX",
    "LEGACY_PARAMS",
    "LEGACY_TENANT",
    "LEGACY_VERSION",
    "PARAMS",
    "RECORD_BYTES_MAX",
    "RECORD_DEPTH_MAX",
    "SAFE_INTEGER_MAX",
    "SCHEMA",
    "VERSION",
    "Alg",
    "AnyRecord",
    "Authenticated",
    "ContractError",
    "CorruptionError",
    "Delivery",
    "DurabilityError",
    "FaultTolerance",
    "FencedError",
    "FractalError",
    "Identity",
    "JsonValue",
    "Key",
    "Keyring",
    "KeyringError",
    "LegacyRecord",
    "LegacySigned",
    "LockedError",
    "Outcome",
    "Params",
    "Profile",
    "Reason",
    "Record",
    "Refusal",
    "RefusalCode",
    "Regime",
    "Scope",
    "Stored",
    "UnavailableError",
    "authenticate",
    "budget",
    "canonical",
    "content_digest",
    "d_hat",
    "decision_body",
    "decode_base64",
    "ed25519_public",
    "encode_base64",
    "format_timestamp",
    "inclusion_proof",
    "is_remembered",
    "judge",
    "judge_any",
    "judge_legacy",
    "key_member",
    "leaf_hash",
    "legacy_d_hat",
    "legacy_digest",
    "merkle_root",
    "merkle_root_of_hashes",
    "parse_any_record",
    "parse_json",
    "parse_keyring",
    "parse_legacy_record",
    "parse_record",
    "parse_timestamp",
    "pcs_id",
    "read_stored",
    "record_digest",
    "record_from_members",
    "regime",
    "rounded",
    "sent_bytes",
    "sign_ed25519",
    "sign_hmac",
    "sign_record",
    "signing_input",
    "stored_bytes",
    "stored_bytes_of",
    "theil_sen_slope",
    "verify_consistency",
    "verify_ed25519",
    "verify_hmac",
    "verify_inclusion",
    "verify_legacy",
]
