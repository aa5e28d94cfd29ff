"""Every call to the disk fails once, in every way; nothing acknowledged may be lost.

One workload goes through everything a stream does: opening, appending, rotating, marking, closing,
recovering a torn tail with frames to copy, reopening after a fence. It runs once without a fault,
which counts its calls, and then once for each call, with that call failing.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from tests.support.failing_disk import Effect, FailingDisk
from tests.support.wal_streams import (
    damage_of,
    folder_labels,
    label_of,
    labels_of,
    new_frame,
    open_stream,
    segments_of,
    snapshot,
)

from fractal_lba.protocol.errors import DurabilityError, FencedError
from fractal_lba.wal import Damage, RealDisk, Stream


@dataclass(slots=True)
class Ledger:
    """What the workload was told, to be held against what is on disk."""

    acknowledged: dict[int, str] = field(default_factory=dict)
    attempted: set[str] = field(default_factory=set)
    fences: int = 0

    def append(self, stream: Stream, *labels: str, size: int = 20) -> None:
        assert self.attempted.isdisjoint(labels)
        self.attempted.update(labels)
        for placed, label in zip(
            stream.append([new_frame(label, size) for label in labels]), labels, strict=True
        ):
            assert placed.seq not in self.acknowledged, "a number was given twice"
            self.acknowledged[placed.seq] = label

    def check(self, found: dict[int, str]) -> None:
        """Hold what was found against what was acknowledged."""
        assert self.acknowledged.items() <= found.items()
        assert set(found.values()) <= self.attempted
        assert len(set(found.values())) == len(found), "a frame appears twice"
        assert sorted(found) == list(range(1, len(found) + 1))


@dataclass(slots=True)
class Workload:
    """Steps over one folder that go on after a failure, in process or in another one."""

    folder: Path
    disk: FailingDisk
    is_reopening: bool
    ledger: Ledger = field(default_factory=Ledger)
    stream: Stream | None = None

    def run(self) -> None:
        self.step(self.open)
        for index in range(2):
            self.step(partial(self.append, f"a{index}-1", f"a{index}-2"))
        self.step(lambda: self.get().mark())
        for index in range(2):
            self.step(partial(self.append, f"b{index}", size=350))
        self.step(self.read_and_scan)
        self.step(lambda: self.append("c1"))
        # The process ends in a batch that is torn behind its first frame.
        self.step(lambda: self.append("d1", "d2"))
        self.die()
        self.tear("d2", 12)
        self.step(self.open)
        self.step(lambda: self.append("e1"))
        self.step(self.reopen)
        self.step(lambda: self.append("f1"))
        self.step(self.close)
        self.step(self.open)
        self.step(lambda: self.append("g1"))
        self.step(self.close)

    def step(self, act: Callable[[], None]) -> None:
        """Do one step; after a failure heal the disk, recover, and go on with the next."""
        try:
            act()
        except DurabilityError:
            if not self.disk.has_failed:
                raise
            self.disk.heal()
            self.recover()

    def recover(self) -> None:
        stream = self.stream
        if stream is not None and stream.is_fenced and self.is_reopening:
            self.ledger.fences += 1
            with pytest.raises(FencedError):
                stream.append([new_frame("never")])
            with pytest.raises(FencedError):
                stream.mark()
            stream.reopen()
            assert not stream.is_fenced
        else:
            self.die()
            self.open()
        self.ledger.check(labels_of(self.get()))

    def get(self) -> Stream:
        assert self.stream is not None
        return self.stream

    def open(self) -> None:
        self.stream = open_stream(self.folder, self.disk)

    def append(self, *labels: str, size: int = 20) -> None:
        self.ledger.append(self.get(), *labels, size=size)

    def read_and_scan(self) -> None:
        stream = self.get()
        for item in stream.scan():
            assert not isinstance(item, Damage)
            position, frame = item
            assert label_of(stream.read(position)) == label_of(frame)

    def reopen(self) -> None:
        self.get().reopen()

    def close(self) -> None:
        self.get().close()

    def die(self) -> None:
        self.stream = None
        self.disk.abandon()

    def tear(self, label: str, size: int) -> None:
        """Cut the end off the last segment, as if the last frame had not come through."""
        seq, last = max(self.ledger.acknowledged.items())
        if last != label:
            return
        del self.ledger.acknowledged[seq]
        name = segments_of(snapshot(self.folder))[-1]
        with (self.folder / name).open("r+b") as file:
            file.truncate(file.seek(0, 2) - size)


def run(
    folder: Path,
    *,
    fail_at: int | None,
    error: int = errno.EIO,
    effect: Effect = Effect.NONE,
    is_reopening: bool = True,
) -> Workload:
    disk = FailingDisk(RealDisk(), fail_at=fail_at, error=error, effect=effect)
    workload = Workload(folder, disk, is_reopening)
    workload.run()
    workload.die()
    workload.ledger.check(folder_labels(folder))
    stream = open_stream(folder)
    workload.ledger.check(labels_of(stream))
    assert [item for item in damage_of(stream.scan()) if item.is_loss] == []
    assert list(folder.glob("*.new")) == []
    stream.close()
    return workload


def fault_free_calls(folder: Path) -> int:
    workload = run(folder, fail_at=None)
    assert not workload.disk.has_failed
    assert list(workload.ledger.acknowledged.values()) == [
        *(f"a{index}-{half}" for index in range(2) for half in (1, 2)),
        *(f"b{index}" for index in range(2)),
        *("c1", "d1", "e1", "f1", "g1"),
    ]
    called = {call.name for call in workload.disk.calls}
    assert called >= {
        *("lock", "release", "mkdir", "is_folder", "names", "sync_dir", "create", "open"),
        *("read_at", "write_at", "size", "datasync", "truncate", "rename", "unlink", "close"),
    }
    return len(workload.disk.calls)


@pytest.mark.parametrize(
    ("error", "effect", "is_reopening"),
    [
        pytest.param(errno.EIO, Effect.NONE, True, id="EIO, then reopened"),
        pytest.param(errno.EIO, Effect.NONE, False, id="EIO, then opened afresh"),
        pytest.param(errno.EIO, Effect.WHOLE, True, id="EIO though done, then reopened"),
        pytest.param(errno.ENOSPC, Effect.NONE, False, id="ENOSPC, then opened afresh"),
        pytest.param(errno.ENOSPC, Effect.PART, True, id="ENOSPC in a write, then reopened"),
        pytest.param(errno.ENOSPC, Effect.PART, False, id="ENOSPC in a write, then opened afresh"),
    ],
)
def test_no_call_that_fails_loses_what_was_acknowledged(
    ram_path: Path,
    tell: Callable[[str, str], None],
    error: int,
    effect: Effect,
    *,
    is_reopening: bool,
) -> None:
    total = fault_free_calls(ram_path / "0")
    fences = 0
    for n in range(1, total + 1):
        workload = run(
            ram_path / str(n), fail_at=n, error=error, effect=effect, is_reopening=is_reopening
        )
        assert workload.disk.has_failed, f"call {n} of {total} was not reached"
        fences += workload.ledger.fences
    tell("faults", f"calls failed: {total} of {total}, fenced and reopened: {fences}")
    assert (fences > 0) == is_reopening


def test_a_stream_stays_fenced_while_its_disk_fails(ram_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    stream = open_stream(ram_path / "s", disk)
    stream.append([new_frame("one")])
    broken = FailingDisk(RealDisk(), fail_at=1, is_sticky=True)
    disk.__dict__.update(broken.__dict__ | {"_held": disk._held})
    with pytest.raises(DurabilityError):
        stream.append([new_frame("two")])
    for _ in range(3):
        with pytest.raises(DurabilityError):
            stream.reopen()
        assert stream.is_fenced
        with pytest.raises(FencedError):
            stream.append([new_frame("three")])
    disk.heal()
    stream.reopen()
    assert labels_of(stream) == {1: "one"}
    (placed,) = stream.append([new_frame("four")])
    assert placed.seq == 2
    stream.close()
