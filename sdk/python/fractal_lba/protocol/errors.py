"""The error tree: what failed, and what to do about it.

::

    FractalError
    ├── ContractError          refuse it: the input breaks a rule, and always will
    │   ├── Refusal            a record refused with a stable code, reason and member
    │   └── KeyringError       a keyring file refused as a whole
    ├── DurabilityError        stop and keep the record: what is on disk is in doubt
    │   ├── CorruptionError    stored bytes are not what was written
    │   ├── FullError          there is no room on the disk: nothing was written, nothing is fenced
    │   ├── FencedError        a write failed earlier; nothing is written until recovery
    │   └── LockedError        another process holds the folder or stream
    └── UnavailableError       try again later, not before ``retry_after_s``

A message reads ``where: expected X, got Y``. It never holds a secret or a payload, so that it can
be logged and sent to a caller as it is.
"""

from enum import StrEnum


class FractalError(Exception):
    """Every error this project raises on purpose."""


class ContractError(FractalError):
    """The input breaks a rule: refuse it, a repeat will fail in the same way."""


class RefusalCode(StrEnum):
    """The stable codes under which a record is refused (``specs/pcs.md`` section 1.3)."""

    TOO_LARGE = "too_large"
    BAD_ENCODING = "bad_encoding"
    MALFORMED_JSON = "malformed_json"
    UNSUPPORTED_VERSION = "unsupported_version"
    INVALID_RECORD = "invalid_record"
    PCS_ID_MISMATCH = "pcs_id_mismatch"
    UNKNOWN_KEY = "unknown_key"
    SIGNATURE_MISSING = "signature_missing"
    SIGNATURE_INVALID = "signature_invalid"
    KEY_NOT_VALID_NOW = "key_not_valid_now"
    TENANT_MISMATCH = "tenant_mismatch"
    BEYOND_HORIZON = "beyond_horizon"
    UNSIGNED_MEMBER_MISMATCH = "unsigned_member_mismatch"


class Refusal(ContractError):  # noqa: N818  # the domain's word for it
    """A record that must not be accepted, with the one rule it breaks first.

    Attributes:
        code: what a caller branches on.
        reason: the rule, a snake_case word that is stable too.
        member: the path of the offending member (``N_j.4``), where there is one.
    """

    def __init__(
        self, code: RefusalCode, reason: str, message: str, *, member: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.member = member


class KeyringError(ContractError):
    """A keyring that cannot be used: nothing of it was taken over."""


class DurabilityError(FractalError):
    """What is on disk is in doubt: stop, keep the record, answer nothing from it."""


class CorruptionError(DurabilityError):
    """Stored bytes do not verify."""


class FullError(DurabilityError):
    """The disk has no room for it. Nothing was written: the same may be tried again later."""


class FencedError(DurabilityError):
    """The stream refuses to write since an earlier write failed; recovery reopens it."""


class LockedError(DurabilityError):
    """Another process holds the lock."""


class UnavailableError(FractalError):
    """The other side cannot answer now: try again later.

    Attributes:
        retry_after_s: how long the other side asked to be left alone, when it said so.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
