"""Ledger entries: values in, bytes out, and back.

A ledger frame's meta block is the entry format's version (u16 little-endian); its payload is
msgpack with named members and the kind under ``kind``. The *decision number* of an entry is its
frame's sequence number, and its receipt is the frame's ``received_ns``: neither is stored twice.
"""

import struct

import msgspec

from fractal_lba.protocol.errors import CorruptionError

ENTRY_VERSION = 1
META = struct.pack("<H", ENTRY_VERSION)


class Decision(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="decision"):
    """One record, decided: what every later repeat is answered from.

    ``record`` holds the canonical bytes with ``sig`` and without ``delivery``; ``answer`` the exact
    body that was sent with ``status`` (200, 202 or 422); ``region`` names where it was decided.
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


class Conflict(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="conflict"):
    """Evidence of another content that was signed under a decided id."""

    tenant: str
    family: str
    pcs_id: str
    record_digest: str
    content_digest: str
    kid: str
    record: bytes


Entry = Decision | Conflict

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Entry] = msgspec.msgpack.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    """Return the payload of the entry's frame; its meta block is ``META``."""
    return _ENCODER.encode(entry)


def decode_entry(meta: bytes, payload: bytes) -> Entry:
    """Return the entry that a ledger frame holds.

    Raises:
        CorruptionError: The frame verified but holds no entry of a version this program reads.
    """
    if meta != META:
        got = struct.unpack("<H", meta)[0] if len(meta) == len(META) else f"{len(meta)} bytes"
        raise CorruptionError(f"ledger entry: expected format version {ENTRY_VERSION}, got {got}")
    try:
        return _DECODER.decode(payload)
    except msgspec.DecodeError as error:
        raise CorruptionError(
            "ledger entry: expected a decision or a conflict, got something else"
        ) from error
