"""Keys and values of the index, as bytes and back.

``records``: ``tenant NUL family NUL pcs_id`` (the last as 32 bytes) → a msgpack array of decision
number, segment, offset, received_ns, content digest, the conflicts, status, what a listing says of
the record (version, shard_id, epoch, regime), the resolutions, the record's bytes, and from when
until when it is kept. ``usage``: ``tenant NUL day`` (u32 big-endian) → a msgpack array of records
and bytes. ``floors``: ``tenant`` → a msgpack integer. Each value stands behind a CRC-32C of key and
value: LMDB has no checksums, and a flipped bit must not turn a repeat into a conflict.
"""

import msgspec
from crc32c import crc32c

from fractal_lba.protocol.errors import CorruptionError
from fractal_lba.server.core.forgetting import Kept
from fractal_lba.server.core.known import Known, KnownConflict, KnownResolution, Place, RecordKey
from fractal_lba.server.core.listing import Summary
from fractal_lba.server.core.usage import Usage

_KEY_TENANT_END = b"\x00"
_SEAL_BYTES = 4
_DAY_BYTES = 4


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
    return _KEY_TENANT_END.join(
        (key.tenant.encode(), key.family.encode(), bytes.fromhex(key.pcs_id))
    )


def record_key_of(key: bytes) -> RecordKey:
    """Return what a key stands for."""
    tenant, family, pcs_id = key.split(_KEY_TENANT_END, 2)
    return RecordKey(tenant.decode(), family.decode(), pcs_id.hex())


def sealed(key: bytes, data: bytes) -> bytes:
    """Return a value that holds data."""
    return crc32c(data, crc32c(key)).to_bytes(_SEAL_BYTES, "little") + data


def unsealed(key: bytes, value: bytes) -> bytes:
    """Return the data that a value holds.

    Raises:
        CorruptionError: It does not verify.
    """
    data = value[_SEAL_BYTES:]
    if sealed(key, data) != value:
        raise CorruptionError("index: expected a value that verifies, got another")
    return data


def known_bytes(key: bytes, known: Known) -> bytes:
    """Return the value of what is remembered under a key."""
    data = _ENCODER.encode(
        _Value(
            seq=known.place.seq,
            segment=known.place.segment,
            offset=known.place.offset,
            received_ns=known.received_ns,
            content_digest=bytes.fromhex(known.content_digest),
            conflicts=tuple(
                _ConflictValue(
                    bytes.fromhex(conflict.content_digest),
                    conflict.received_ns,
                    conflict.place.seq,
                    conflict.place.segment,
                    conflict.place.offset,
                )
                for conflict in known.conflicts
            ),
            status=known.status,
            version=known.summary.version,
            shard_id=known.summary.shard_id,
            epoch=known.summary.epoch,
            regime=known.summary.regime,
            resolutions=tuple(
                (each.received_ns, each.place.seq, each.place.segment, each.place.offset)
                for each in known.resolutions
            ),
            size=known.size,
            kept=known.kept,
        )
    )
    return sealed(key, data)


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
