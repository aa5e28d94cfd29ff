"""The agent inside a program, on virtual time: what is on disk when, who is told, how it ends."""

import asyncio
import errno
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.agent_inside import TellingHooks, agent_of, points
from tests.support.agent_world import MemoryServer, ids, states
from tests.support.failing_disk import Effect, FailingDisk
from tests.support.virtual_time import run_virtual

from fractal_lba.agent import Event, Fate, Observed, Outcome
from fractal_lba.agent.bounds import OutboxBounds, OutboxFullError
from fractal_lba.protocol import ContractError, DurabilityError, LockedError, merkle_root
from fractal_lba.wal import RealDisk


def test_a_window_is_on_disk_when_observe_returns(tmp_path: Path) -> None:
    server = MemoryServer()
    server.is_down = True

    async def main() -> Observed:
        async with agent_of(tmp_path, server, grace_s=0.0) as agent:
            observed = await agent.observe(points(0))
            assert [(each.pcs_id, each.state) for each in (ids(tmp_path).ids or {}).values()] == [
                (observed.pcs_id, "pending")
            ]
            assert agent.is_pending(observed)
        return observed

    observed = run_virtual(main())
    assert (observed.shard_id, observed.epoch, observed.outbox_seq, observed.n) == ("s", 0, 1, 4)
    assert states(tmp_path) == ["pending"]


def test_the_record_is_of_the_window_as_it_was_given(tmp_path: Path) -> None:
    server = MemoryServer()

    async def main() -> None:
        async with agent_of(tmp_path, server) as agent:
            window = points(0)
            observing = asyncio.create_task(agent.observe(window))
            await asyncio.sleep(0)
            window[:] = 0.0  # whoever gave it goes on with it
            await observing
            await agent.observe(b"some text", shard_id="texts")

    run_virtual(main())
    of_points, of_text = sorted(server.sent, key=lambda record: str(record["shard_id"]))
    rows = [row.astype("<f8").tobytes() for row in points(0)]
    assert of_points["merkle_root"] == merkle_root(rows).hex()
    assert (of_points["profile"], of_points["d"]) == ("points/1", 2)
    assert of_text["merkle_root"] == merkle_root([b"some text"]).hex()
    assert (of_text["profile"], of_text["n"]) == ("bytes/1", 9)


def test_many_tasks_on_one_stream_get_an_epoch_each(tmp_path: Path) -> None:
    server = MemoryServer()

    async def main() -> list[Observed]:
        async with agent_of(tmp_path, server) as agent:
            return list(await asyncio.gather(*(agent.observe(points(at)) for at in range(40))))

    kept = run_virtual(main())
    assert sorted(each.epoch for each in kept) == list(range(40))
    assert len({each.outbox_seq for each in kept}) == 40
    assert sorted(server.windows()) == [("s", epoch) for epoch in range(40)]
    assert all(len(found) == 1 for found in server.windows().values())


def test_tasks_that_waited_for_room_get_an_epoch_each_too(tmp_path: Path) -> None:
    server = MemoryServer()

    async def main() -> list[Observed]:
        async with agent_of(tmp_path, server, bounds=OutboxBounds(records_max=2)) as agent:
            return list(await asyncio.gather(*(agent.observe(points(at)) for at in range(12))))

    assert sorted(each.epoch for each in run_virtual(main())) == list(range(12))
    assert all(len(found) == 1 for found in server.windows().values())


def test_an_agent_that_closes_waits_for_no_room_that_never_comes(tmp_path: Path) -> None:
    server = MemoryServer()
    server.is_down = True

    async def main() -> float:
        agent = agent_of(tmp_path, server, bounds=OutboxBounds(records_max=2), grace_s=3.0)
        await agent.open()
        observing = [asyncio.create_task(agent.observe(points(at))) for at in range(4)]
        await asyncio.wait(observing, timeout=1.0)
        assert [each.done() for each in observing].count(True) == 2
        assert (await agent.close()).windows == 2
        found = await asyncio.gather(*observing, return_exceptions=True)
        assert [type(each) for each in found].count(OutboxFullError) == 2
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(4.0)
    assert states(tmp_path) == ["pending"] * 2


def test_epochs_go_on_with_the_next_agent(tmp_path: Path) -> None:
    server = MemoryServer()

    async def main() -> list[int]:
        epochs = []
        for at in range(3):
            async with agent_of(tmp_path, server) as agent:
                epochs.append((await agent.observe(points(at))).epoch)
        return epochs

    assert run_virtual(main()) == [0, 1, 2]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[1.0, 2.0], [3.0, np.nan], [5.0, 6.0]], "row 1, column 1: expected a finite number"),
        ([[1.0], [2.0]], "expected 3 to 65536 rows, got 2"),
        ([[1.0], [2.0, 3.0], [4.0]], "expected rows of equal length"),
        ("text", "expected real numbers"),
        (b"ab", "expected 3 to 65536 bytes, got 2"),
    ],
)
def test_a_window_that_cannot_be_summarised_is_refused_and_takes_no_epoch(
    tmp_path: Path,
    given: Any,  # noqa: ANN401 - whatever a program may give
    message: str,
) -> None:
    async def main() -> int:
        async with agent_of(tmp_path, MemoryServer()) as agent:
            with pytest.raises(ContractError, match=message):
                await agent.observe(given)
            return (await agent.observe(points(0))).epoch

    assert run_virtual(main()) == 0
    assert states(tmp_path) == ["acknowledged"]


def test_meta_and_trace_id_are_in_the_record_and_bad_ones_take_no_epoch(tmp_path: Path) -> None:
    server = MemoryServer()

    async def main() -> None:
        async with agent_of(tmp_path, server) as agent:
            with pytest.raises(ContractError, match="meta"):
                await agent.observe(points(0), meta={"NO": "x"})
            await agent.observe(points(0), meta={"step": 7}, trace_id="4bf92f3577b34da6")

    run_virtual(main())
    (record,) = server.sent
    assert record["meta"] == {"step": 7, "trace_id": "4bf92f3577b34da6"}
    assert record["epoch"] == 0


class TestFlush:
    def test_it_waits_for_what_is_on_disk_and_not_for_what_comes_later(
        self, tmp_path: Path
    ) -> None:
        server = MemoryServer()
        server.latency_s = 2.0

        async def main() -> tuple[float, int]:
            loop = asyncio.get_running_loop()
            async with agent_of(tmp_path, server) as agent:
                first = await agent.observe(points(0))
                loop.call_later(1.0, lambda: later.append(loop.create_task(observe_more())))
                later: list[asyncio.Task[Observed]] = []

                async def observe_more() -> Observed:
                    return await agent.observe(points(1))

                left = await agent.flush(100.0)
                assert not agent.is_pending(first)
                return loop.time(), left.windows

        after_s, left = run_virtual(main())
        assert after_s == pytest.approx(2.0)
        assert left == 1

    def test_at_its_deadline_it_tells_what_is_pending_and_why(self, tmp_path: Path) -> None:
        server = MemoryServer()
        server.is_down = True

        async def main() -> None:
            loop = asyncio.get_running_loop()
            async with agent_of(tmp_path, server, grace_s=0.0) as agent:
                for at in range(3):
                    await agent.observe(points(at))
                begun_s = loop.time()
                left = await agent.flush(5.0)
                assert loop.time() - begun_s == pytest.approx(5.0)
                assert (left.windows, left.oldest_seq) == (3, 1)
                assert left.last_failure == "expected an answer, got none"
                assert (await agent.flush(0.0)).windows == 3

        run_virtual(main())

    def test_nothing_pending_is_nothing_to_wait_for(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with agent_of(tmp_path, MemoryServer()) as agent:
                left = await agent.flush(5.0)
                assert (left.windows, left.oldest_seq) == (0, None)
                assert asyncio.get_running_loop().time() == 0.0

        run_virtual(main())


class TestOutcomes:
    def test_each_fate_is_told_once_to_its_own_callback(self, tmp_path: Path) -> None:
        told: dict[Fate, list[Outcome]] = {fate: [] for fate in Fate}
        statuses = {0: 200, 1: 202, 2: 422}
        server = MemoryServer(status=lambda record: statuses[record["epoch"]])

        async def main() -> list[Observed]:
            callbacks = {fate: outcomes.append for fate, outcomes in told.items()}
            async with agent_of(tmp_path, server, callbacks=callbacks) as agent:
                return [await agent.observe(points(at)) for at in range(3)]

        kept = run_virtual(main())
        fates = (Fate.ACCEPTED, Fate.ESCALATED, Fate.DEAD)
        for observed, fate in zip(kept, fates, strict=True):
            (outcome,) = told[fate]
            assert outcome.pcs_id == observed.pcs_id
            assert outcome.outbox_seq == observed.outbox_seq
            assert (outcome.fate, outcome.status) == (fate, statuses[observed.epoch])

    def test_the_dead_letter_is_there_when_its_outcome_is_told(self, tmp_path: Path) -> None:
        lines: list[int] = []

        def count(_outcome: Outcome) -> None:
            lines.append((tmp_path / "dead-letters.ndjson").read_bytes().count(b"\n"))

        async def main() -> None:
            server = MemoryServer(status=lambda _record: 422)
            async with agent_of(tmp_path, server, callbacks={Fate.DEAD: count}) as agent:
                await agent.observe(points(0))

        run_virtual(main())
        assert lines == [1]

    def test_a_callback_that_raises_is_logged_and_does_not_stop_shipping(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(_outcome: Outcome) -> None:
            raise KeyError

        async def main() -> int:
            callbacks = {Fate.ACCEPTED: fail}
            async with agent_of(tmp_path, MemoryServer(), callbacks=callbacks) as agent:
                for at in range(3):
                    await agent.observe(points(at))
                return (await agent.flush(60.0)).windows

        with caplog.at_level(logging.WARNING, "fractal_lba.agent"):
            assert run_virtual(main()) == 0
        assert [record.getMessage() for record in caplog.records] == [
            "callback on_accepted: expected no exception, got KeyError"
        ] * 3
        assert states(tmp_path) == ["acknowledged"] * 3


class TestClosing:
    def test_what_is_being_observed_is_kept_and_nothing_new_is_taken(self, tmp_path: Path) -> None:
        told = TellingHooks()

        async def main() -> Observed:
            agent = agent_of(tmp_path, MemoryServer(), hooks=told)
            await agent.open()
            observing = asyncio.create_task(agent.observe(points(0)))
            await told.begun[Event.OBSERVE].wait()
            closing = asyncio.create_task(agent.close())
            await asyncio.sleep(0)
            assert not observing.done()
            with pytest.raises(ContractError, match="got one that is closed"):
                await agent.observe(points(9))
            assert (await closing).windows == 0
            return await observing

        assert run_virtual(main()).epoch == 0
        assert states(tmp_path) == ["acknowledged"]

    def test_it_sends_for_the_grace_period_and_keeps_the_rest(self, tmp_path: Path) -> None:
        server = MemoryServer()
        server.is_down = True

        async def main() -> float:
            agent = agent_of(tmp_path, server, grace_s=7.0)
            await agent.open()
            await agent.observe(points(0))
            assert (await agent.close()).windows == 1
            assert (await agent.close()).windows == 1  # again: nothing changes
            return asyncio.get_running_loop().time()

        assert run_virtual(main()) == pytest.approx(7.0)
        server.is_down = False

        async def later() -> int:
            async with agent_of(tmp_path, server) as agent:
                return (await agent.flush(60.0)).windows

        assert run_virtual(later()) == 0
        assert states(tmp_path) == ["acknowledged"]

    def test_an_agent_is_opened_once_and_observes_only_then(self, tmp_path: Path) -> None:
        async def main() -> None:
            agent = agent_of(tmp_path, MemoryServer())
            with pytest.raises(ContractError, match="never opened"):
                await agent.observe(points(0))
            async with agent:
                with pytest.raises(ContractError, match="not opened yet"):
                    await agent.open()
            with pytest.raises(ContractError, match="not opened yet"):
                await agent.open()

        run_virtual(main())

    def test_a_second_agent_on_the_folder_is_refused_and_the_first_goes_on(
        self, tmp_path: Path
    ) -> None:
        async def main() -> None:
            async with agent_of(tmp_path, MemoryServer()) as agent:
                with pytest.raises(LockedError):
                    await agent_of(tmp_path, MemoryServer()).open()
                await agent.observe(points(0))

        run_virtual(main())
        assert states(tmp_path) == ["acknowledged"]


def test_a_disk_that_refuses_is_raised_and_ends_the_agent(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())

    async def main() -> None:
        agent = agent_of(tmp_path, MemoryServer(), disk)
        await agent.open()
        await agent.observe(points(0))
        await agent.flush(60.0)
        disk.fail_next(1, error=errno.EIO, effect=Effect.NONE)
        with pytest.raises(DurabilityError, match="expected"):
            await agent.observe(points(1))
        with pytest.raises(ContractError, match="closed"):
            await agent.observe(points(2))
        with pytest.raises(DurabilityError):
            await agent.close()

    run_virtual(main())

    async def again() -> int:
        async with agent_of(tmp_path, MemoryServer()) as agent:
            return (await agent.observe(points(2))).epoch

    # What failed may have used its epoch; no two windows share one.
    assert run_virtual(again()) >= 1


def test_a_deadline_that_is_no_number_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with agent_of(tmp_path, MemoryServer()) as agent:
            await agent.observe(points(0))
            with pytest.raises(ContractError, match=r"deadline_s: expected a number .* got nan"):
                await agent.flush(float("nan"))

    run_virtual(main())
