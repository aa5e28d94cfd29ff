"""What is noted about bodies that may end the process that judges them, and how one is tried.

A body ends a process where a library crashes on it or it takes all memory; nothing can be caught
then. So a run of bodies left open is noted before it is judged. Where the next start finds the
note, the run ended a process, and its bodies are *tried* in a process of their own: step 0 undoes a
batch's encoding, step n reads, verifies and judges its n-th record. What ends that process too is
poison: its digest is remembered, and it is never looked at again.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Final

import msgspec

from fractal_lba.protocol.described import described
from fractal_lba.protocol.errors import ContractError, CorruptionError
from fractal_lba.protocol.undecodable import UNDECODABLE
from fractal_lba.server.core.answer import ServerCode, problem
from fractal_lba.server.core.inbox_frame import BATCH, Received
from fractal_lba.server.core.inflate import inflate
from fractal_lba.server.core.ndjson import BATCH_BYTES_MAX, lines_of

FORMAT_VERSION: Final = 1

POISON_MAX: Final = 1_024
"""Remembered of one inbox: each cost a process, so more are not met before somebody looks."""

TRIAL_S_MAX: Final = 600.0
"""For all of a run, which a server judges in seconds: what takes longer would never be answered."""

RETRY_AFTER_S: Final = 600.0
"""What its sender is asked for: nothing changes before another version of the program runs."""

SET_ASIDE: Final = problem(
    ServerCode.STORAGE_UNAVAILABLE,
    "body: expected one that can be judged, got one that ended this server; it is set aside",
    retry_after_s=RETRY_AFTER_S,
)


class PoisonError(CorruptionError):
    """A body is known to end the process that judges it; it was not looked at."""


class Poison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body, or a record in a batch, that ended the processes that judged it."""

    sha256: str
    bytes: int
    noted_at: str


@described
class Note(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands beside an inbox: the bodies that are being judged, and what is poison."""

    format_version: int = FORMAT_VERSION
    run: tuple[int, ...] = ()
    poison: tuple[Poison, ...] = ()


def encode_note(note: Note) -> bytes:
    """Return a note as it stands on disk."""
    return msgspec.json.format(msgspec.json.encode(note)) + b"\n"


def decode_note(data: bytes) -> Note:
    """Return what a note says.

    Raises:
        ContractError: A newer program wrote it.
        CorruptionError: It is none.
    """
    try:
        version = msgspec.json.decode(data, type=dict[str, object]).get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ContractError(f"note: expected format version {FORMAT_VERSION}, got {version}")
        return msgspec.json.decode(data, type=Note)
    except UNDECODABLE as error:
        raise CorruptionError("note: expected bodies being judged, got something else") from error


def digest_of(body: bytes) -> str:
    """Return what a body is remembered by."""
    return sha256(body).hexdigest()


class Tried(msgspec.Struct, frozen=True, array_like=True):
    """A body to be tried, as it came."""

    received: Received
    body: bytes

    def records(self) -> Iterator[bytes]:
        """Yield the records in it.

        Raises:
            Refusal: It is a batch whose encoding cannot be undone.
        """
        if self.received.route != BATCH:
            return iter((self.body,))
        encoding = self.received.content_encoding
        return lines_of(inflate(self.body, encoding, bytes_max=BATCH_BYTES_MAX))


class Task(msgspec.Struct, frozen=True, array_like=True):
    """What a process is to try: these bodies, from a step of one of them on."""

    bodies: tuple[Tried, ...]
    first: int
    step: int


_TASKS: Final = msgspec.msgpack.Decoder(Task)


def encode_task(task: Task) -> bytes:
    """Return a task as it is given to a process."""
    return msgspec.msgpack.encode(task)


def decode_task(data: bytes) -> Task:
    """Return the task that a process was given."""
    return _TASKS.decode(data)


def encode_step(body: int, step: int) -> bytes:
    """Return the line by which a process says what it does next."""
    return b"%d %d\n" % (body, step)


def last_step(said: bytes) -> tuple[int, int] | None:
    """Return what a process said last that it would do, ``None`` where it said nothing."""
    lines = said.split(b"\n")[:-1]  # the last one may be cut
    if not lines:
        return None
    body, step = lines[-1].split()
    return int(body), int(step)
