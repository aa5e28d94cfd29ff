"""Whole runs and their folder: when acknowledgements reach the disk, locks, and a full disk."""

import asyncio
import errno
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.support.agent_world import (
    DirectLanes,
    MemoryServer,
    VirtualClock,
    csv_stream,
    ids,
    live,
    plan,
    run,
    states,
    world,
)
from tests.support.virtual_time import run_virtual
from typing_extensions import override

from fractal_lba.agent import acks as acks_module
from fractal_lba.agent import load as load_module
from fractal_lba.agent import outbox as outbox_module
from fractal_lba.agent.bounds import OutboxBounds, WhenFull
from fractal_lba.agent.outbox import Outbox
from fractal_lba.agent.ports import Lane
from fractal_lba.agent.run import run_agent
from fractal_lba.agent.stop import Stop
from fractal_lba.agent.tally import Exit, Tally
from fractal_lba.protocol import LockedError
from fractal_lba.wal import File, RealDisk


def test_acknowledgements_reach_the_disk_in_a_quiet_moment(tmp_path: Path) -> None:
    server = MemoryServer()

    async def main() -> list[str]:
        stop = Stop()
        slow = live()
        task = asyncio.ensure_future(
            run(plan(tmp_path / "d", live=slow, interval_s=10.0), world(server), stop)
        )
        await asyncio.sleep(65.0)  # one window at 60 s, the next one at 90 s
        seen = states(tmp_path / "d")
        stop.interrupt()
        await task
        return seen

    assert run_virtual(main()) == ["acknowledged"]


def test_two_agents_on_one_folder_are_refused_by_name(tmp_path: Path) -> None:
    server = MemoryServer()

    async def main() -> None:
        stop = Stop()
        first = plan(tmp_path / "d", live=live(), interval_s=0.1)
        task = asyncio.ensure_future(run(first, world(server), stop))
        await asyncio.sleep(1.0)
        tally = Tally(say=lambda _text: None)
        with pytest.raises(LockedError, match="stream outbox"):
            await run_agent(first, world(server), Stop(), tally)
        stop.interrupt()
        assert (await task).exit is Exit.DONE

    run_virtual(main())


def test_acknowledgements_that_wait_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks_module, "ACKS_WAITING_MAX", 4)
    monkeypatch.setattr(outbox_module, "QUIET_S", 1e9)
    monkeypatch.setattr(load_module, "WINDOWS_MAX", 1)
    server = MemoryServer()
    waiting: list[int] = []

    def count(_body: bytes) -> None:
        contents = ids(tmp_path / "d").contents
        noted = contents.windows - len(contents.pending)
        waiting.append(len(server.decided) - noted)

    server.before = count
    stream = csv_stream(tmp_path / "x.csv", 60)
    run_virtual(run(plan(tmp_path / "d", stream, in_flight=1), world(server)))
    assert len(waiting) == 20
    assert max(waiting) == 3  # the fourth is written with them


def test_what_is_on_disk_is_marked_in_a_quiet_moment(tmp_path: Path) -> None:
    server = MemoryServer()
    server.is_down = True

    async def main() -> None:
        stop = Stop()
        stream = csv_stream(tmp_path / "x.csv", 9)
        task = asyncio.ensure_future(run(plan(tmp_path / "d", stream), world(server), stop))
        await asyncio.sleep(1.0)
        # As a crash would leave it now; the agent goes on in the original.
        shutil.copytree(tmp_path / "d", tmp_path / "copy")
        stop.interrupt()
        await task

    run_virtual(main())
    (segment,) = (tmp_path / "copy" / "outbox").glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(b'"epoch":2')] ^= 1
    segment.write_bytes(data)
    # Damage to a marked batch is told from a torn tail.
    assert ids(tmp_path / "copy").is_damaged


def test_an_outbox_that_refuses_ends_observing_and_nothing_is_left_out(tmp_path: Path) -> None:
    server = MemoryServer()
    server.latency_s = 5.0
    said: list[str] = []
    refusing = OutboxBounds(records_max=2, when_full=WhenFull.REFUSE)

    async def main() -> Tally:
        tally = Tally(say=said.append)
        stream = csv_stream(tmp_path / "x.csv", 30)
        await run_agent(plan(tmp_path / "d", stream, outbox=refusing), world(server), Stop(), tally)
        return tally

    tally = run_virtual(main())
    assert (tally.exit, tally.windows, tally.accepted) == (Exit.UNWRITABLE, 2, 2)
    assert len(said) == 1
    assert "outbox: expected fewer than 2 windows" in said[0]
    again = plan(tmp_path / "d", csv_stream(tmp_path / "x.csv", 30))
    assert run_virtual(run(again, world(server))).exit is Exit.DONE
    assert sorted(server.windows()) == [("s", epoch) for epoch in range(10)]


def test_a_live_source_under_refuse_loses_a_window_only_where_one_finds_no_room(
    tmp_path: Path,
) -> None:
    server = MemoryServer()
    server.latency_s = 2.5
    said: list[str] = []
    refusing = OutboxBounds(records_max=1, when_full=WhenFull.REFUSE)

    async def main(interval_s: float) -> Tally:
        tally = Tally(say=said.append)
        given = plan(
            tmp_path / f"d{interval_s}",
            live=live(),
            outbox=refusing,
            interval_s=interval_s,
            duration_s=63.5,
        )
        await run_agent(given, world(server), Stop(), tally)
        return tally

    # A window of 3 every 6 s, each waiting for 2.5 s: a sample that comes then needs no room.
    tally = run_virtual(main(2.0))
    assert (tally.exit, tally.windows, said) == (Exit.DONE, tally.accepted, [])
    tally = run_virtual(main(0.5))
    assert tally.exit is Exit.UNWRITABLE
    gone = re.fullmatch(r"live:: the last ([0-9]+) that came are in no window: .*", said[0])
    assert gone is not None
    assert int(gone[1]) >= 3
    assert "outbox: expected fewer than 1 windows" in said[1]


class Failing(RealDisk):
    """A disk that writes nothing more from the moment ``has_failed`` is set."""

    has_failed = False

    @override
    def open(self, path: Path, *, is_writable: bool = False) -> File:
        if self.has_failed and is_writable:
            raise OSError(errno.EIO, "Input/output error")
        return super().open(path, is_writable=is_writable)

    @override
    def create(self, path: Path) -> File:
        if self.has_failed:
            raise OSError(errno.EIO, "Input/output error")
        return FailingFile(super().create(path), self)


class FailingFile:
    def __init__(self, inner: File, disk: Failing) -> None:
        self._inner = inner
        self._disk = disk
        self.read_at = inner.read_at
        self.size = inner.size
        self.truncate = inner.truncate
        self.reserve = inner.reserve
        self.datasync = inner.datasync
        self.close = inner.close

    def write_at(self, offset: int, data: bytes) -> None:
        if self._disk.has_failed:
            raise OSError(errno.EIO, "Input/output error")
        self._inner.write_at(offset, data)


def test_a_failing_disk_ends_every_source_and_says_so_once(tmp_path: Path) -> None:
    disk = Failing()
    server = MemoryServer()

    def fail(_body: bytes) -> None:
        disk.has_failed = True

    server.before = fail
    said: list[str] = []

    async def main() -> Tally:
        tally = Tally(say=said.append)
        stream = csv_stream(tmp_path / "x.csv", 3000)
        both = plan(tmp_path / "d", stream, live=live(), interval_s=0.1)
        await run_agent(both, world(server, disk), Stop(), tally)
        return tally

    tally = run_virtual(main())
    assert tally.exit is Exit.UNWRITABLE
    assert said == tally.durability_failures
    assert len([line for line in said if "Input/output error" in line]) == 1
    # What was on disk was still sent, and nothing else.
    assert tally.accepted == tally.windows == len(server.decided) > 0
    disk.has_failed = False
    server.before = lambda _body: None
    again = run_virtual(
        run(plan(tmp_path / "d", csv_stream(tmp_path / "x.csv", 3000)), world(server))
    )
    assert again.exit is Exit.DONE
    assert sorted(server.windows()) == [("s", epoch) for epoch in range(1000)]
    assert all(len(found) == 1 for found in server.windows().values())


def test_a_failing_disk_names_the_dead_letters_once(tmp_path: Path) -> None:
    disk = Failing()

    def fail(_record: dict[str, Any]) -> int:
        disk.has_failed = True
        return 409

    server = MemoryServer(status=fail)
    server.latency_s = 1.0
    stream = csv_stream(tmp_path / "x.csv", 30)
    tally = run_virtual(run(plan(tmp_path / "d", stream), world(server, disk)))
    assert tally.exit is Exit.UNWRITABLE
    assert [line for line in tally.durability_failures if "dead-letters" in line] == [
        f"{tmp_path}/d/dead-letters.ndjson: expected a working disk, got Input/output error"
    ]
    assert tally.pending == tally.windows == 10


def test_an_acknowledgement_is_written_though_who_noted_it_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks_module, "ACKS_WAITING_MAX", 1)
    server = MemoryServer()
    server.is_down = True
    stream = csv_stream(tmp_path / "x.csv", 3)

    class Held(DirectLanes):
        gate: asyncio.Event | None = None

        @override
        async def turn(self, _lane: Lane) -> None:
            if self.gate is not None:
                await self.gate.wait()

    async def main() -> None:
        stop = Stop()
        asyncio.get_running_loop().call_later(1.0, stop.interrupt)
        await run(plan(tmp_path / "d", stream, grace_s=0.0), world(server), stop)
        lanes = Held()
        opened = await Outbox.open(RealDisk(), tmp_path / "d", clock=VirtualClock(), lanes=lanes)
        ((seq, _),) = opened.arrivals()
        lanes.gate = asyncio.Event()
        noting = asyncio.ensure_future(opened.acknowledge(seq, status=200, replayed=False))
        await asyncio.sleep(1.0)
        noting.cancel()
        await asyncio.sleep(1.0)
        lanes.gate.set()
        await opened.close()

    run_virtual(main())
    assert states(tmp_path / "d") == ["acknowledged"]


def test_who_finds_its_acknowledgement_written_by_another_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every acknowledgement asks for a write; the first one takes them all.
    monkeypatch.setattr(acks_module, "ACKS_WAITING_MAX", 1)
    server = MemoryServer()
    server.is_down = True
    stream = csv_stream(tmp_path / "x.csv", 9)

    async def main() -> None:
        stop = Stop()
        asyncio.get_running_loop().call_later(1.0, stop.interrupt)
        await run(plan(tmp_path / "d", stream, grace_s=0.0), world(server), stop)
        opened = await Outbox.open(
            RealDisk(), tmp_path / "d", clock=VirtualClock(), lanes=DirectLanes()
        )
        await asyncio.gather(
            *(opened.acknowledge(seq, status=200, replayed=False) for seq in (1, 2, 3))
        )
        await opened.close()

    run_virtual(main())
    assert states(tmp_path / "d") == ["acknowledged"] * 3
