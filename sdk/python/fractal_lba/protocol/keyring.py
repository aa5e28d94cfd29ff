"""The keyring: whose keys sign, whose tokens and certificates speak, and in which time.

A ring is read whole or not at all: one wrong entry refuses the file. The algorithm and the tenant
belong to the key, never to a message. A refusal names the entry and the member and holds no value,
since an operator may well have put a secret where a name belongs.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NoReturn

from fractal_lba.protocol.errors import ContractError, KeyringError, Refusal
from fractal_lba.protocol.record import KID
from fractal_lba.protocol.signing import (
    ED25519_PUBLIC_BYTES,
    ED25519_SEED_BYTES,
    ed25519_public,
    is_strict_point,
)
from fractal_lba.protocol.strict_base64 import decode_base64
from fractal_lba.protocol.strict_json import RECORD_DEPTH_MAX, parse_json
from fractal_lba.protocol.timestamps import parse_timestamp

HMAC_SECRET_BYTES_MIN: Final = 32

LEGACY_KEYS_MAX: Final = 8
"""Of one tenant: a record of version 0.1 names no key, and a forged one is tried with all."""

TENANT: Final = KID  # a tenant is named like a key
_SHA256_HEX: Final = re.compile(r"[0-9a-f]{64}")
_MISSING: Final = object()


class Alg(StrEnum):
    """How a key signs."""

    HMAC_SHA256 = "hmac-sha256"
    ED25519 = "ed25519"


class Scope(StrEnum):
    """What a caller may ask for."""

    SUBMIT = "submit"
    READ = "read"
    OPERATE = "operate"


def is_within(ms: int, first_ms: int | None, last_ms: int | None) -> bool:
    """Return whether a time is within bounds that count, all in ms since 1970; none is no bound."""
    return (first_ms is None or first_ms <= ms) and (last_ms is None or ms <= last_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of a tenant.

    Attributes:
        kid: what a record calls it, unique in a ring.
        public: 32 bytes for Ed25519, none for HMAC.
        secret: the HMAC secret, or the Ed25519 seed where this ring can sign. Never shown.
        not_before_ms: first millisecond since 1970 it is valid at; none for always.
        not_after_ms: the last one; none for ever.
        legacy: also tried on records of version 0.1, for which a secret of any length will do.
    """

    kid: str
    tenant: str
    alg: Alg
    public: bytes | None
    secret: bytes | None = field(repr=False)
    not_before_ms: int | None
    not_after_ms: int | None
    legacy: bool

    @property
    def is_short(self) -> bool:
        """Whether the secret is too short for anything but records of version 0.1."""
        return (
            self.alg is Alg.HMAC_SHA256
            and self.secret is not None
            and len(self.secret) < HMAC_SECRET_BYTES_MIN
        )

    def is_valid_at(self, ms: int) -> bool:
        """Return whether the key is valid at a time in milliseconds since 1970; bounds count."""
        return is_within(ms, self.not_before_ms, self.not_after_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A bearer token or a client certificate of a tenant, known by its SHA-256 only."""

    tenant: str
    sha256: bytes = field(repr=False)
    scopes: frozenset[Scope]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """Every key by its kid, every token and every client certificate by its SHA-256."""

    keys: Mapping[str, Key]
    tokens: Mapping[bytes, Identity] = field(repr=False)
    certificates: Mapping[bytes, Identity] = field(default_factory=dict, repr=False)
    _legacy_keys: Mapping[str, tuple[Key, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:  # noqa: D105 - sorts the keys once, not for every record
        legacy_keys: dict[str, tuple[Key, ...]] = {}
        for key in self.keys.values():
            if key.legacy:
                legacy_keys[key.tenant] = (*legacy_keys.get(key.tenant, ()), key)
        object.__setattr__(self, "_legacy_keys", legacy_keys)

    def legacy_keys(self, tenant: str) -> tuple[Key, ...]:
        """Return the keys a tenant's records of version 0.1 are tried with, in the file's order."""
        return self._legacy_keys.get(tenant, ())

    def key(self, kid: str) -> Key | None:
        """Return the key of that name."""
        return self.keys.get(kid)

    def token(self, bearer: str) -> Identity | None:
        """Return the token a bearer text stands for.

        Looked up by its digest: what the time taken may tell is a digest's, which gives no token.
        """
        try:
            return self.tokens.get(hashlib.sha256(bearer.encode()).digest())
        except UnicodeEncodeError:  # a header with other bytes, which HTTP readers smuggle in
            return None

    def certificate(self, der: bytes) -> Identity | None:
        """Return whose client certificate these DER bytes are."""
        return self.certificates.get(hashlib.sha256(der).digest())


def parse_keyring(data: bytes, resolve: Callable[[str], bytes]) -> Keyring:
    """Return the keyring a file's bytes hold.

    Args:
        data: strict JSON, ``{"keys": […], "tokens": […], "certificates": […]}``; the last two may
            be absent.
        resolve: returns the bytes an ``env:NAME`` or ``file:PATH`` stands for, or raises
            `KeyringError`. What it returns is the secret as it is, unless it starts with
            ``base64:``: then the rest, up to one line end, is decoded.

    Raises:
        KeyringError: The file breaks a rule; the message names the entry and the member.
    """
    try:
        ring = parse_json(data, depth_max=RECORD_DEPTH_MAX)
    except Refusal as refusal:
        raise KeyringError(f"keyring: expected strict JSON, got {refusal.reason}") from refusal
    top = _Entry(ring, "keyring")
    key_entries = top.array("keys")
    tokens = _identities(top, "tokens")
    certificates = _identities(top, "certificates")
    top.finish()
    keys: dict[str, Key] = {}
    legacy_counts: Counter[str] = Counter()
    for index, entry in enumerate(key_entries):
        key = _key(_Entry(entry, f"keys[{index}]"), resolve)
        if key.kid in keys:
            raise KeyringError(f'keys[{index}] kid: expected each once, got "{key.kid}" again')
        keys[key.kid] = key
        legacy_counts[key.tenant] += key.legacy
        if legacy_counts[key.tenant] > LEGACY_KEYS_MAX:
            raise KeyringError(
                f"keys[{index}] legacy: expected at most {LEGACY_KEYS_MAX} of a tenant, got more"
            )
    return Keyring(keys=MappingProxyType(keys), tokens=tokens, certificates=certificates)


def _key(entry: "_Entry", resolve: Callable[[str], bytes]) -> Key:
    kid = entry.match("kid", KID)
    entry.where += f' kid "{kid}"'
    tenant = entry.match("tenant", TENANT)
    alg = Alg(entry.one_of("alg", tuple(Alg)))
    legacy = entry.boolean("legacy")
    public = _public(entry)
    secret = _secret(entry, resolve)
    not_before_ms = entry.timestamp("not_before")
    not_after_ms = entry.timestamp("not_after")
    entry.finish()
    if None not in (not_before_ms, not_after_ms) and not_before_ms > not_after_ms:  # type: ignore[operator]
        entry.refuse("not_after", "a time from not_before on", "an earlier one")
    if alg is Alg.HMAC_SHA256:
        _check_hmac(entry, public, secret, is_legacy=legacy)
    else:
        public = _checked_public(entry, public, secret)
    return Key(
        kid=kid,
        tenant=tenant,
        alg=alg,
        public=public,
        secret=secret,
        not_before_ms=not_before_ms,
        not_after_ms=not_after_ms,
        legacy=legacy,
    )


def _check_hmac(
    entry: "_Entry", public: bytes | None, secret: bytes | None, *, is_legacy: bool
) -> None:
    if public is not None:
        entry.refuse("public", "none for hmac-sha256", "one")
    if secret is None:
        entry.refuse("secret", "one for hmac-sha256", "none")
    least = 1 if is_legacy else HMAC_SECRET_BYTES_MIN
    if len(secret) < least:
        entry.refuse("secret", f"at least {least} bytes", f"{len(secret)}")


def _checked_public(entry: "_Entry", public: bytes | None, secret: bytes | None) -> bytes:
    if secret is not None:
        if len(secret) != ED25519_SEED_BYTES:
            entry.refuse("secret", f"a seed of {ED25519_SEED_BYTES} bytes", f"{len(secret)}")
        derived = ed25519_public(secret)
        if public is not None and public != derived:
            entry.refuse("public", "the public key of the secret", "another key")
        return derived
    if public is None:
        entry.refuse("public", "a public key or a secret for ed25519", "neither")
    if len(public) != ED25519_PUBLIC_BYTES:
        entry.refuse("public", f"{ED25519_PUBLIC_BYTES} bytes", f"{len(public)}")
    if not is_strict_point(public):
        # With a point of small order one signature verifies for many messages.
        entry.refuse("public", "a canonical point of large order", "another")
    return public


def _public(entry: "_Entry") -> bytes | None:
    if "public" not in entry.members:
        return None
    text = entry.text("public")
    if not text.startswith("base64:"):
        entry.refuse("public", "base64:…", "another text")
    return _decoded(entry, "public", text)


def _secret(entry: "_Entry", resolve: Callable[[str], bytes]) -> bytes | None:
    if "secret" not in entry.members:
        return None
    text = entry.text("secret")
    if text.startswith("base64:"):
        return _decoded(entry, "secret", text)
    if not text.startswith(("env:", "file:")):
        entry.refuse("secret", "base64:…, env:NAME or file:PATH", "another text")
    try:
        value = resolve(text)
    except KeyringError as error:
        raise KeyringError(f"{entry.where} secret: {error}") from error
    if not value.startswith(b"base64:"):
        return value
    try:
        line = value.decode("ascii")
    except UnicodeDecodeError:
        entry.refuse("secret", "base64 after base64:", "other bytes")
    return _decoded(entry, "secret", line.removesuffix("\n").removesuffix("\r"))


def _decoded(entry: "_Entry", member: str, text: str) -> bytes:
    try:
        return decode_base64(text.removeprefix("base64:"))
    except ContractError:
        entry.refuse(member, "standard base64 with padding after base64:", "another text")


def _identities(top: "_Entry", member: str) -> Mapping[bytes, Identity]:
    found: dict[bytes, Identity] = {}
    for index, entry in enumerate(top.array(member) if member in top.members else []):
        identity = _identity(_Entry(entry, f"{member}[{index}]"))
        if identity.sha256 in found:
            raise KeyringError(f"{member}[{index}] sha256: expected each once, got one again")
        found[identity.sha256] = identity
    return MappingProxyType(found)


def _identity(entry: "_Entry") -> Identity:
    tenant = entry.match("tenant", TENANT)
    sha256 = bytes.fromhex(entry.match("sha256", _SHA256_HEX))
    scopes: set[Scope] = set()
    for item in entry.array("scopes"):
        if not isinstance(item, str) or item not in tuple(Scope) or item in scopes:
            entry.refuse("scopes", f"{', '.join(Scope)}, each at most once", "something else")
        scopes.add(Scope(item))
    entry.finish()
    return Identity(tenant=tenant, sha256=sha256, scopes=frozenset(scopes))


class _Entry:
    """One object of the file, read member by member; `finish` refuses what was not read."""

    def __init__(self, value: object, where: str) -> None:
        self.where = where
        if not isinstance(value, dict):
            raise KeyringError(f"{where}: expected an object, got another value")
        self.members: dict[str, object] = value
        self._read: set[str] = set()

    def refuse(self, member: str, expected: str, got: str) -> NoReturn:
        raise KeyringError(f"{self.where} {member}: expected {expected}, got {got}")

    def text(self, member: str) -> str:
        value = self._value(member)
        if not isinstance(value, str):
            self.refuse(member, "a string", "nothing" if value is _MISSING else "another type")
        return value

    def match(self, member: str, pattern: re.Pattern[str]) -> str:
        text = self.text(member)
        if pattern.fullmatch(text) is None:
            self.refuse(member, f"a match of {pattern.pattern}", "another text")
        return text

    def one_of(self, member: str, choices: tuple[str, ...]) -> str:
        text = self.text(member)
        if text not in choices:
            self.refuse(member, " or ".join(choices), "another text")
        return text

    def array(self, member: str) -> list[object]:
        value = self._value(member)
        if not isinstance(value, list):
            self.refuse(member, "an array", "nothing" if value is _MISSING else "another type")
        return value

    def boolean(self, member: str) -> bool:
        value = self._value(member)
        if value is _MISSING:
            return False
        if not isinstance(value, bool):
            self.refuse(member, "true or false", "another type")
        return value

    def timestamp(self, member: str) -> int | None:
        value = self._value(member)
        if value is _MISSING or value is None:
            return None
        text = self.text(member)
        try:
            return parse_timestamp(text)
        except ContractError:
            self.refuse(member, "YYYY-MM-DDTHH:MM:SS.mmmZ or null", "another text")

    def finish(self) -> None:
        unknown = self.members.keys() - self._read
        if unknown:
            # The name is not shown: it may be a secret on the wrong side of the colon.
            raise KeyringError(f"{self.where}: expected known members, got {len(unknown)} unknown")

    def _value(self, member: str) -> object:
        self._read.add(member)
        return self.members.get(member, _MISSING)
