"""What the inbox says of a body beside the body, and the marks that finish it.

A frame's meta block is one byte for the kind, then msgpack: for a body the route it came by, its
content encoding, the tenant that the transport identified and the tenant header; for a mark
nothing. A mark's payload is the sequence numbers it finishes, u64 little-endian each; one kind of
mark finishes what was decided, another what was refused and is kept for a while.
"""

import struct
from collections.abc import Sequence

import msgspec

from fractal_lba.protocol.errors import CorruptionError
from fractal_lba.protocol.undecodable import UNDECODABLE

_BODY = b"\x01"
_DECIDED = b"\x02"
_REFUSED = b"\x03"

FINISHED_IN_A_MARK_MAX = 8_192
"""64 KiB of sequence numbers: a mark never outgrows a body."""


SUBMIT = "submit"
BATCH = "batch"


class Received(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """How a body arrived: everything that decides it later and is not in it.

    ``identified_tenant`` comes from a verified token, ``tenant_header`` from ``X-Tenant-Id`` and is
    only ever compared with the tenant of the key.
    """

    route: str = SUBMIT
    content_encoding: str = ""
    identified_tenant: str | None = None
    tenant_header: str | None = None


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Received)


def encode_received(received: Received) -> bytes:
    """Return the meta block of a body's frame."""
    return _BODY + _ENCODER.encode(received)


def decode_received(meta: bytes) -> Received | None:
    """Return what a body's meta block says, or ``None`` where the frame is a mark.

    Raises:
        CorruptionError: The block is neither; the frame verified, so another program wrote it.
    """
    kind = meta[:1]
    if kind in {_DECIDED, _REFUSED}:
        return None
    if kind != _BODY:
        raise CorruptionError(
            f"inbox frame: expected kind 1, 2 or 3, got {kind.hex() or 'nothing'}"
        )
    try:
        return _DECODER.decode(meta[1:])
    except UNDECODABLE as error:
        raise CorruptionError(
            "inbox frame: expected a meta block of this version, got another"
        ) from error


def encode_finished(seqs: Sequence[int], *, is_refused: bool = False) -> tuple[bytes, bytes]:
    """Return the meta block and the payload of a mark that finishes ``seqs``."""
    return _REFUSED if is_refused else _DECIDED, struct.pack(f"<{len(seqs)}Q", *seqs)


def says_refused(meta: bytes) -> bool:
    """Tell whether a mark's meta block says that what it finishes was refused."""
    return meta[:1] == _REFUSED


def decode_finished(payload: bytes) -> tuple[int, ...]:
    """Return the sequence numbers a mark finishes.

    Raises:
        CorruptionError: The payload is not a whole number of them.
    """
    count, rest = divmod(len(payload), 8)
    if rest:
        raise CorruptionError(f"inbox mark: expected a multiple of 8 bytes, got {len(payload)}")
    return struct.unpack(f"<{count}Q", payload)
