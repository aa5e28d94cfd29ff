"""Trouble with servers, streams and single windows: what it costs, and whom it keeps waiting."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from tests.support.agent_world import csv_stream, plan, run, world
from tests.support.port_server import PortServer
from tests.support.virtual_time import run_virtual
from typing_extensions import override

from fractal_lba.agent import load as load_module
from fractal_lba.agent.budget import RATE_PER_S, SAVED_MAX, SHARE, WAIT_MAX_S
from fractal_lba.agent.run import run_agent
from fractal_lba.agent.session import World
from fractal_lba.agent.stop import Stop
from fractal_lba.agent.tally import Tally
from fractal_lba.client import Answer, BatchAnswer
from fractal_lba.protocol import Record

HOUR_S = 3_600.0


def among(*servers: PortServer, seed: int = 1) -> World:
    """Return a world with these servers, the preferred one first."""
    given = world(servers[0], seed=seed)
    return World(
        clock=given.clock,
        lanes=given.lanes,
        disk=given.disk,
        servers={f"http://server-{number}": server for number, server in enumerate(servers)},
        rng=given.rng,
    )


def ship(
    folder: Path,
    *servers: PortServer,
    until_s: float | None = None,
    after: Callable[[], Awaitable[None]] | None = None,
    in_flight: int = 16,
    is_ordered: bool = False,
    **streams: int,
) -> Tally:
    """Ship so many windows of each stream; stopped at a time, or at the end.

    Args:
        folder: An empty one.
        servers: The preferred one first.
        until_s: Sending ends then.
        after: Runs beside it.
        in_flight: As in ``Plan``.
        is_ordered: As in ``Plan``.
        streams: Windows of each stream.
    """

    async def main() -> Tally:
        stop = Stop()
        if until_s is not None:
            asyncio.get_running_loop().call_later(until_s, stop.sending.set)
        files = [
            csv_stream(folder / f"{name}.csv", 3 * count, shard_id=name, first=1_000 * number)
            for number, (name, count) in enumerate(streams.items())
        ]
        given = plan(folder / "d", *files, in_flight=in_flight, is_ordered=is_ordered)
        beside = asyncio.ensure_future(after()) if after is not None else None
        tally = await run(given, among(*servers), stop)
        if beside is not None:
            await beside
        return tally

    return run_virtual(main())


def open_answer(status: int, code: str, retry_after_s: float | None = None) -> Answer:
    body = b'{"code":"%s"}' % code.encode()
    return Answer(status=status, body=body, code=code, retry_after_s=retry_after_s)


class TestADeadServer:
    @pytest.mark.parametrize("windows", [1, 300])
    def test_it_is_asked_rarely_and_with_one_window(self, tmp_path: Path, windows: int) -> None:
        server = PortServer()
        server.is_down = True
        tally = ship(tmp_path, server, until_s=3 * HOUR_S, s=windows)
        assert (tally.pending, tally.dead_letters) == (windows, 0)
        # 150 an hour on the average: each wait is 16 … 32 s.
        for hour in (1, 2):
            requests = server.between(hour * HOUR_S, (hour + 1) * HOUR_S)
            assert 3_600 / 32 - 1 <= len(requests) <= 3_600 / 16 + 1
            assert {request.windows for request in requests} == {1}
        assert len(server.between(0, HOUR_S)) <= 3_600 / 16 + 30
        assert {request.windows for request in server.between(2.0)} == {1}

    def test_it_is_noticed_soon_when_it_is_back(self, tmp_path: Path) -> None:
        server = PortServer()
        server.is_down = True

        async def come_up() -> None:
            await asyncio.sleep(3 * HOUR_S)
            server.come_up()

        tally = ship(tmp_path, server, after=come_up, s=40)
        assert (tally.accepted, tally.pending) == (40, 0)
        (first, *_, last) = server.between(3 * HOUR_S)
        assert first.at_s <= 3 * HOUR_S + 32
        assert last.at_s <= first.at_s + 1

    def test_what_changes_is_said_once(self, tmp_path: Path) -> None:
        server = PortServer()
        server.is_down = True
        said: list[str] = []

        async def main() -> None:
            stop = Stop()
            loop = asyncio.get_running_loop()
            loop.call_later(HOUR_S, server.come_up)
            tally = Tally(say=said.append)
            stream = csv_stream(tmp_path / "x.csv", 30)
            await run_agent(plan(tmp_path / "d", stream), among(server), stop, tally)

        run_virtual(main())
        assert len(said) == 2
        assert said[0].startswith("http://server-0: expected answers in time, got too many")
        assert said[1] == "http://server-0: answers again"


class TestSeveralServers:
    def test_the_next_one_is_used_while_the_preferred_one_does_not_answer(
        self, tmp_path: Path
    ) -> None:
        first, second = PortServer(), PortServer()
        first.is_down = True
        tally = ship(tmp_path, first, second, s=40)
        assert (tally.accepted, tally.pending) == (40, 0)
        assert len(second.decided) == 40
        assert len(first.requests) == 5

    def test_a_server_that_answers_gets_everything(self, tmp_path: Path) -> None:
        first, second = PortServer(), PortServer()
        ship(tmp_path, first, second, s=40)
        assert (len(first.decided), second.requests) == (40, [])

    def test_the_preferred_one_is_the_way_again_when_its_probe_is_answered(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(load_module, "WINDOWS_MAX", 1)
        first, second = PortServer(), PortServer()
        first.is_down = True
        second.latency_s = 2.0

        async def come_up() -> None:
            await asyncio.sleep(60.0)
            first.come_up()

        tally = ship(tmp_path, first, second, after=come_up, in_flight=1, s=60)
        assert tally.pending == 0
        (probe, *rest) = first.between(60.0)
        assert probe.windows == 1
        assert second.between(0.0, 60.0)
        # What was under way there ends there; nothing new follows.
        assert not second.between(probe.at_s + 0.1)
        assert rest
        assert first.decided.keys() | second.decided.keys() == {
            *first.decided,
            *second.decided,
        }
        assert len({*first.decided, *second.decided}) == 60

    def test_while_one_is_down_it_gets_one_request_at_a_time(self, tmp_path: Path) -> None:
        first, second = PortServer(), PortServer()
        first.is_down = True
        first.latency_s = 20.0
        second.line = lambda _record: open_answer(503, "storage_unavailable")
        ship(tmp_path, first, second, until_s=HOUR_S, s=20, t=20)
        first.most = 0
        late = first.between(200.0)
        assert late
        assert all(after.at_s - before.at_s >= first.latency_s for before, after in pairwise(late))

    def test_a_server_that_refuses_everything_is_told_from_a_window_that_is_refused(
        self, tmp_path: Path
    ) -> None:
        """A window alone cannot tell; as a batch of one it can."""
        first, second = PortServer(), PortServer()
        first.whole = lambda: open_answer(503, "storage_unavailable", 1.0)
        tally = ship(tmp_path, first, second, s=1)
        assert tally.accepted == 1
        assert [request.is_batch for request in first.requests] == [False] + [True] * 4
        assert len(second.requests) == 1

    def test_a_server_that_knows_no_batch_gets_records(self, tmp_path: Path) -> None:
        class Early(PortServer):
            @override
            async def batch(self, bodies: Sequence[bytes]) -> BatchAnswer:
                self.batches += 1
                return BatchAnswer(refusal=open_answer(404, "not_found"))

            batches = 0

        server = Early()
        left = [open_answer(503, "storage_unavailable")] * 3
        server.line = lambda _record: left.pop() if left else None
        tally = ship(tmp_path, server, s=1)
        assert (tally.accepted, server.batches) == (1, 1)
        assert len(server.requests) == 4

    def test_one_whose_answers_take_too_long_is_left_for_the_next(self, tmp_path: Path) -> None:
        first, second = PortServer(), PortServer()
        first.latency_s = 20.0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(load_module, "WINDOWS_MAX", 1)
            tally = ship(tmp_path, first, second, s=60)
        assert tally.pending == 0
        assert len(first.requests) <= 12
        assert len(second.requests) >= 48


class TestAFlakyServer:
    def test_what_fails_again_and_again_stays_within_the_budget(self, tmp_path: Path) -> None:
        """Four requests in ten fail, too few for the breaker."""
        server = PortServer()
        rng = random.Random(3)  # noqa: S311 - a seed
        failed: list[float] = []

        def whole() -> Answer | None:
            if rng.random() >= 0.4:
                return None
            failed.append(asyncio.get_running_loop().time())
            return open_answer(503, "overloaded")

        server.whole = whole
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(load_module, "WINDOWS_MAX", 1)
            tally = ship(tmp_path, server, s=300)
        assert tally.accepted == 300
        # What is saved, what comes with time, a fifth of the new, and what was answered in the end.
        allowed = SAVED_MAX + RATE_PER_S * (failed[-1] + WAIT_MAX_S) + SHARE * 300 + 300
        assert len(server.requests) - 300 == len(failed) <= allowed
        assert len(failed) < 300


class TestAStuckStream:
    """One stream of two gets nothing but refusals for the moment, on its lines, for hours."""

    @pytest.mark.parametrize(
        "refusal",
        [
            open_answer(503, "storage_unavailable", 1.0),
            open_answer(429, "quota_exceeded", 300.0),
            open_answer(500, "internal_error"),
        ],
        ids=["503", "429", "500"],
    )
    def test_it_keeps_no_other_waiting_and_costs_little(
        self, tmp_path: Path, refusal: Answer
    ) -> None:
        server = PortServer()
        is_stuck = True

        def line(record: Record) -> Answer | None:
            return refusal if record.shard_id == "stuck" and is_stuck else None

        server.line = line

        async def mend() -> None:
            nonlocal is_stuck
            await asyncio.sleep(2 * HOUR_S)
            is_stuck = False

        # The stuck one is in front.
        tally = ship(tmp_path, server, after=mend, stuck=120, flowing=120)
        assert (tally.accepted, tally.pending) == (240, 0)
        others = [request for request in server.requests if "flowing" in request.streams]
        assert others[-1].at_s < 5.0
        # One window each ten seconds or so, not all of them.
        hour = server.between(HOUR_S, 2 * HOUR_S)
        assert len(hour) <= 3_600 / 5 * 1.2
        assert {request.windows for request in hour} == {1}
        assert server.requests[-1].at_s < 2 * HOUR_S + 330
        assert server.carried <= 240 + 120 + 2 * 3_600 / 5 * 1.2

    def test_a_poisonous_window_keeps_nothing_waiting(self, tmp_path: Path) -> None:
        """Its stream goes on, and so do servers: no breaker opens for it."""
        server, other = PortServer(), PortServer()

        def line(record: Record) -> Answer | None:
            is_poison = (record.shard_id, record.epoch) == ("s", 3)
            return open_answer(500, "internal_error") if is_poison else None

        server.line = line
        tally = ship(tmp_path, server, other, until_s=HOUR_S, s=50, t=50)
        assert (tally.accepted, tally.pending) == (99, 1)
        assert other.requests == []
        assert all(request.windows == 1 for request in server.between(2.0))
        assert len(server.between(2.0)) <= 3_600 / 5 * 1.2


class TestOrder:
    def test_a_streams_next_window_goes_when_the_one_before_is_final(self, tmp_path: Path) -> None:
        server = PortServer()
        epochs: dict[str, list[int]] = {"s": [], "t": []}
        left = {("s", 2): 3, ("t", 0): 1}

        def line(record: Record) -> Answer | None:
            epochs[record.shard_id].append(record.epoch)
            key = (record.shard_id, record.epoch)
            if left.get(key):
                left[key] -= 1
                return open_answer(503, "storage_unavailable")
            return open_answer(422, "x") if record.epoch == 4 else None

        server.line = line
        tally = ship(tmp_path, server, is_ordered=True, s=6, t=6)
        assert (tally.accepted, tally.dead_letters) == (10, 2)
        assert epochs["s"] == [0, 1, 2, 2, 2, 2, 3, 4, 5]
        assert epochs["t"] == [0, 0, 1, 2, 3, 4, 5]

    def test_a_stream_that_is_stuck_stops_no_other(self, tmp_path: Path) -> None:
        server = PortServer()
        server.line = lambda record: (
            open_answer(503, "storage_unavailable") if record.shard_id == "s" else None
        )
        tally = ship(tmp_path, server, is_ordered=True, until_s=60.0, s=5, t=50)
        assert (tally.accepted, tally.pending) == (50, 5)

    def test_an_outage_changes_no_order(self, tmp_path: Path) -> None:
        server = PortServer()
        epochs: list[int] = []

        def line(record: Record) -> None:
            epochs.append(record.epoch)

        server.line = line
        server.is_down = True

        async def come_up() -> None:
            await asyncio.sleep(100.0)
            server.come_up()

        ship(tmp_path, server, after=come_up, is_ordered=True, s=20)
        assert epochs == list(range(20))


class TestAFullServer:
    def test_sixteen_at_once_settle_at_the_four_a_server_lets_in(self, tmp_path: Path) -> None:
        """As an agent without a token meets the batches that unidentified callers share."""
        server = PortServer()
        server.room = 4
        server.latency_s = 0.2
        size = 4
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(load_module, "WINDOWS_MAX", size)
            tally = ship(tmp_path, server, s=480)
        assert (tally.accepted, tally.pending) == (480, 0)
        minimum = 480 / size
        print(f"{len(server.requests)} requests, {minimum:.0f} at the least")  # noqa: T201
        assert len(server.requests) <= 1.25 * minimum


def test_what_sending_does_is_measured_for_each_server(tmp_path: Path) -> None:
    first, second = PortServer(), PortServer()
    first.is_down = True
    second.line = lambda record: open_answer(422, "x") if record.epoch == 1 else None
    given = among(first, second)
    shown: dict[str, float] = {}

    def count() -> None:
        """Note the numbers; as a server's answer to the whole: none."""
        for sample in given.meter.samples():
            labels = ",".join(str(value) for _, value in sorted(sample.labels.items()))
            shown[f"{sample.name.removeprefix('flk_agent_')}[{labels}]"] = sample.value

    async def main() -> None:
        stream = csv_stream(tmp_path / "x.csv", 9)
        tally = Tally(say=lambda _text: None)
        second.whole = count
        await run_agent(plan(tmp_path / "d", stream, in_flight=1), given, Stop(), tally)
        count()

    run_virtual(main())
    one, two = "http://server-0", "http://server-1"
    assert shown[f"attempts_total[failed,{one}]"] == 5
    assert shown[f"attempts_total[answered,{one}]"] == 0
    assert shown[f"attempts_total[answered,{two}]"] >= 1
    assert shown[f"breaker_state[{one},open]"] == 1
    assert shown[f"breaker_state[{one},closed]"] == 0
    assert shown[f"breaker_state[{two},closed]"] == 1
    assert shown[f"breaker_opened_total[{one}]"] == 1
    assert shown[f"requests_in_flight[{two}]"] == 0
    assert shown["dead_letters[]"] == 1
    assert shown["retries_total[no_answer]"] >= 5
    assert 0 < shown["retry_budget_requests[]"] <= 20
