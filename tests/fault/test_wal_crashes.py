"""The process ends between any two calls to the disk; recovery comes to the same end."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.failing_disk import Crash, Effect, FailingDisk
from tests.support.wal_streams import (
    damage_of,
    flipped,
    folder_labels,
    labels_of,
    new_frame,
    open_stream,
    restore,
    segments_of,
    snapshot,
)

from fractal_lba.wal import RealDisk

TORN_BYTES = 9


def torn_folder(folder: Path, *, is_damaged: bool) -> tuple[dict[str, bytes], dict[int, str]]:
    """Return the files of a stream that needs every step of recovery, and what it holds.

    A closed segment, a last one with durable frames, frames above the durable end and a torn tail,
    and a file that never got its name.
    """
    disk = FailingDisk(RealDisk())
    stream = open_stream(folder, disk)
    stream.append([new_frame("a1", 300), new_frame("a2", 300)])
    stream.append([new_frame("b1", 200)])
    stream.append([new_frame("b2"), new_frame("b3")])
    stream.mark()
    stream.append([new_frame("c1"), new_frame("c2"), new_frame("c3")])
    disk.abandon()
    files = snapshot(folder)
    assert len(segments_of(files)) == 2
    last = segments_of(files)[-1]
    files[last] = files[last][:-TORN_BYTES]
    labels = dict(enumerate(["a1", "a2", "b1", "b2", "b3", "c1", "c2"], start=1))
    if is_damaged:
        files[last] = flipped(files[last], 232 + 32 + 30)
        del labels[3]
    files["0000000009-" + "ab" * 16 + ".seg.new"] = b"an unfinished file"
    return files, labels


def recover_until(folder: Path, call: int | None, effect: Effect) -> FailingDisk:
    """Open a stream in a process that ends at a call."""
    disk = FailingDisk(RealDisk(), fail_at=call, error=None, effect=effect)
    with suppress(Crash):
        open_stream(folder, disk)
    disk.abandon()
    return disk


def check(folder: Path, labels: dict[int, str], torn: bytes, losses: int) -> None:
    stream = open_stream(folder)
    assert labels_of(stream) == labels
    assert len([item for item in damage_of(stream.scan()) if item.is_loss]) == losses
    assert [path.read_bytes() for path in folder.glob("*.cut")] == [torn]
    assert list(folder.glob("*.new")) == []
    (placed,) = stream.append([new_frame("after")])
    assert placed.seq == 8
    stream.close()
    assert folder_labels(folder) == labels | {8: "after"}
    # Every segment but the two that hold the frames and those written since is gone.
    assert all(path.stat().st_size > 232 for path in sorted(folder.glob("*.seg"))[:-1])


@pytest.mark.parametrize("effect", [Effect.NONE, Effect.PART])
@pytest.mark.parametrize("is_damaged", [False, True], ids=["sound", "damaged"])
def test_a_recovery_that_ends_anywhere_can_be_repeated(
    ram_path: Path, tell: Callable[[str, str], None], effect: Effect, *, is_damaged: bool
) -> None:
    files, labels = torn_folder(ram_path / "made", is_damaged=is_damaged)
    last = segments_of(files)[-1]
    frame_bytes = 26 + len(new_frame("c3").meta) + len(new_frame("c3").payload)
    torn = files[last][-(frame_bytes - TORN_BYTES) :]
    folder = ram_path / "s"

    restore(folder, files)
    total = len(recover_until(folder, None, effect).calls)
    check(folder, labels, torn, losses=is_damaged)
    ends = 0
    for first in range(1, total + 1):
        # The second process ends at every seventh call, shifted, so that all pairs of steps meet.
        for second in (None, *range(1 + first % 7, total + 1, 7)):
            restore(folder, files)
            assert recover_until(folder, first, effect).has_failed
            ends += 1
            if second is not None:
                ends += recover_until(folder, second, effect).has_failed
            check(folder, labels, torn, losses=is_damaged)
    tell("faults", f"calls of one recovery: {total}, ended in one: {ends}")


@pytest.mark.parametrize("effect", list(Effect))
def test_a_process_that_ends_anywhere_keeps_what_it_acknowledged(
    ram_path: Path, tell: Callable[[str, str], None], effect: Effect
) -> None:
    def work(disk: FailingDisk, folder: Path, acknowledged: dict[int, str]) -> None:
        stream = open_stream(folder, disk)
        for index in range(6):
            labels = [f"{index}-{half}" for half in range(2)]
            for placed, label in zip(
                stream.append([new_frame(label, 120) for label in labels]), labels, strict=True
            ):
                acknowledged[placed.seq] = label
            if index % 2:
                stream.mark()
        stream.close()

    disk = FailingDisk(RealDisk())
    acknowledged: dict[int, str] = {}
    work(disk, ram_path / "0", acknowledged)
    total = len(disk.calls)
    assert len(segments_of(snapshot(ram_path / "0"))) >= 4
    for n in range(1, total + 1):
        folder = ram_path / str(n)
        disk = FailingDisk(RealDisk(), fail_at=n, error=None, effect=effect)
        acknowledged = {}
        with pytest.raises(Crash):
            work(disk, folder, acknowledged)
        disk.abandon()
        if not folder.exists():
            assert acknowledged == {}
            continue
        assert acknowledged.items() <= folder_labels(folder).items()
        stream = open_stream(folder)
        found = labels_of(stream)
        assert acknowledged.items() <= found.items()
        assert len(found) <= len(acknowledged) + 2
        assert sorted(found) == list(range(1, len(found) + 1))
        assert len(set(found.values())) == len(found)
        assert stream.recovery.damage == ()
        assert damage_of(stream.scan()) == []
        stream.close()
    tell("faults", f"calls the process ended at: {total}")
