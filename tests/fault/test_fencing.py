"""A writer that was stopped and wakes after its stream was recovered by another one.

The lock keeps that from happening: it is the kernel's and ends with the process. Here it is taken
by force, to show that what the late writer still puts into its segment is never found.
"""

from pathlib import Path

import pytest
from tests.support.wal_streams import (
    damage_of,
    folder_labels,
    labels_of,
    new_frame,
    open_stream,
)
from typing_extensions import override

from fractal_lba.protocol.errors import DurabilityError, LockedError
from fractal_lba.wal import RealDisk, Stream
from fractal_lba.wal.disk import Lock


class _Nothing:
    def is_held(self) -> bool:
        return True

    def release(self) -> None:
        """Give back what was never held."""


class Forced(RealDisk):
    """A disk on which a lock that another one holds is taken all the same."""

    @override
    def lock(self, path: Path, note: bytes) -> Lock:
        return _Nothing()


def append(stream: Stream, *labels: str) -> None:
    stream.append([new_frame(label) for label in labels])


def test_a_held_stream_is_refused_to_everybody_else(tmp_path: Path) -> None:
    first = open_stream(tmp_path, RealDisk())
    append(first, "a")
    with pytest.raises(LockedError):
        open_stream(tmp_path, RealDisk())
    append(first, "b")
    first.close()


@pytest.mark.parametrize("late", [1, 2, 5])
@pytest.mark.parametrize("is_marked", [False, True])
def test_what_a_late_writer_writes_is_never_found(
    tmp_path: Path,
    late: int,
    is_marked: bool,  # noqa: FBT001 - a column of the table
) -> None:
    stopped = open_stream(tmp_path, Forced())
    append(stopped, "a", "b")
    if is_marked:
        stopped.mark()
    successor = open_stream(tmp_path, Forced())
    append(successor, "c")
    # It wakes and goes on where it was.
    for number in range(late):
        append(stopped, f"late {number}")
    append(successor, "d")
    successor.close()
    assert folder_labels(tmp_path) == {1: "a", 2: "b", 3: "c", 4: "d"}
    again = open_stream(tmp_path, Forced())
    assert labels_of(again) == {1: "a", 2: "b", 3: "c", 4: "d"}
    assert not damage_of(again.scan())
    again.close()


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_late_writer_whose_lock_was_removed_acknowledges_nothing(
    tmp_path: Path,
    is_replaced: bool,  # noqa: FBT001 - whether somebody else has the stream by then
) -> None:
    stopped = open_stream(tmp_path, RealDisk())
    append(stopped, "a")
    (tmp_path / ".lock").unlink()
    successor = open_stream(tmp_path, RealDisk()) if is_replaced else None
    before = sorted(path.name for path in tmp_path.iterdir())
    for act in (
        lambda: append(stopped, "late"),
        stopped.mark,
        stopped.reopen,
        lambda: stopped.skip_to(100),
    ):
        with pytest.raises(DurabilityError):
            act()
    assert stopped.is_fenced
    stopped.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    again = successor or open_stream(tmp_path, RealDisk())
    append(again, "b")
    assert labels_of(again) == {1: "a", 2: "b"}
    again.close()


def test_what_is_acknowledged_before_the_lock_is_removed_is_found(tmp_path: Path) -> None:
    stopped = open_stream(tmp_path, RealDisk())
    append(stopped, "a", "b")
    (tmp_path / ".lock").unlink()
    successor = open_stream(tmp_path, RealDisk())
    assert labels_of(successor) == {1: "a", 2: "b"}
    with pytest.raises(DurabilityError):
        stopped.close()
    successor.close()
