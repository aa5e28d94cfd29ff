"""Bits flipped everywhere in a segment of an outbox, an inbox and a ledger, and cuts everywhere.

The segments are those that the agent and the server write, read as both read them.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from tests.support.failing_disk import FailingDisk
from tests.support.memory_disk import MemoryDisk
from tests.support.power_agent import AGENT
from tests.support.power_runs import Kind, given_folder, live_once
from tests.support.power_server import BRIEF

from fractal_lba.agent.contents import Contents
from fractal_lba.server.core import entry as entries
from fractal_lba.server.core import inbox_frame
from fractal_lba.wal import Damage, Frame, Position, Stream, scan_folder

BYTES_MAX: Final = 3_000
"""Of the segment that is flipped, so that every bit of it soon is: its writer wrote little."""


@dataclass(frozen=True)
class Log:
    """A stream, who writes it, by which seed, and how it is read."""

    kind: Kind
    seed: int
    folder: str
    name: str
    read: Callable[[list[tuple[Position, Frame] | Damage]], object]


def read_outbox(items: list[tuple[Position, Frame] | Damage]) -> object:
    return Contents.read(items)


def read_inbox(items: list[tuple[Position, Frame] | Damage]) -> object:
    return [inbox_frame.decode_received(each[1].meta) for each in frames_in(items)]


def read_ledger(items: list[tuple[Position, Frame] | Damage]) -> object:
    return [entries.decode_entry(each[1].meta, each[1].payload) for each in frames_in(items)]


LOGS: Final = {
    "outbox": Log(AGENT, 3, "data/outbox", "outbox", read_outbox),
    "inbox": Log(BRIEF, 4, "data/inbox-0", "inbox-0", read_inbox),
    "ledger": Log(BRIEF, 7, "data/shard-0/ledger", "shard-0/ledger", read_ledger),
}


def frames_in(items: list[tuple[Position, Frame] | Damage]) -> list[tuple[Position, Frame]]:
    return [item for item in items if not isinstance(item, Damage)]


def written(log: Log) -> dict[str, bytes]:
    """Return the files of a stream that one process wrote and closed."""
    with given_folder() as root:
        chance = random.Random(f"{log.name} {log.seed}")  # noqa: S311 - no secret
        memory = MemoryDisk(root, chance)
        with log.kind.make(memory, chance) as scenario:
            live_once(scenario, FailingDisk(memory, is_syncing=True))
        return {
            name: data
            for name, data in memory.files(root / log.folder).items()
            if name.endswith(".seg")
        }


def disk_with(files: dict[str, bytes], folder: Path) -> MemoryDisk:
    memory = MemoryDisk(Path("/disk"), random.Random(1))  # noqa: S311 - no secret
    for name, data in files.items():
        memory.put(folder / name, data)
    return memory


@pytest.mark.parametrize("name", LOGS)
def test_a_bit_flipped_anywhere_in_a_segment_costs_one_frame_at_the_most_and_is_never_a_wrong_one(
    name: str, tell: Callable[[str, str], None]
) -> None:
    log = LOGS[name]
    files = written(log)
    segment = max(files, key=lambda each: len(files[each]))
    folder = Path("/disk") / log.folder
    memory = disk_with(files, folder)
    content = memory.cached(folder / segment)

    def scanned() -> list[tuple[Position, Frame] | Damage]:
        return list(scan_folder(memory, folder, log.name))

    whole = {frame.seq: frame for _, frame in frames_in(scanned())}
    assert len(whole) > 1
    assert len(content) <= BYTES_MAX
    flips = 0
    for offset in range(len(content)):
        for bit in range(8):
            content[offset] ^= 1 << bit
            items = scanned()
            content[offset] ^= 1 << bit
            found = {frame.seq: frame for _, frame in frames_in(items)}
            assert found.items() <= whole.items(), (offset, bit)
            assert len(whole) - len(found) <= 1, (offset, bit)
            assert any(isinstance(item, Damage) for item in items), (offset, bit)
            log.read(items)
            flips += 1
    bits = 8 * len(files[segment])
    tell("faults", f"{name}: bits flipped: {flips} of {bits}, frames among them: {len(whole)}")


def test_an_outbox_cut_at_any_byte_gives_a_first_part_of_its_windows(
    tell: Callable[[str, str], None],
) -> None:
    log = LOGS["outbox"]
    files = written(log)
    segment = max(files, key=lambda each: len(files[each]))
    files = {each: data for each, data in files.items() if each <= segment}
    folder = Path("/disk") / log.folder
    memory = disk_with(files, folder)
    whole = [frame for _, frame in frames_in(list(scan_folder(memory, folder, log.name)))]
    ends = set()
    for end in range(len(files[segment])):
        memory = disk_with(files | {segment: files[segment][:end]}, folder)
        stream = Stream.open(memory, folder, log.name)
        items = list(stream.scan())
        found = [frame for _, frame in frames_in(items)]
        assert found == whole[: len(found)], end
        log.read(items)
        ends.add(len(found))
    assert ends == set(range(len(whole) + 1))
    tell("faults", f"outbox: bytes that its segment was cut at: {len(files[segment])}")
