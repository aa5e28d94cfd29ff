"""Whole runs on virtual time: what is sent when, and how a run ends."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.agent_world import (
    KEY,
    DirectLanes,
    MemoryServer,
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

from fractal_lba.agent import load as load_module
from fractal_lba.agent.bounds import OutboxBounds
from fractal_lba.agent.deadletters import read_dead_letters
from fractal_lba.agent.ports import Lane
from fractal_lba.agent.run import Plan, run_agent
from fractal_lba.agent.sources.byte_file import ByteFile
from fractal_lba.agent.sources.followed import Followed
from fractal_lba.agent.sources.streams import FileStream, FollowedStream
from fractal_lba.agent.stop import Stop
from fractal_lba.agent.tally import Exit, Tally
from fractal_lba.client import Answer
from fractal_lba.protocol import parse_record
from fractal_lba.wal import RealDisk


class TestShipping:
    def test_a_record_is_sent_with_its_delivery_until_the_answer_is_final(
        self, tmp_path: Path
    ) -> None:
        statuses = iter([503, 429, 200])
        server = MemoryServer(status=lambda _record: next(statuses))
        tally = run_virtual(
            run(plan(tmp_path / "d", csv_stream(tmp_path / "x.csv", 3)), world(server))
        )
        assert [record["delivery"]["attempt"] for record in server.sent] == [1, 2, 3]
        assert {record["delivery"]["outbox_seq"] for record in server.sent} == {1}
        sent_at = [record["delivery"]["sent_at"] for record in server.sent]
        assert sent_at == sorted(sent_at)
        assert sent_at[0] < sent_at[2]
        assert (tally.retries, tally.accepted, tally.pending) == (2, 1, 0)
        assert tally.exit is Exit.DONE
        assert tally.trouble == ""

    def test_what_is_sent_is_a_whole_record_that_verifies(self, tmp_path: Path) -> None:
        bodies: list[bytes] = []
        server = MemoryServer(before=bodies.append)
        run_virtual(run(plan(tmp_path / "d", csv_stream(tmp_path / "x.csv", 9)), world(server)))
        records = [parse_record(body) for body in bodies]
        assert [record.epoch for record in records] == [0, 1, 2]
        assert {record.kid for record in records} == {KEY.kid}
        assert {record.created_at[:10] for record in records} == {"2026-01-01"}
        assert all(len(record.signature) == 32 for record in records)
        assert not any(record.ft.degraded or record.ft.fallbacks for record in records)

    def test_no_more_than_so_many_are_in_flight_and_that_many_are(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(load_module, "WINDOWS_MAX", 1)

        class Counting(MemoryServer):
            now = most = 0

            @override
            async def submit(self, body: bytes) -> Answer:
                self.now += 1
                self.most = max(self.most, self.now)
                try:
                    return await super().submit(body)
                finally:
                    self.now -= 1

        server = Counting()
        server.latency_s = 10.0
        stream = csv_stream(tmp_path / "x.csv", 60)
        run_virtual(run(plan(tmp_path / "d", stream, in_flight=5), world(server)))
        assert server.most == 5
        assert len(server.decided) == 20

    def test_a_success_that_is_not_about_the_record_is_not_taken(self, tmp_path: Path) -> None:
        class Portal(MemoryServer):
            @override
            async def submit(self, body: bytes) -> Answer:
                if len(self.sent) < 3:
                    self.sent.append(json.loads(body))
                    return Answer(status=200, body=b"<html>log in first</html>")
                return await super().submit(body)

        server = Portal()
        tally = run_virtual(
            run(plan(tmp_path / "d", csv_stream(tmp_path / "x.csv", 3)), world(server))
        )
        assert len(server.sent) == 4
        assert (tally.retries, tally.accepted) == (3, 1)

    @pytest.mark.parametrize("status", [403, 404])
    def test_a_refusal_that_is_not_the_servers_is_sent_again_and_said(
        self, tmp_path: Path, status: int
    ) -> None:
        why: list[str] = []

        class Portal(MemoryServer):
            @override
            async def submit(self, body: bytes) -> Answer:
                if len(self.sent) < 3:
                    self.sent.append(json.loads(body))
                    return Answer(status=status, body=b"<html>nothing here</html>")
                why.append(tally.trouble)
                return await super().submit(body)

        server = Portal()
        tally = Tally(say=lambda _text: None)
        given = plan(tmp_path / "d", csv_stream(tmp_path / "x.csv", 3))
        run_virtual(run_agent(given, world(server), Stop(), tally))
        assert (tally.retries, tally.accepted, tally.dead_letters) == (3, 1, 0)
        assert why[0].startswith(f"answer {status} to outbox frame 1: expected a decision about")
        assert list(read_dead_letters(RealDisk(), tmp_path / "d")) == []

    def test_a_lost_acknowledgement_leads_to_a_repeat_that_is_counted(self, tmp_path: Path) -> None:
        server = MemoryServer()
        stream = csv_stream(tmp_path / "x.csv", 6)
        run_virtual(run(plan(tmp_path / "a", stream), world(server)))
        # The same windows from another folder: the server has decided them.
        tally = run_virtual(run(plan(tmp_path / "b", stream), world(server)))
        assert (tally.repeats, tally.accepted) == (2, 2)
        assert ids(tmp_path / "b").contents.repeats == 2

    @pytest.mark.parametrize("status", [400, 401, 403, 409, 410, 413, 422])
    def test_what_is_not_accepted_goes_to_the_dead_letters(
        self, tmp_path: Path, status: int
    ) -> None:
        server = MemoryServer(status=lambda record: status if record["epoch"] == 1 else 202)
        stream = csv_stream(tmp_path / "x.csv", 9)
        tally = run_virtual(run(plan(tmp_path / "d", stream), world(server)))
        assert (tally.dead_letters, tally.escalated, tally.pending) == (1, 2, 0)
        assert tally.exit is Exit.DEAD_LETTERS
        (letter,) = read_dead_letters(RealDisk(), tmp_path / "d")
        assert letter is not None
        assert (letter.status, letter.epoch) == (status, 1)
        assert states(tmp_path / "d") == ["acknowledged", "dead", "acknowledged"]

    def test_the_slowest_answer_counts_from_the_first_attempt(self, tmp_path: Path) -> None:
        statuses = iter([503, 200])
        server = MemoryServer(status=lambda _record: next(statuses))
        server.latency_s = 2.0
        tally = run_virtual(
            run(plan(tmp_path / "d", csv_stream(tmp_path / "x.csv", 3)), world(server))
        )
        assert 4000 <= tally.slowest_answer_ms <= 4100

    def test_bodies_wait_on_disk_and_not_in_memory(self, tmp_path: Path) -> None:
        server = MemoryServer()
        most = 0

        def watch(_body: bytes) -> None:
            nonlocal most
            most = max(most, ids(tmp_path / "d").contents.windows - len(server.decided))

        server.before = watch
        server.latency_s = 5.0
        stream = csv_stream(tmp_path / "x.csv", 60)
        few = plan(tmp_path / "d", stream, outbox=OutboxBounds(records_max=4))
        tally = run_virtual(run(few, world(server)))
        assert tally.accepted == 20
        assert most <= 4  # observing waited for the server


class TestStreams:
    def test_files_of_one_stream_share_its_epochs_in_the_order_given(self, tmp_path: Path) -> None:
        streams = [
            csv_stream(tmp_path / "x.csv", 6),
            csv_stream(tmp_path / "y.csv", 6, first=100),
            csv_stream(tmp_path / "z.csv", 6, shard_id="t", first=200),
        ]
        server = MemoryServer()
        run_virtual(run(plan(tmp_path / "d", *streams, in_flight=1), world(server)))
        assert [(each["shard_id"], each["epoch"]) for each in server.sent] == [
            ("s", 0), ("s", 1), ("s", 2), ("s", 3), ("t", 0), ("t", 1),
        ]  # fmt: skip
        assert all(len(found) == 1 for found in server.windows().values())

    def test_epochs_go_on_in_the_next_run_over_another_file(self, tmp_path: Path) -> None:
        server = MemoryServer()
        for name, first in (("x.csv", 0), ("y.csv", 100)):
            stream = csv_stream(tmp_path / name, 6, first=first)
            run_virtual(run(plan(tmp_path / "d", stream), world(server)))
        assert sorted(server.windows()) == [("s", 0), ("s", 1), ("s", 2), ("s", 3)]

    def test_a_file_that_grew_is_read_on(self, tmp_path: Path) -> None:
        server = MemoryServer()
        for rows in (7, 10, 11, 16):
            stream = csv_stream(tmp_path / "x.csv", rows)
            run_virtual(run(plan(tmp_path / "d", stream), world(server)))
        assert sorted(server.windows()) == [("s", epoch) for epoch in range(5)]
        assert [record["n"] for record in server.sent] == [3, 4, 3, 3, 3]

    def test_a_source_that_cannot_be_read_does_not_stop_the_others(self, tmp_path: Path) -> None:
        short = tmp_path / "short"
        short.write_bytes(b"ab")
        streams = [
            FileStream(shard_id="short", source=ByteFile(short)),
            csv_stream(tmp_path / "x.csv", 6),
        ]
        server = MemoryServer()
        tally = run_virtual(run(plan(tmp_path / "d", *streams), world(server)))
        assert tally.accepted == 2
        assert tally.source_failures == [f"{short}: expected at least 3 bytes, got 2"]
        assert tally.exit is Exit.UNUSABLE

    def test_a_followed_name_of_a_folder_does_not_stop_the_others(self, tmp_path: Path) -> None:
        path = tmp_path / "folder.csv"
        path.mkdir()
        followed = FollowedStream(shard_id="f", source=Followed(ByteFile(path), path))
        stream = csv_stream(tmp_path / "x.csv", 3)
        tally = run_virtual(
            run(plan(tmp_path / "d", stream, followed=[followed]), world(MemoryServer()))
        )
        (why,) = tally.source_failures
        assert why.endswith("folder.csv: expected a regular file to follow, got another kind")
        assert tally.accepted == 1

    def test_a_truncated_file_is_refused_with_both_sizes_and_sends_nothing(
        self, tmp_path: Path
    ) -> None:
        server = MemoryServer()
        path = tmp_path / "x"
        stream = FileStream(shard_id="x", source=ByteFile(path))
        path.write_bytes(bytes(100))
        run_virtual(run(plan(tmp_path / "d", stream), world(server)))
        path.write_bytes(bytes(50))
        tally = run_virtual(run(plan(tmp_path / "d", stream), world(server)))
        assert (
            "expected at least 100 bytes, which were read before, got 50"
            in (tally.source_failures[0])
        )
        assert tally.windows == 0


class TestLive:
    def test_samples_become_windows_until_the_end_of_the_duration(self, tmp_path: Path) -> None:
        server = MemoryServer()
        settings: dict[str, Any] = {"live": live(), "interval_s": 0.1, "duration_s": 1.15}
        tally = run_virtual(run(plan(tmp_path / "d", **settings), world(server)))
        # 11 samples, at 0.1 … 1.1 s.
        assert [record["n"] for record in server.sent] == [3, 3, 5]
        assert tally.exit is Exit.DONE
        assert [record["d"] for record in server.sent] == [9] * 3

    def test_epochs_of_a_live_source_go_on(self, tmp_path: Path) -> None:
        server = MemoryServer()
        for _ in range(2):
            settings: dict[str, Any] = {"live": live(), "interval_s": 0.1, "duration_s": 0.65}
            run_virtual(run(plan(tmp_path / "d", **settings), world(server)))
        assert sorted(server.windows()) == [("live:h", epoch) for epoch in range(4)]

    def test_fewer_than_three_samples_are_no_window(self, tmp_path: Path) -> None:
        settings: dict[str, Any] = {"live": live(), "interval_s": 0.1, "duration_s": 0.25}
        tally = run_virtual(run(plan(tmp_path / "d", **settings), world(MemoryServer())))
        assert (tally.windows, tally.exit) == (0, Exit.DONE)

    def test_sampling_goes_on_while_the_outbox_is_slow(self, tmp_path: Path) -> None:
        class SlowOutbox(DirectLanes):
            @override
            async def turn(self, _lane: Lane) -> None:
                await asyncio.sleep(0.5 if _lane is Lane.OUTBOX else 0.0)

        server = MemoryServer()
        given = world(server)
        slow = type(given)(
            clock=given.clock,
            lanes=SlowOutbox(),
            disk=given.disk,
            servers=given.servers,
            rng=given.rng,
        )
        settings: dict[str, Any] = {"live": live(), "interval_s": 0.1, "duration_s": 3.05}
        run_virtual(run(plan(tmp_path / "d", **settings), slow))
        assert sum(record["n"] for record in server.sent) == 30

    def test_a_host_without_counters_is_a_source_that_cannot_be_read(self, tmp_path: Path) -> None:
        settings: dict[str, Any] = {"live": live(lambda _: ""), "interval_s": 0.1}
        tally = run_virtual(run(plan(tmp_path / "d", **settings), world(MemoryServer())))
        assert tally.exit is Exit.UNUSABLE
        assert "live source: expected /proc/stat" in tally.source_failures[0]

    def test_files_are_observed_beside_the_live_source(self, tmp_path: Path) -> None:
        server = MemoryServer()
        stream = csv_stream(tmp_path / "x.csv", 6)
        settings: dict[str, Any] = {"live": live(), "interval_s": 0.1, "duration_s": 0.65}
        run_virtual(run(plan(tmp_path / "d", stream, **settings), world(server)))
        assert len(server.windows()) == 4


class TestStopping:
    def stopped(
        self, plan: Plan, server: MemoryServer, *signals_at_s: float
    ) -> tuple[Tally, float]:
        """Run, interrupt at these times, and return the tally and when the run ended."""

        async def main() -> tuple[Tally, float]:
            stop = Stop()
            loop = asyncio.get_running_loop()
            for at_s in signals_at_s:
                loop.call_at(at_s, stop.interrupt)
            tally = await run(plan, world(server), stop)
            return tally, loop.time()

        return run_virtual(main())

    def test_a_signal_ends_observing_and_ships_the_rest(self, tmp_path: Path) -> None:
        server = MemoryServer()
        tally, ended_s = self.stopped(
            plan(tmp_path / "d", live=live(), interval_s=0.1), server, 0.85
        )
        assert [record["n"] for record in server.sent] == [3, 5]
        assert (tally.pending, tally.exit) == (0, Exit.DONE)
        assert ended_s < 1.0

    def test_the_grace_period_ends_sending_and_nothing_is_lost(self, tmp_path: Path) -> None:
        server = MemoryServer()
        server.is_down = True
        stream = csv_stream(tmp_path / "x.csv", 9)
        tally, ended_s = self.stopped(plan(tmp_path / "d", stream, grace_s=7.0), server, 100.0)
        assert ended_s == pytest.approx(107.0)
        assert (tally.pending, tally.exit) == (3, Exit.PENDING)
        assert states(tmp_path / "d") == ["pending"] * 3
        server.is_down = False
        again = run_virtual(run(plan(tmp_path / "d", stream), world(server)))
        assert (again.windows, again.resumed, again.accepted) == (0, 3, 3)

    def test_a_second_signal_ends_it_at_once(self, tmp_path: Path) -> None:
        server = MemoryServer()
        server.is_down = True
        stream = csv_stream(tmp_path / "x.csv", 9)
        tally, ended_s = self.stopped(plan(tmp_path / "d", stream), server, 100.0, 101.5)
        assert ended_s == pytest.approx(101.5)
        assert tally.pending == 3

    def test_a_signal_stops_a_file_between_two_windows(self, tmp_path: Path) -> None:
        server = MemoryServer()
        stream = csv_stream(tmp_path / "x.csv", 300)
        stop = Stop()

        def interrupt_after_some(_body: bytes) -> None:
            if len(server.sent) == 1:
                stop.interrupt()

        server.before = interrupt_after_some
        tally = run_virtual(run(plan(tmp_path / "d", stream), world(server), stop))
        assert 1 < tally.windows < 100
        assert tally.pending == 0
        rest = run_virtual(run(plan(tmp_path / "d", stream), world(server)))
        assert tally.windows + rest.windows == 100
        assert sorted(server.windows()) == [("s", epoch) for epoch in range(100)]
        assert all(len(found) == 1 for found in server.windows().values())

    def test_the_end_of_the_duration_ships_without_a_grace_period(self, tmp_path: Path) -> None:
        server = MemoryServer()
        server.is_down = True

        async def main() -> Tally:
            asyncio.get_running_loop().call_at(1000.0, server.come_up)
            settings: dict[str, Any] = {"live": live(), "interval_s": 0.1, "duration_s": 0.65}
            return await run(plan(tmp_path / "d", **settings), world(server))

        tally = run_virtual(main())
        assert (tally.accepted, tally.exit) == (2, Exit.DONE)

    def test_failing_dead_letters_stop_observing(self, tmp_path: Path) -> None:
        (tmp_path / "d").mkdir()
        server = MemoryServer(status=lambda record: 422 if record["epoch"] == 1 else 200)

        def break_letters(_body: bytes) -> None:
            (tmp_path / "d" / "dead-letters.ndjson").mkdir(exist_ok=True)

        server.before = break_letters
        tally, ended_s = self.stopped(plan(tmp_path / "d", live=live(), interval_s=0.1), server)
        assert ended_s < 2.0
        assert tally.exit is Exit.UNWRITABLE
        (tmp_path / "d" / "dead-letters.ndjson").rmdir()
        assert states(tmp_path / "d")[1] == "pending"
