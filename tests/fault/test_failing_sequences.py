"""The sequences in which other queues are known to have lost or kept back what was acknowledged.

Each is named after what was published of it, and run at every point it can break, over a disk that
loses what was not synced; each is shown to be caught where the one call it hangs on is left out.
"""

import random
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.failing_disk import Crash, Effect, FailingDisk
from tests.support.memory_disk import MemoryDisk
from tests.support.planted_bugs import Without
from tests.support.power_cut import cut_power
from tests.support.wal_streams import (
    NAME,
    damage_of,
    flipped,
    folder_labels,
    label_of,
    labels_of,
    new_frame,
    open_stream,
    restore,
    segments_of,
    snapshot,
)

from fractal_lba.wal import Damage, RealDisk, Stream, scan_folder, segment
from fractal_lba.wal import stream as stream_module
from fractal_lba.wal.retention import remove

FOLDER = Path("/queue")
SEEDS = range(12)
KILLS = 3

Work = Callable[[Stream], None]
"""What a process does with its stream until it ends."""


def cut_everywhere(prepare: Work, work: Work, check: Callable[[Stream, MemoryDisk], None]) -> int:
    """Cut the power at every call of ``work`` and after it, in several ways; check what is left.

    Returns:
        How many cuts there were.
    """
    cuts = 0
    for seed in SEEDS:
        call = 0
        while True:
            call += 1
            chance = random.Random(1_000 * seed + call)  # noqa: S311 - no secret
            memory = MemoryDisk(FOLDER.parent, chance)
            disk = FailingDisk(memory, is_syncing=True)
            stream = open_stream(FOLDER, disk)
            prepare(stream)
            disk.fail_next(call, error=None, effect=chance.choice(list(Effect)))
            with suppress(Crash):
                work(stream)
            disk.abandon()
            cut_power(memory, chance)
            sound = FailingDisk(memory, is_syncing=True)
            check(open_stream(FOLDER, sound), memory)
            sound.abandon()
            cuts += 1
            if not disk.has_failed:
                break
    return cuts


def fill(stream: Stream) -> None:
    for seq in range(1, 8):
        stream.append([new_frame(f"{seq}", 300)])


def test_vector_25639_write_crash_flush(tell: Callable[[str, str], None]) -> None:
    """Written, the process ends before the flush, the next one goes on from another place.

    There the writer went on behind bytes that the reader could not pass, or gave a record twice.
    """
    acknowledged: list[str] = []

    def write(stream: Stream) -> None:
        acknowledged.clear()
        for label in ("first", "second", "third"):
            stream.append([new_frame(label)])
            acknowledged.append(label)

    def check(stream: Stream, memory: MemoryDisk) -> None:
        del memory
        left = list(labels_of(stream).values())
        assert left[: len(acknowledged)] == acknowledged
        assert left in (["first", "second", "third"][:count] for count in range(4))
        # The next process writes where this one reads on.
        (placed,) = stream.append([new_frame("after")])
        assert placed.seq == len(left) + 1
        assert list(labels_of(stream).values()) == [*left, "after"]
        assert not damage_of(stream.scan())

    cuts = cut_everywhere(lambda _: None, write, check)
    tell("faults", f"write, crash, flush: {cuts} power cuts")


def retain(stream: Stream) -> None:
    """Append a cursor, then remove what it skips."""
    (cursor,) = stream.append([new_frame("cursor")])
    stream.retain_from(6, cursor_seq=cursor.seq)


def retain_and_unlink_first(stream: Stream) -> None:
    """Do what ``retain`` does in the order that loses."""
    remove(stream._disk, stream._older[:2], set())
    retain(stream)


def check_cursor(stream: Stream, memory: MemoryDisk) -> None:
    """Whatever is gone is skipped by a cursor that is there; what is needed is all there."""
    del memory
    found = labels_of(stream)
    if 1 not in found:
        assert "cursor" in found.values(), "segments went before the cursor that skips them"
    assert {seq: found.get(seq) for seq in (6, 7)} == {6: "6", 7: "7"}
    assert damage_of(stream.scan()) == []
    assert sorted(found) == list(range(min(found), max(found) + 1))


def test_vector_25570_unlink_before_the_cursors_fsync(tell: Callable[[str, str], None]) -> None:
    """A data file went before the position behind it was durable; the reader then waited for it."""
    cuts = cut_everywhere(fill, retain, check_cursor)
    tell("faults", f"unlink and cursor: {cuts} power cuts")
    with pytest.raises(AssertionError):
        cut_everywhere(fill, retain_and_unlink_first, check_cursor)


def check_rotated(stream: Stream, memory: MemoryDisk) -> None:
    del memory
    assert list(labels_of(stream).values()) == [f"{seq}" for seq in range(1, 8)]


def test_an_entry_lost_for_want_of_a_directory_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's bytes were synced, its name was not: what was acknowledged in it was gone."""
    for seed in SEEDS:
        lose_power_after(seed)

    def create_without(disk: object, *rest: object) -> object:
        return sound(Without(disk, "sync_dir"), *rest)  # type: ignore[arg-type]

    sound = segment.create_segment
    monkeypatch.setattr(stream_module, "create_segment", create_without)
    lost = 0
    for seed in SEEDS:
        try:
            lose_power_after(seed)
        except AssertionError:
            lost += 1
    assert lost, "no cut showed the missing sync"


def lose_power_after(seed: int) -> None:
    """Fill several segments, cut the power when all is acknowledged, and look for it."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    memory = MemoryDisk(FOLDER.parent, chance)
    disk = FailingDisk(memory, is_syncing=True)
    fill(open_stream(FOLDER, disk))
    disk.abandon()
    cut_power(memory, chance)
    sound = FailingDisk(memory, is_syncing=True)
    check_rotated(open_stream(FOLDER, sound), memory)
    sound.abandon()


EATER = """
import resource, sys
from pathlib import Path
from fractal_lba.wal import NewFrame, RealDisk, Stream

limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
Path("/proc/self/oom_score_adj").write_text("1000")
stream = Stream.open(RealDisk(), Path(sys.argv[1]), sys.argv[3], segment_bytes_max=1 << 20,
                     frame_bytes_max=1 << 18)
for item in stream.scan():
    pass
print("open", stream.next_seq, flush=True)
eaten = []
while True:
    (placed,) = stream.append([NewFrame(1, b"", b"x" * 20_000)])
    print(placed.seq, flush=True)
    try:
        eaten.append(bytearray(8 << 20))
    except MemoryError:
        del eaten[:2]
"""


def test_immudb_2086_killed_for_memory_then_started_again(
    tmp_path: Path, tell: Callable[[str, str], None]
) -> None:
    """Killed where memory ran out, in the middle of a write; the next start could not open it."""
    limit = 500 << 20
    acknowledged = 0
    for kill in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", EATER, tmp_path, str(limit), NAME],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            opened, next_seq = process.stdout.readline().split()
            assert (opened, int(next_seq) > acknowledged) == ("open", True)
            for _ in range(100 + kill):
                acknowledged = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            # What was on its way to us was acknowledged too.
            acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    stream = open_stream(tmp_path, RealDisk(), segment_bytes_max=1 << 20, frame_bytes_max=1 << 18)
    seqs = [item[1].seq for item in stream.scan() if not isinstance(item, Damage)]
    assert seqs == list(range(1, stream.next_seq))
    assert len(seqs) >= acknowledged
    assert stream.recovery.damage == ()
    stream.close()
    tell("kills", f"killed for memory: {KILLS}, acknowledged {acknowledged}, found {len(seqs)}")


@pytest.mark.parametrize("harm", ["bit flip", "truncation"])
def test_jepsen_nats_damage_in_the_middle_costs_what_it_hits(ram_path: Path, harm: str) -> None:
    """One flipped bit, or a file cut short, made a server drop everything behind it, or all of it.

    Here: what it hit is named, everything else is served, nothing is removed and no number given
    again.
    """
    stream = open_stream(ram_path)
    fill(stream)
    stream.close()
    files = snapshot(ram_path)
    name = segments_of(files)[1]  # frames 3 and 4
    size = len(files[name])
    for at in range(0, size, 7):
        bad = flipped(files[name], at) if harm == "bit flip" else files[name][:at]
        restore(ram_path, files | {name: bad})
        found = [*scan_folder(RealDisk(), ram_path, NAME)]
        damage = [each for each in damage_of(found) if each.is_loss]
        assert damage, at
        assert {each.segment for each in damage} == {name}
        left = {item[1].seq: label_of(item[1]) for item in found if not isinstance(item, Damage)}
        lost = {
            seq
            for each in damage
            if each.first_seq is not None and each.last_seq is not None
            for seq in range(each.first_seq, each.last_seq + 1)
        }
        assert left == {seq: f"{seq}" for seq in range(1, 8) if seq not in lost}
        assert lost <= {3, 4}
        assert len(lost) <= (1 if harm == "bit flip" else 2)
        stream = open_stream(ram_path)
        (placed,) = stream.append([new_frame("after")])
        assert placed.seq == 8
        stream.close()
        assert folder_labels(ram_path) == left | {8: "after"}
        assert (ram_path / name).read_bytes() == bad
