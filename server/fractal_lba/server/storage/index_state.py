"""What an index says of itself, committed together with its entries: format, origin, checkpoint."""

import msgspec

from fractal_lba.protocol.errors import CorruptionError
from fractal_lba.protocol.undecodable import UNDECODABLE
from fractal_lba.server.core.forgetting import Mark
from fractal_lba.server.storage.index_values import sealed, unsealed

FORMAT_VERSION = 3

META_STATE = b"state"
"""Its key in ``meta``."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The last ledger entry that the index holds: number, segment, checksum of its payload.

    A replay begins at the first entry of that segment, ``segment_first_seq``.
    """

    seq: int
    segment: int
    segment_first_seq: int
    payload_crc32c: int


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is committed together with the entries.

    ``losses`` see ``ports.Shard``; up to the number ``accepted_seq`` the operator accepted them.
    ``marks`` and ``as_of_ms`` say what is forgotten (see ``core.forgetting``).
    """

    format_version: int = FORMAT_VERSION
    data_id: str | None = None
    checkpoint: Checkpoint | None = None
    losses: tuple[tuple[int, int], ...] = ()
    accepted_seq: int = 0
    marks: tuple[Mark, ...] = ()
    as_of_ms: int | None = None


_STATES = msgspec.msgpack.Decoder(State)
_ENCODER = msgspec.msgpack.Encoder()


def state_bytes(state: State) -> bytes:
    """Return the value of a state."""
    return sealed(META_STATE, _ENCODER.encode(state))


def state_of(value: bytes) -> State:
    """Return the state that a value holds, of whatever format version.

    Raises:
        CorruptionError: It does not verify, or is none.
    """
    try:
        return _STATES.decode(unsealed(META_STATE, value))
    except UNDECODABLE as error:
        raise CorruptionError("index: expected a state, got something else") from error
