"""The disk in memory takes what no sync made durable, leaves what one did, and misses no bug."""

import errno
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.support.failing_disk import Crash, Effect, FailingDisk
from tests.support.memory_disk import MemoryDisk
from tests.support.memory_nodes import PAGE_BYTES
from tests.support.power_cut import cut_power

from fractal_lba.wal import Disk, File

ROOT: Final = Path("/disk")
SEEDS: Final = 60
OLD, NEW = b"old " * 300, b"new " * 300


def disks() -> Iterator[tuple[int, MemoryDisk, random.Random]]:
    for seed in range(SEEDS):
        chance = random.Random(seed)  # noqa: S311 - to be replayed
        yield seed, MemoryDisk(ROOT, chance), chance


def write(disk: Disk, path: Path, data: bytes) -> None:
    file = disk.create(path)
    file.write_at(0, data)
    file.datasync()
    file.close()
    disk.sync_dir(path.parent)


def test_what_was_synced_survives_every_cut_and_is_read_as_it_was() -> None:
    for seed, disk, chance in disks():
        disk.mkdir(ROOT / "d")
        disk.sync_dir(ROOT)
        write(disk, ROOT / "d" / "f.new", OLD)
        disk.rename(ROOT / "d" / "f.new", ROOT / "d" / "f")
        disk.sync_dir(ROOT / "d")
        file = disk.open(ROOT / "d" / "f", is_writable=True)
        file.write_at(len(OLD), NEW)
        file.truncate(len(OLD) + 7)
        file.datasync()
        for _ in range(3):
            cut_power(disk, chance)
            assert disk.names(ROOT / "d") == ["f"], seed
            assert disk.content(ROOT / "d" / "f") == OLD + NEW[:7], seed


def test_a_cut_ends_every_process() -> None:
    _, disk, chance = next(disks())
    file = disk.create(ROOT / "f")
    lock = disk.lock(ROOT / "lock", b"one")
    cut_power(disk, chance)
    for act in (lambda: file.write_at(0, b"x"), file.datasync, file.size):
        with pytest.raises(OSError, match="Bad file descriptor"):
            act()
    again = disk.lock(ROOT / "lock", b"two")
    lock.release()  # of the machine before
    with pytest.raises(BlockingIOError):
        disk.lock(ROOT / "lock", b"three")
    again.release()


def test_bytes_that_were_not_synced_are_kept_lost_or_torn_anywhere_and_over_anything() -> None:
    found: Counter[str] = Counter()
    for seed, disk, chance in disks():
        write(disk, ROOT / "gone", b"stale" * 300)
        disk.unlink(ROOT / "gone")
        write(disk, ROOT / "f", OLD)
        file = disk.open(ROOT / "f", is_writable=True)
        file.write_at(len(OLD), NEW)
        cut_power(disk, chance)
        data = disk.content(ROOT / "f")
        assert data.startswith(OLD), seed
        tail = data[len(OLD) :]
        match tail:
            case b"":
                found["lost"] += 1
            case _ if tail == NEW:
                found["kept"] += 1
            case _ if NEW.startswith(tail):
                found["cut short"] += 1
            case _ if tail.strip(b"\0") == b"":
                found["zeros"] += 1
            case _ if b"stale" in tail:
                found["stale bytes"] += 1
            case _:
                found["torn"] += 1
    assert found.keys() == {"lost", "kept", "cut short", "zeros", "stale bytes", "torn"}, found


def test_a_write_over_old_bytes_leaves_old_or_new_ones_in_whole_sectors_or_up_to_a_byte() -> None:
    mixed = 0
    for seed, disk, chance in disks():
        write(disk, ROOT / "f", OLD)
        disk.open(ROOT / "f", is_writable=True).write_at(0, NEW)
        cut_power(disk, chance)
        data = disk.content(ROOT / "f")
        assert all(got in pair for got, *pair in zip(data, OLD, NEW, strict=True)), seed
        mixed += data not in {OLD, NEW}
    assert mixed


def test_what_was_written_later_may_be_there_without_what_was_written_before() -> None:
    later_alone = 0
    for _, disk, chance in disks():
        for name in ("first", "second"):
            write(disk, ROOT / name, b"")
        disk.open(ROOT / "first", is_writable=True).write_at(0, b"1")
        disk.open(ROOT / "second", is_writable=True).write_at(0, b"2")
        cut_power(disk, chance)
        later_alone += (disk.content(ROOT / "first"), disk.content(ROOT / "second")) == (b"", b"2")
    assert later_alone


def test_each_name_that_no_sync_of_its_folder_followed_has_a_fate_of_its_own() -> None:
    found = set()
    for _, disk, chance in disks():
        for name in ("old", "removed"):
            write(disk, ROOT / name, b"")
        disk.rename(ROOT / "old", ROOT / "renamed")
        disk.unlink(ROOT / "removed")
        disk.create(ROOT / "created").close()
        disk.mkdir(ROOT / "made")
        cut_power(disk, chance)
        found.add(frozenset(disk.names(ROOT)))
    for name in ("old", "renamed", "removed", "created", "made"):
        assert {name in names for names in found} == {True, False}, name
    # A file is never without a name, and a rename may leave both.
    assert {(("old" in names), ("renamed" in names)) for names in found} == {
        *[(True, False), (False, True), (True, True)]
    }
    assert any("removed" in names and "created" in names for names in found)
    assert any("removed" not in names and "created" not in names for names in found)


def test_a_file_whose_bytes_are_synced_is_gone_where_its_name_is_not() -> None:
    gone = 0
    for _, disk, chance in disks():
        disk.mkdir(ROOT / "d")
        write(disk, ROOT / "d" / "f", NEW)  # and the folder's own name is not synced
        cut_power(disk, chance)
        gone += not disk.is_folder(ROOT / "d")
        assert disk.names(ROOT) == [] or disk.content(ROOT / "d" / "f") == NEW
    assert 0 < gone < SEEDS


def test_a_disk_of_so_many_bytes_refuses_what_is_beyond_and_gives_back_what_is_freed() -> None:
    disk = MemoryDisk(ROOT, random.Random(0))  # noqa: S311 - to be replayed
    disk.capacity = 1_000
    file, other = disk.create(ROOT / "a"), disk.create(ROOT / "b")
    file.write_at(0, bytes(300))
    assert file.reserve(300, 400)
    assert file.size() == 300
    with pytest.raises(OSError, match="No space left"):
        other.reserve(0, 301)
    assert other.reserve(0, 300)
    with pytest.raises(OSError, match="No space left"):
        file.reserve(300, 401)
    file.write_at(300, bytes(400))  # what was set aside is its own
    with pytest.raises(OSError, match="No space left"):
        file.write_at(690, b"x" * 20)
    assert file.read_at(690, 20) == b"x" * 10  # a part was written
    other.truncate(0)
    assert file.reserve(700, 300)
    file.truncate(100)
    other.write_at(0, bytes(900))
    disk.unlink(ROOT / "b")
    assert file.reserve(100, 900)
    assert disk.happened["no room"] == 3
    disk.can_reserve = False
    assert not file.reserve(0, 1)
    disk.capacity = None
    other.write_at(0, bytes(5_000))


def test_a_failed_sync_leaves_pages_that_read_well_and_that_no_later_sync_saves() -> None:
    data = b"".join(bytes([number]) * PAGE_BYTES for number in range(1, 7))
    lost: set[int] = set()
    for _, memory, chance in disks():
        write(memory, ROOT / "f", b"")
        disk = FailingDisk(memory, is_syncing=True)
        file = disk.open(ROOT / "f", is_writable=True)
        file.write_at(0, data)
        disk.fail_next(1, error=errno.EIO, effect=Effect.PART)
        with pytest.raises(OSError, match="Input/output error"):
            file.datasync()
        file.datasync()
        assert file.read_at(0, len(data)) == data
        cut_power(memory, chance)
        kept = memory.content(ROOT / "f").ljust(len(data), b"\0")
        pages = {page for page in range(6) if kept[page * PAGE_BYTES] != page + 1}
        assert len(pages) == memory.happened["pages dropped by a failed sync"]
        lost.add(len(pages))
    assert {0, 1, 4} <= lost


def test_a_page_that_a_failed_sync_dropped_is_saved_by_writing_to_it_again() -> None:
    for _, disk, chance in disks():
        write(disk, ROOT / "f", b"")
        file = disk.open(ROOT / "f", is_writable=True)
        file.write_at(0, NEW)
        disk.sync_badly(disk._inode(ROOT / "f"))
        file.write_at(0, NEW[:1])
        file.datasync()
        cut_power(disk, chance)
        assert disk.content(ROOT / "f") == NEW


def changes(disk: Disk, file: File) -> list[Callable[[], object]]:
    return [
        lambda: disk.sync_dir(ROOT),
        lambda: disk.create(ROOT / "h"),
        lambda: disk.rename(ROOT / "f", ROOT / "h"),
        lambda: disk.unlink(ROOT / "f"),
        lambda: disk.mkdir(ROOT / "d"),
        lambda: disk.lock(ROOT / "lock", b""),
        lambda: file.write_at(0, NEW),
        lambda: file.truncate(0),
        file.datasync,
    ]


def test_a_failed_sync_of_a_folder_may_leave_a_file_system_that_takes_no_more_changes() -> None:
    gone = 0
    for _, memory, chance in disks():
        write(memory, ROOT / "g", OLD)
        file = memory.open(ROOT / "g", is_writable=True)
        disk = FailingDisk(memory, is_syncing=True)
        disk.create(ROOT / "f").close()
        disk.fail_next(1, error=errno.EIO, effect=Effect.PART)
        with pytest.raises(OSError, match="Input/output error"):
            disk.sync_dir(ROOT)
        assert disk.names(ROOT) == ["f", "g"]
        if memory.is_read_only:
            gone += 1
            for act in changes(memory, file):
                with pytest.raises(OSError, match="Read-only file system"):
                    act()
            assert file.read_at(0, 3) == OLD[:3]
        cut_power(memory, chance)
        memory.mkdir(ROOT / "d")
    assert 0 < gone < SEEDS


def test_who_dies_in_a_sync_has_met_no_failure_of_it() -> None:
    for _, memory, _chance in disks():
        disk = FailingDisk(memory, is_syncing=True)
        file = disk.create(ROOT / "f")
        file.write_at(0, NEW)
        disk.fail_next(1, error=None, effect=Effect.PART)
        with pytest.raises(Crash):
            file.datasync()
        disk.abandon()
        memory.open(ROOT / "f").datasync()
        assert memory.happened["pages dropped by a failed sync"] == 0


def sound(disk: Disk, path: Path, data: bytes) -> None:
    write(disk, path, data)


def without_a_sync(disk: Disk, path: Path, data: bytes) -> None:
    disk.create(path).write_at(0, data)
    disk.sync_dir(path.parent)


def without_the_folders_sync(disk: Disk, path: Path, data: bytes) -> None:
    file = disk.create(path)
    file.write_at(0, data)
    file.datasync()


def synced_before_the_last_write(disk: Disk, path: Path, data: bytes) -> None:
    file = disk.create(path)
    file.write_at(0, data[:-1])
    file.datasync()
    disk.sync_dir(path.parent)
    file.write_at(len(data) - 1, data[-1:])


def named_before_its_bytes_are_synced(disk: Disk, path: Path, data: bytes) -> None:
    file = disk.create(path.with_suffix(".new"))
    file.write_at(0, data)
    disk.rename(path.with_suffix(".new"), path)
    disk.sync_dir(path.parent)


Writer = Callable[[Disk, Path, bytes], None]
BUGS: Final = [
    without_a_sync,
    without_the_folders_sync,
    synced_before_the_last_write,
    named_before_its_bytes_are_synced,
]


def losses(writer: Writer, *, acknowledges_early: bool = False) -> int:
    """Return over how many seeds what a writer acknowledged is not there after a cut."""
    lost = 0
    for _, memory, chance in disks():
        disk = FailingDisk(memory, is_syncing=True)
        if acknowledges_early:
            # The power goes between the acknowledgement and the work.
            disk.fail_next(chance.randint(1, 4), error=None, effect=Effect.NONE)
        try:
            writer(disk, ROOT / "f", NEW)
        except Crash:
            assert acknowledges_early
        cut_power(memory, chance)
        lost += "f" not in memory.names(ROOT) or memory.content(ROOT / "f") != NEW
    return lost


def test_a_sound_writer_loses_nothing_over_any_seed() -> None:
    assert losses(sound) == 0


@pytest.mark.parametrize("writer", BUGS)
def test_a_writer_that_skips_a_step_is_caught(
    writer: Writer, tell: Callable[[str, str], None]
) -> None:
    caught = losses(writer)
    tell("power", f"a writer {writer.__name__.replace('_', ' ')}: {caught} of {SEEDS} seeds lose")
    assert caught > SEEDS // 10


def test_a_writer_that_acknowledges_before_its_work_is_caught(
    tell: Callable[[str, str], None],
) -> None:
    caught = losses(sound, acknowledges_early=True)
    tell("power", f"a writer that acknowledges early: {caught} of {SEEDS} seeds lose")
    assert caught > SEEDS // 10
