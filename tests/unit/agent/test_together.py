"""Windows that a source has at hand are kept together; which are, and what stays as it was."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.agent_world import RECIPE, MemoryServer, csv_stream, plan, states, world
from tests.support.outboxes import opened
from tests.support.virtual_time import run_virtual
from typing_extensions import override

from fractal_lba.agent import gathering
from fractal_lba.agent.bounds import OutboxBounds, WhenFull
from fractal_lba.agent.cutting import Units
from fractal_lba.agent.gathering import TOGETHER_S_MAX, gather
from fractal_lba.agent.hooks import Attribute, Event, Silent
from fractal_lba.agent.keeper import Keeper
from fractal_lba.agent.kept import Keeping
from fractal_lba.agent.run import Plan, run_agent
from fractal_lba.agent.sources.csv_rows import CsvRows
from fractal_lba.agent.sources.followed import Followed
from fractal_lba.agent.sources.streams import FileStream, FollowedStream, UnitStream
from fractal_lba.agent.stop import Stop
from fractal_lba.agent.tally import Exit, Tally
from fractal_lba.agent.window import Window
from fractal_lba.protocol import ContractError, Profile


class Appends(Silent):
    """Remembers how many windows each append took."""

    def __init__(self) -> None:
        self.windows: list[int] = []

    @override
    def start(self, event: Event, attributes: Mapping[str, Attribute], /) -> object:
        if event is Event.APPEND:
            self.windows.append(int(attributes["windows"]))
        return None


def appends_of(plan: Plan) -> tuple[list[int], Tally]:
    """Run an agent to its end; return how many windows each append took, and what it counted."""
    hooks, tally = Appends(), Tally(say=lambda _text: None)
    run_virtual(run_agent(plan, replace(world(MemoryServer()), hooks=hooks), Stop(), tally))
    return hooks.windows, tally


def window(value: float, size: int = 4) -> Window:
    return Window(data=np.arange(size * 2.0).reshape(size, 2) + value, after=None)


@dataclass
class Ticks:
    """A clock that somebody moves."""

    at_s: float = 0.0

    def now_ns(self) -> int:
        return int(self.at_s * 1e9)

    def monotonic_s(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        self.at_s += seconds


class TestFiles:
    def test_the_small_windows_of_a_file_are_appended_sixteen_at_a_time(
        self, tmp_path: Path
    ) -> None:
        found, tally = appends_of(plan(tmp_path / "d", csv_stream(tmp_path / "x.csv", 3 * 40)))
        assert found == [16, 16, 8]
        assert (tally.windows, tally.accepted, tally.exit) == (40, 40, Exit.DONE)

    def test_a_file_that_is_followed_gives_what_it_holds_by_then(self, tmp_path: Path) -> None:
        csv_stream(tmp_path / "x.csv", 3 * 5)
        stream = FollowedStream(
            shard_id="s", source=Followed(CsvRows(tmp_path / "x.csv", None), tmp_path / "x.csv")
        )
        found, tally = appends_of(plan(tmp_path / "d", followed=(stream,), duration_s=2.0))
        assert found == [4]  # the last three rows wait for what comes
        assert tally.windows == 4

    def test_large_windows_are_appended_one_at_a_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gathering, "TOGETHER_BYTES_MAX", 48)
        found, _ = appends_of(plan(tmp_path / "d", csv_stream(tmp_path / "x.csv", 9)))
        assert found == [1, 1, 1]

    def test_what_stands_before_a_row_that_cannot_be_read_is_kept(self, tmp_path: Path) -> None:
        csv_stream(tmp_path / "x.csv", 3 * 5)
        with (tmp_path / "x.csv").open("a") as file:
            file.write("6,no number\n")
        stream = FileStream(shard_id="s", source=CsvRows(tmp_path / "x.csv", None))
        found, tally = appends_of(plan(tmp_path / "d", stream))
        assert found == [4]
        assert tally.exit is Exit.UNUSABLE
        assert states(tmp_path / "d") == ["acknowledged"] * 4

    @pytest.mark.parametrize("policy", WhenFull)
    def test_no_more_are_taken_than_the_outbox_has_room_for(
        self, tmp_path: Path, policy: WhenFull
    ) -> None:
        bounds = OutboxBounds(records_max=4, when_full=policy)
        found, tally = appends_of(
            plan(tmp_path / "d", csv_stream(tmp_path / "x.csv", 3 * 10), outbox=bounds)
        )
        assert found[0] == 4
        if policy is WhenFull.REFUSE:
            assert (sum(found), tally.exit) == (4, Exit.UNWRITABLE)
            assert states(tmp_path / "d") == ["acknowledged"] * 4
        else:
            assert (sum(found), tally.exit) == (10, Exit.DONE)

    def test_an_outbox_is_passed_by_one_window_and_not_by_a_call(self, tmp_path: Path) -> None:
        bounds = OutboxBounds(bytes_max=1_500, when_full=WhenFull.REFUSE)
        found, tally = appends_of(
            plan(tmp_path / "d", csv_stream(tmp_path / "x.csv", 3 * 10), outbox=bounds)
        )
        assert set(found) == {1}
        assert tally.windows == len(found) < 10

    def test_where_windows_are_kept_each_has_its_copy_before_its_append(
        self, tmp_path: Path
    ) -> None:
        found, tally = appends_of(
            plan(
                tmp_path / "d",
                csv_stream(tmp_path / "x.csv", 3 * 4),
                kept=Keeping(folder=tmp_path / "kept"),
            )
        )
        assert found == [1, 1, 1, 1]
        assert tally.windows == len(list((tmp_path / "kept").glob("*.npy"))) == 4


class TestWhatComesByItself:
    def test_a_piece_with_many_windows_is_kept_together_and_a_full_window_at_once(
        self, tmp_path: Path
    ) -> None:
        class Pieces:
            key = name = "pieces:"
            profile = Profile.POINTS
            waiting_max = 4

            async def run(self, put: Callable[[Units], Awaitable[None]]) -> None:
                await put([[float(at), 0.5] for at in range(3 * 20 + 3)])
                await asyncio.sleep(1.0)
                for at in range(6):
                    await put([[float(at), 0.25]])
                    await asyncio.sleep(1.0)

        stream = UnitStream(shard_id="s", source=Pieces())
        found, tally = appends_of(plan(tmp_path / "d", standard_input=stream))
        assert found == [16, 4, 1, 1, 1]
        assert (tally.windows, tally.exit) == (23, Exit.DONE)


class TestGathering:
    def test_what_is_slow_to_read_is_handed_over_as_it_comes(self) -> None:
        clock = Ticks()

        def pieces() -> Iterator[Window]:
            for value in range(4):
                clock.at_s += TOGETHER_S_MAX / 2
                yield window(value)

        source = pieces()
        sizes = [len(gather(source, room=16, clock=clock).windows) for _ in range(2)]
        assert sizes == [2, 2]
        last = gather(source, room=16, clock=clock)
        assert (last.windows, last.is_end, last.failure) == ([], True, None)

    def test_nothing_yet_ends_a_gathering_and_a_failure_leaves_what_was_read(self) -> None:
        def pieces() -> Iterator[Window | None]:
            yield window(0)
            yield None
            yield window(1)
            yield window(2)
            raise ContractError("x: expected a row, got none")

        source = pieces()
        found = [gather(source, room=16, clock=Ticks()) for _ in range(2)]
        assert [len(each.windows) for each in found] == [1, 2]
        assert found[0].failure is None
        assert str(found[1].failure) == "x: expected a row, got none"


class TestKeeper:
    @pytest.mark.parametrize("bad_meta", [False, True])
    def test_windows_before_one_that_breaks_a_rule_are_kept_and_no_epoch_is_left_out(
        self, tmp_path: Path, *, bad_meta: bool
    ) -> None:
        bad = (
            replace(window(2), meta={"a": "x" * 100_000})
            if bad_meta
            else Window(data=np.full((4, 2), np.nan), after=None)
        )

        async def main() -> Sequence[int]:
            tally = Tally(say=lambda _text: None)
            async with opened(tmp_path / "d") as outbox:
                given = world(MemoryServer())
                keeper = Keeper(
                    outbox=outbox,
                    kept=None,
                    recipe=RECIPE,
                    tally=tally,
                    clock=given.clock,
                    lanes=given.lanes,
                    hooks=Silent(),
                )
                with pytest.raises(ContractError):
                    await keeper.keep_all(
                        [window(0), window(1), bad, window(3)],
                        source="x", shard_id="s", is_live=True,
                    )  # fmt: skip
                assert tally.windows == 2
                found = await keeper.keep_all(
                    [window(4), window(5)], source="x", shard_id="s", is_live=True
                )
                assert [each.outbox_seq for each in found] == [3, 4]
                return [each.epoch for each in found]

        assert run_virtual(main()) == [2, 3]
