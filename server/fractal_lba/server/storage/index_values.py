"""Keys and values of the index, as bytes and back.

``records``: ``tenant NUL family NUL pcs_id`` (the last as 32 bytes) → a msgpack array of decision
number, segment, offset, received_ns, content digest, the conflicts, status, what a listing says of
the record (version, shard_id, epoch, regime), the resolutions, the record's bytes, and from when
until when it is kept. ``usage``: ``tenant NUL day`` (u32 big-endian) → a msgpack array of records
and bytes. ``floors``: ``tenant`` → a msgpack integer. Each value stands behind a CRC-32C of key and
value: LMDB has no checksums, and a flipped bit must not turn a repeat into a conflict.
"""

import struct
from functools import lru_cache

import msgspec
from crc32c import crc32c

from fractal_lba.protocol.errors import CorruptionError
from fractal_lba.server.core.forgetting import Kept
from fractal_lba.server.core.known import Known, KnownConflict, KnownResolution, Place, RecordKey
from fractal_lba.server.core.listing import Summary
from fractal_lba.server.core.usage import Usage

_KEY_TENANT_END = b"\x00"
_SEAL = struct.Struct("<I")
_DAY_BYTES = 4
_PREFIXES_CACHED = 1_024
"""For each tenant that sends at a time there are one or two."""


class _ConflictValue(msgspec.Struct, frozen=True, array_like=True):
    content_digest: bytes
    received_ns: int
    seq: int
    segment: int
    offset: int


class _Value(msgspec.Struct, frozen=True, array_like=True):
    seq: int
    segment: int
    offset: int
    received_ns: int
    content_digest: bytes
    conflicts: tuple[_ConflictValue, ...]
    status: int
    version: str
    shard_id: str
    epoch: int
    regime: str
    resolutions: tuple[tuple[int, int, int, int], ...]
    size: int
    kept: Kept | None


_VALUES = msgspec.msgpack.Decoder(_Value)
_USAGES = msgspec.msgpack.Decoder(tuple[int, int])
_FLOORS = msgspec.msgpack.Decoder(int)
_ENCODER = msgspec.msgpack.Encoder()


def record_key_bytes(key: RecordKey) -> bytes:
    """Return the key of what is remembered."""
    tenant, family, pcs_id = key
    return _prefix(tenant, family) + bytes.fromhex(pcs_id)


@lru_cache(maxsize=_PREFIXES_CACHED)
def _prefix(tenant: str, family: str) -> bytes:
    return _KEY_TENANT_END.join((tenant.encode(), family.encode(), b""))


def record_key_of(key: bytes) -> RecordKey:
    """Return what a key stands for."""
    tenant, family, pcs_id = key.split(_KEY_TENANT_END, 2)
    return RecordKey(tenant.decode(), family.decode(), pcs_id.hex())


def sealed(key: bytes, data: bytes) -> bytes:
    """Return a value that holds data."""
    return _SEAL.pack(crc32c(key + data)) + data


def unsealed(key: bytes, value: bytes) -> bytes:
    """Return the data that a value holds.

    Raises:
        CorruptionError: It does not verify.
    """
    data = value[_SEAL.size :]
    if sealed(key, data) != value:
        raise CorruptionError("index: expected a value that verifies, got another")
    return data


def known_bytes(key: bytes, known: Known) -> bytes:
    """Return the value of what is remembered under a key."""
    place, summary = known.place, known.summary
    data = _ENCODER.encode(
        (  # as ``_Value`` is read, without making one for each record
            place.seq,
            place.segment,
            place.offset,
            known.received_ns,
            bytes.fromhex(known.content_digest),
            [
                (bytes.fromhex(each.content_digest), each.received_ns, *_numbers(each.place))
                for each in known.conflicts
            ],
            known.status,
            summary.version,
            summary.shard_id,
            summary.epoch,
            summary.regime,
            [(each.received_ns, *_numbers(each.place)) for each in known.resolutions],
            known.size,
            known.kept,
        )
    )
    return sealed(key, data)


def _numbers(place: Place) -> tuple[int, int, int]:
    return place.seq, place.segment, place.offset


def known_of(key: bytes, value: bytes) -> Known:
    """Return what is remembered under a key.

    Raises:
        CorruptionError: The value does not verify.
    """
    decoded = _VALUES.decode(unsealed(key, value))
    return Known(
        content_digest=decoded.content_digest.hex(),
        received_ns=decoded.received_ns,
        place=Place(seq=decoded.seq, segment=decoded.segment, offset=decoded.offset),
        conflicts=tuple(
            KnownConflict(
                content_digest=conflict.content_digest.hex(),
                received_ns=conflict.received_ns,
                place=Place(seq=conflict.seq, segment=conflict.segment, offset=conflict.offset),
            )
            for conflict in decoded.conflicts
        ),
        status=decoded.status,
        summary=Summary(
            version=decoded.version,
            shard_id=decoded.shard_id,
            epoch=decoded.epoch,
            regime=decoded.regime,
        ),
        resolutions=tuple(
            KnownResolution(
                received_ns=received_ns, place=Place(seq=seq, segment=segment, offset=offset)
            )
            for received_ns, seq, segment, offset in decoded.resolutions
        ),
        size=decoded.size,
        kept=decoded.kept,
    )


def tenant_day_bytes(tenant: str, day: int) -> bytes:
    """Return the key of what a tenant sent in a day (days since 1970)."""
    return tenant.encode() + _KEY_TENANT_END + day.to_bytes(_DAY_BYTES, "big")


def tenant_day_of(key: bytes) -> tuple[str, int]:
    """Return the tenant and the day that a key stands for."""
    tenant, day = key.split(_KEY_TENANT_END, 1)
    return tenant.decode(), int.from_bytes(day, "big")


def usage_bytes(key: bytes, usage: Usage) -> bytes:
    """Return the value of what was sent."""
    return sealed(key, _ENCODER.encode((usage.records, usage.bytes)))


def usage_of(key: bytes, value: bytes) -> Usage:
    """Return what was sent.

    Raises:
        CorruptionError: The value does not verify.
    """
    records, size = _USAGES.decode(unsealed(key, value))
    return Usage(records=records, bytes=size)


def floor_bytes(key: bytes, floor_ms: int) -> bytes:
    """Return the value of a tenant's floor."""
    return sealed(key, _ENCODER.encode(floor_ms))


def floor_of(key: bytes, value: bytes) -> int:
    """Return a tenant's floor.

    Raises:
        CorruptionError: The value does not verify.
    """
    return _FLOORS.decode(unsealed(key, value))
