"""Known bugs, each planted in the code under test for as long as it is asked for.

Each is what somebody could write and every test of a sound disk would let pass. The name of the
invariant beside it is what a power cut breaks then.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support import power_files
from tests.support.power_agent import AGENT
from tests.support.power_outbox import OUTBOX
from tests.support.power_runs import Invariant, Kind
from tests.support.power_server import SERVER
from tests.support.power_stream import STREAM

from fractal_lba.agent.compaction import Compactor
from fractal_lba.agent.deadletters import DeadLetter, DeadLetters
from fractal_lba.agent.outbox import Outbox
from fractal_lba.agent.segments import Front
from fractal_lba.keyfile import write_private
from fractal_lba.protocol import Record
from fractal_lba.wal import Disk, NewFrame, framing, one_frame, recovery, segment, stream, walk
from fractal_lba.wal.framing import FRAME_BYTES, FrameAt, SegmentKey, claimed_size
from fractal_lba.wal.recovery import Recovered
from fractal_lba.wal.segment import SegmentWriter

Patch = Callable[[pytest.MonkeyPatch], None]


class Without:
    """Something whose one method does nothing; the rest is passed on."""

    def __init__(self, inner: object, name: str) -> None:
        self._inner = inner
        self._name = name

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the other has
        return (lambda *_: None) if name == self._name else getattr(self._inner, name)


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A bug, the scenario that has to meet it and the invariants, any of which it breaks there."""

    name: str
    kind: Kind
    invariants: frozenset[str]
    patch: Patch

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Have the bug in the code."""
        with pytest.MonkeyPatch.context() as monkeypatch:
            self.patch(monkeypatch)
            yield


def _skip_a_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = SegmentWriter.append

    def append(self: SegmentWriter, frames: Sequence[NewFrame]) -> list[int]:
        file = self._file
        self._file = Without(file, "datasync")
        try:
            return sound(self, frames)
        finally:
            self._file = file

    monkeypatch.setattr(SegmentWriter, "append", append)


def _skip_a_folders_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = segment.create_segment

    def create_segment(disk: Disk, *rest: Any) -> SegmentWriter:  # noqa: ANN401 - passed on
        return sound(Without(disk, "sync_dir"), *rest)

    for module in (recovery, stream):
        monkeypatch.setattr(module, "create_segment", create_segment)


def _acknowledge_before_the_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sync a batch when the next one comes: everything is synced, and too late."""
    sound = SegmentWriter.append

    def append(self: SegmentWriter, frames: Sequence[NewFrame]) -> list[int]:
        file = self._file
        file.datasync()
        self._file = Without(file, "datasync")
        try:
            return sound(self, frames)
        finally:
            self._file = file

    monkeypatch.setattr(SegmentWriter, "append", append)


def _trust_a_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a frame for whole because its length fits."""

    def frame_at(data: bytes, offset: int, end: int, key: SegmentKey) -> FrameAt | None:
        if end - offset < FRAME_BYTES:
            return None
        _, _, stored_seq, received_ns, meta_bytes = framing._FRAME.unpack_from(data, offset)
        size = claimed_size(data, offset)
        if offset + size > end or size < FRAME_BYTES + meta_bytes:
            return None
        return FrameAt(offset, offset + size, stored_seq ^ key.mask, received_ns, meta_bytes)

    for module in (walk, one_frame):
        monkeypatch.setattr(module, "frame_at", frame_at)


def _give_a_number_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on with the last number where nothing was left to be copied."""
    sound = recovery.recover

    def recover(disk: Disk, folder: Path, name: str) -> Recovered:
        recovered = sound(disk, folder, name)
        active = recovered.active
        if not recovered.recovery.copied and active.next_seq > 1:
            active.next_seq -= 1
            active.header = replace(active.header, first_seq=active.next_seq)
        return recovered

    monkeypatch.setattr(stream, "recover", recover)


def _skip_the_dead_letters_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = DeadLetters.append

    def append(self: DeadLetters, *letters: DeadLetter) -> None:
        if self._file is None:
            sound(self)  # makes the file
        self._file = Without(self._file, "datasync")
        sound(self, *letters)

    monkeypatch.setattr(DeadLetters, "append", append)


def note_an_answer_before_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """Move the outbox's cursor when a window is taken to be sent."""
    sound = Outbox.read

    async def read(self: Outbox, seq: int) -> Record:
        record = await sound(self, seq)
        await self.acknowledge(seq, status=200, replayed=False)
        return record

    monkeypatch.setattr(Outbox, "read", read)


def _give_up_before_the_cursors_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove old segments of an outbox when what says so is written and not durable."""
    sound = Compactor._write_totals

    async def write_totals(self: Compactor, front: Front) -> int:
        with pytest.MonkeyPatch.context() as meanwhile:
            _skip_a_sync(meanwhile)
            return await sound(self, front)

    monkeypatch.setattr(Compactor, "_write_totals", write_totals)


def _forget_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give old segments up though nothing else says how a stream goes on."""

    async def restate(_self: Compactor, _front: Front) -> None:
        pass

    monkeypatch.setattr(Compactor, "_restate", restate)


class _Unsynced:
    """A disk whose new files are never synced."""

    def __init__(self, inner: Disk) -> None:
        self._inner = inner

    def create(self, path: Path) -> Any:  # noqa: ANN401 - stands for a file
        return Without(self._inner.create(path), "datasync")

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the other has
        return getattr(self._inner, name)


def _name_before_the_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a replaced file its name before its bytes are durable."""

    def unsynced(path: Path, data: bytes, *, files: Disk) -> None:
        write_private(path, data, files=_Unsynced(files))

    monkeypatch.setattr(power_files, "write_private", unsynced)


PLANTED: Final = [
    Planted(
        name="skip a sync",
        kind=STREAM,
        invariants=frozenset({Invariant.NOTHING_LOST}),
        patch=_skip_a_sync,
    ),
    Planted(
        name="skip a folder's sync",
        kind=STREAM,
        invariants=frozenset({Invariant.NOTHING_LOST}),
        patch=_skip_a_folders_sync,
    ),
    Planted(
        name="acknowledge before the sync",
        kind=STREAM,
        invariants=frozenset({Invariant.NOTHING_LOST}),
        patch=_acknowledge_before_the_sync,
    ),
    Planted(
        name="trust a length before its checksum",
        kind=STREAM,
        invariants=frozenset({Invariant.NOTHING_ELSE}),
        patch=_trust_a_length,
    ),
    Planted(
        name="give a number again",
        kind=STREAM,
        invariants=frozenset({Invariant.NO_NUMBER_TWICE}),
        patch=_give_a_number_again,
    ),
    Planted(
        name="skip a sync of the outbox",
        kind=AGENT,
        invariants=frozenset({Invariant.SENT_IS_DURABLE}),
        patch=_skip_a_sync,
    ),
    Planted(
        name="skip the sync of the dead letters",
        kind=AGENT,
        # What is torn though its window waits no more is damage, and told.
        invariants=frozenset({Invariant.NOTHING_LOST, Invariant.NOBODY_NEEDED}),
        patch=_skip_the_dead_letters_sync,
    ),
    Planted(
        name="advance the outbox's cursor early",
        kind=AGENT,
        invariants=frozenset({Invariant.NOTHING_LOST}),
        patch=note_an_answer_before_it_came,
    ),
    Planted(
        name="give segments up before the cursor's sync",
        kind=OUTBOX,
        # What is gone with nothing to say so shows as frames that cannot be read.
        invariants=frozenset({Invariant.NOTHING_LOST, Invariant.NOBODY_NEEDED}),
        patch=_give_up_before_the_cursors_sync,
    ),
    Planted(
        name="forget a stream in a compaction",
        kind=OUTBOX,
        invariants=frozenset({Invariant.NOTHING_LOST}),
        patch=_forget_a_stream,
    ),
    Planted(
        name="answer before the ledger's sync",
        kind=SERVER,
        invariants=frozenset({Invariant.NOTHING_LOST, Invariant.NOBODY_NEEDED}),
        patch=_acknowledge_before_the_sync,
    ),
    Planted(
        name="give a number of the ledger again",
        kind=SERVER,
        invariants=frozenset({Invariant.NOTHING_LOST, Invariant.NOBODY_NEEDED}),
        patch=_give_a_number_again,
    ),
    Planted(
        name="name a replaced file before its sync",
        kind=power_files.FILES,
        invariants=frozenset({Invariant.WHOLE_OR_OLD}),
        patch=_name_before_the_sync,
    ),
]
