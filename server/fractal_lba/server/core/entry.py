"""Ledger entries: values in, bytes out, and back.

A ledger frame's meta block is the entry format's version (u16 little-endian), then the major and
the minor number of the first release that reads it (a byte each; version 1 had neither); its
payload is msgpack with named members and the kind under ``kind``. The *decision number* of an entry
is its frame's sequence number, and its receipt is the frame's ``received_ns``: neither is stored
twice.
"""

import struct

import msgspec

from fractal_lba.protocol.errors import ContractError, CorruptionError
from fractal_lba.protocol.undecodable import UNDECODABLE
from fractal_lba.server.core.forgetting import Forgotten, Kept

ENTRY_VERSION = 2
_READ_SINCE = (0, 1)
META = struct.pack("<HBB", ENTRY_VERSION, *_READ_SINCE)

_META_1 = struct.pack("<H", 1)
"""Version 1 has no resolutions, no marks and no ``kept``, and is otherwise the same."""


class Decision(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="decision"):
    """One record, decided: what every later repeat is answered from.

    ``record`` holds the canonical bytes with ``sig`` and without ``delivery``; ``answer`` the exact
    body that was sent with ``status`` (200, 202 or 422); ``region`` names where it was decided.
    ``kept`` says until when it is remembered; ``None``: for ever.
    """

    tenant: str
    family: str
    pcs_id: str
    record_digest: str
    content_digest: str
    kid: str
    params_version: str
    region: str
    status: int
    answer: bytes
    record: bytes
    kept: Kept | None = None


class Conflict(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="conflict"):
    """Evidence of another content that was signed under a decided id."""

    tenant: str
    family: str
    pcs_id: str
    record_digest: str
    content_digest: str
    kid: str
    record: bytes


class Resolution(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="resolution"):
    """What somebody found about an escalated record; when is the frame's ``received_ns``.

    ``note`` is 1 to 1,024 bytes of UTF-8; ``who`` names the caller as the keyring knows it.
    """

    tenant: str
    family: str
    pcs_id: str
    note: str
    who: str


Entry = Decision | Conflict | Resolution
"""An entry about one record."""

Written = Entry | Forgotten
"""What a ledger's frames hold."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Written] = msgspec.msgpack.Decoder(Written)


def encode_entry(entry: Written) -> bytes:
    """Return the payload of the entry's frame; its meta block is ``META``."""
    return _ENCODER.encode(entry)


def require_readable(meta: bytes) -> None:
    """Check that this release reads entries of the version that a meta block names.

    Raises:
        ContractError: It does not; the message names the release that does.
    """
    if meta not in {META, _META_1}:
        raise ContractError(_refusal(meta))


def version_of(meta: bytes) -> int:
    """Return the version that a meta block names."""
    return int(struct.unpack_from("<H", meta)[0])


def decode_entry(meta: bytes, payload: bytes) -> Entry:
    """Return the entry about a record that a ledger frame holds.

    Raises:
        CorruptionError: See ``decode_written``; or the frame holds a mark.
    """
    entry = decode_written(meta, payload)
    if isinstance(entry, Forgotten):
        raise CorruptionError("ledger entry: expected one about a record, got a mark")
    return entry


def decode_written(meta: bytes, payload: bytes) -> Written:
    """Return what a ledger frame holds.

    Raises:
        CorruptionError: The frame verified but holds no entry of a version this program reads.
    """
    if meta not in {META, _META_1}:
        raise CorruptionError(_refusal(meta))
    try:
        entry = _DECODER.decode(payload)
    except UNDECODABLE as error:
        raise CorruptionError(
            "ledger entry: expected a decision, a conflict, a resolution or a mark,"
            " got something else"
        ) from error
    if meta == _META_1 and isinstance(entry, Resolution | Forgotten):
        raise CorruptionError("ledger entry: expected no resolution or mark in version 1, got one")
    return entry


def _refusal(meta: bytes) -> str:
    expected = f"ledger entry: expected format version 1 or {ENTRY_VERSION}"
    if len(meta) < len(META):
        return f"{expected}, got {len(meta)} bytes that name none"
    version, major, minor = struct.unpack_from("<HBB", meta)
    return f"{expected}, got {version}, which release {major}.{minor} and later read"
