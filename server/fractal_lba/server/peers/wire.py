"""The messages between two workers: bytes in, values out, and back.

A frame is its length (u32 little-endian, without itself) and a msgpack message. The first one of
either side is `Hello`; then the one that connected sends `Asked`, the other one `Told`. A message
carries as many requests, or answers, as were there when the one before it had been written; answers
are matched by number and come in any order. What is decided together is one request and one answer.

Only what verified is ever sent, and never a secret: of the key that verified it a record is
accompanied by the name and the time of validity, since it is told by the ring that it was verified
with whether it came in time.
"""

import struct
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from fractal_lba.server.charging import ChargeEnd
from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.entry import Entry
from fractal_lba.server.core.known import Known, NotResolved, Place, RecordKey
from fractal_lba.server.core.listing import Query, Spot
from fractal_lba.server.core.run import Verified
from fractal_lba.server.core.usage import Held, Usage
from fractal_lba.server.ports import Listed, Loss

FORMAT: Final = 2
"""Of these messages. A worker of another one is not spoken with: its shards answer 503 until it is
replaced, too."""

FRAME_BYTES_MAX: Final = 64 << 20

MESSAGE_BYTES_MAX: Final = 1 << 20
"""Of a message of more than one request or answer, and of a request of more than one record: long
enough to share its costs, short enough to be read at once."""

_REST_BYTES: Final = 1_024
"""More than the names, digests and numbers of a record that goes to be decided."""
_LENGTH: Final = struct.Struct("<I")
LENGTH_BYTES: Final = _LENGTH.size


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Who speaks.

    Attributes:
        format: Of the messages; the only member that every format has.
        data_id: The data folder's own.
        worker: The speaker's number, of ``workers``.
        shards: Those it decides for.
    """

    format: int
    data_id: str = ""
    worker: int = -1
    workers: int = 0
    shards: tuple[str, ...] = ()


class _Struct(msgspec.Struct, frozen=True, array_like=True):
    pass


class Decide(_Struct, frozen=True, tag=1):
    """See ``ports.Decisions.decide``; a run, in its order."""

    run: list[Verified]


class GetKnown(_Struct, frozen=True, tag=2):
    """See ``ports.Decisions.known``."""

    key: RecordKey


class GetEntry(_Struct, frozen=True, tag=3):
    """See ``ports.Decisions.entry``."""

    key: RecordKey
    place: Place


class ListRecords(_Struct, frozen=True, tag=4):
    """See ``ports.Decisions.list_records``."""

    tenant: str
    query: Query
    after: dict[str, Spot]
    records_max: int


class Resolve(_Struct, frozen=True, tag=5):
    """See ``ports.Decisions.append_resolution``."""

    key: RecordKey
    note: str
    who: str


class GetUsage(_Struct, frozen=True, tag=6):
    """See ``ports.Decisions.usage``."""

    tenant: str
    day: int


class Reserve(_Struct, frozen=True, tag=7):
    """See ``charging.Quotas.reserve``; ``reservation`` is the asker's number for it."""

    reservation: int
    tenant: str
    charge: Usage
    received_ns: int
    is_recovered: bool


class Settle(_Struct, frozen=True, tag=8):
    """What became of a reservation of this connection, answered by nothing."""

    reservation: int
    end: ChargeEnd


Request = Decide | GetKnown | GetEntry | ListRecords | Resolve | GetUsage | Reserve | Settle


class Answered(_Struct, frozen=True, tag=1):
    """Why nothing was reserved."""

    answer: Answer


class KnownIs(_Struct, frozen=True, tag=2):
    """What is remembered, ``None`` for nothing."""

    known: Known | None


class EntryIs(_Struct, frozen=True, tag=3):
    """An entry of the ledger."""

    entry: Entry


class Listing(_Struct, frozen=True, tag=4):
    """A page."""

    items: tuple[Listed, ...]
    next: dict[str, Spot] | None


class NotAppended(_Struct, frozen=True, tag=5):
    """Why there is no resolution."""

    why: NotResolved


class UsageIs(_Struct, frozen=True, tag=6):
    """What a tenant sent in a day."""

    held: Held


class Raised(_Struct, frozen=True, tag=7):
    """What was raised instead; ``kind`` as ``failures`` has it."""

    kind: str
    message: str
    code: str = ""
    reason: str = ""
    member: str | None = None
    retry_after_s: float | None = None


class Reserved(_Struct, frozen=True, tag=8):
    """It is charged until it is settled, or the connection ends."""


class Decided(_Struct, frozen=True, tag=9):
    """How each record of a run ended, in its order: ``failures`` has those without an answer."""

    answers: list[Answer | None]
    failures: dict[int, Raised]


Result = (
    Answered | KnownIs | EntryIs | Listing | NotAppended | UsageIs | Raised | Reserved | Decided
)


def records_of(request: Request) -> int:
    """Return for how many records a request stands: bounds are in records."""
    return len(request.run) if isinstance(request, Decide) else 1


def parts_of(run: Sequence[Verified], *, records_max: int, bytes_max: int) -> Iterator[Decide]:
    """Return requests to decide a run, in its order.

    Args:
        run: One record at the least.
        records_max: Of a request.
        bytes_max: About those of a request with more than one record.
    """
    start, size = 0, 0
    for at, each in enumerate(run):
        more = len(each.record) + len(each.answer) + _REST_BYTES
        if at > start and (at - start >= records_max or size + more > bytes_max):
            yield Decide(list(run[start:at]))
            start, size = at, 0
        size += more
    yield Decide(list(run[start:]))


class Numbered(_Struct, frozen=True):
    """A request, of which shard."""

    number: int
    shard: str
    request: Request


class Replied(_Struct, frozen=True):
    """The end of a request."""

    number: int
    result: Result


class ShardState(_Struct, frozen=True):
    """Why nothing can be decided in a shard, and what of it is lost."""

    shard: str
    fences: tuple[str, ...]
    losses: tuple[Loss, ...]


class Asked(_Struct, frozen=True):
    """Requests, in the order in which they are begun."""

    requests: list[Numbered]


class Told(_Struct, frozen=True):
    """Answers, and how the shards are where that changed."""

    replies: list[Replied]
    states: list[ShardState] | None = None


_ENCODER = msgspec.msgpack.Encoder()
_HELLO = msgspec.msgpack.Decoder(Hello)
_ASKED = msgspec.msgpack.Decoder(Asked)
_TOLD = msgspec.msgpack.Decoder(Told)

read_hello = _HELLO.decode
read_asked = _ASKED.decode
read_told = _TOLD.decode


def frame(message: Hello | Told) -> bytes:
    """Return a message as it is sent."""
    return _framed(_ENCODER.encode(message))


def encoded(part: Numbered | Replied) -> bytes:
    """Return a request or an answer as it stands in a message."""
    return _ENCODER.encode(part)


def asked_of(waiting: deque[bytes], bytes_max: int) -> bytes:
    """Take requests from the front of a queue, into one message as it is sent.

    Args:
        waiting: One at the least, as `encoded`.
        bytes_max: Of a message with more than one.
    """
    return _framed(_ENCODER.encode(([msgspec.Raw(each) for each in _some(waiting, bytes_max)],)))


def told_of(replies: Sequence[bytes], bytes_max: int) -> Iterator[bytes]:
    """Return messages, as they are sent, that carry these answers; see `asked_of`."""
    waiting = deque(replies)
    while waiting:
        yield _framed(_ENCODER.encode(([msgspec.Raw(each) for each in _some(waiting, bytes_max)],)))


def _some(waiting: deque[bytes], bytes_max: int) -> list[bytes]:
    taken = [waiting.popleft()]
    size = len(taken[0])
    while waiting and size + len(waiting[0]) <= bytes_max:
        taken.append(waiting.popleft())
        size += len(taken[-1])
    return taken


def _framed(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


def frames(buffer: bytearray) -> list[bytes]:
    """Take the whole messages from the front of a buffer.

    Raises:
        ValueError: One is longer than any may be; nothing more can be read.
    """
    found = []
    at = 0
    while len(buffer) - at >= LENGTH_BYTES:
        (length,) = _LENGTH.unpack_from(buffer, at)
        if length > FRAME_BYTES_MAX:
            raise ValueError(f"frame: expected at most {FRAME_BYTES_MAX} bytes, got {length}")
        end = at + LENGTH_BYTES + length
        if end > len(buffer):
            break
        found.append(bytes(buffer[at + LENGTH_BYTES : end]))
        at = end
    del buffer[:at]
    return found
