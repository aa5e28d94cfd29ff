"""Degraded windows: what is put in place of what, and that the record says so."""

import asyncio
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from tests.support.agent_inside import agent_of, points
from tests.support.agent_world import RECIPE, MemoryServer, VirtualClock, live, plan, run, world
from tests.support.virtual_time import run_virtual
from typing_extensions import override

from fractal_lba.agent.record import Recipe
from fractal_lba.agent.repair import ClockWatch, Fallback, repaired
from fractal_lba.agent.sources.base import FileSource
from fractal_lba.agent.sources.csv_rows import CsvRows
from fractal_lba.agent.sources.ndjson_rows import NdjsonRows
from fractal_lba.agent.sources.npy_rows import NpyRows
from fractal_lba.agent.sources.parquet_rows import ParquetRows
from fractal_lba.agent.sources.streams import FileStream
from fractal_lba.protocol import ContractError, merkle_root

NAN = math.nan
REPAIRING = Recipe(
    key=RECIPE.key, seed=RECIPE.seed, scales=RECIPE.scales, meta={}, is_repairing=True
)


@pytest.mark.parametrize(
    ("column", "expected", "fallbacks"),
    [
        ([1, 2, 3], [1, 2, 3], ()),
        ([1, NAN, 3], [1, 1, 3], (Fallback.VALUE_REPLACED,)),
        ([NAN, NAN, 3], [3, 3, 3], (Fallback.VALUE_REPLACED,)),
        ([1, math.inf, -math.inf], [1, 1, 1], (Fallback.VALUE_REPLACED,)),
        ([1, 1e301, -1e300], [1, 1, -1e300], (Fallback.VALUE_REPLACED,)),
        ([NAN, 2e300, NAN], [0, 0, 0], (Fallback.COLUMN_LOST,)),
    ],
)
def test_a_value_becomes_the_last_good_one_of_its_column_and_a_lost_column_zero(
    column: list[float], expected: list[float], fallbacks: tuple[Fallback, ...]
) -> None:
    found, done = repaired(np.array([column], dtype=np.float64).T)
    assert (found[:, 0].tolist(), done) == (expected, fallbacks)


@given(
    arrays.arrays(
        np.float64,
        st.tuples(st.integers(3, 8), st.integers(1, 4)),
        elements=st.sampled_from([0.0, 1.5, -2.0, NAN, math.inf, 1e301]),
    )
)
def test_whatever_is_missing_the_rest_stays_as_it_was(window: NDArray[np.float64]) -> None:
    before = window.copy()
    found, done = repaired(window)
    np.testing.assert_array_equal(window, before)
    is_good = np.abs(window) <= 1e300
    np.testing.assert_array_equal(found[is_good], window[is_good])
    assert np.isfinite(found).all()
    assert bool(done) == (not is_good.all())


def write_csv(folder: Path) -> FileSource:
    (folder / "x").write_text("a,b\n1,10\n,20\nnan,30\n4,40\n", encoding="utf-8")
    return CsvRows(folder / "x", ["a", "b", "c"], is_repairing=True)


def write_ndjson(folder: Path) -> FileSource:
    lines = '{"a":1,"b":10}\n{"b":20}\n{"a":"x","b":30}\n{"a":4,"b":40}\n'
    (folder / "x").write_text(lines, encoding="utf-8")
    return NdjsonRows(folder / "x", ["a", "b", "c"], is_repairing=True)


def write_parquet(folder: Path) -> FileSource:
    pq.write_table(pa.table({"a": [1, None, None, 4], "b": [10, 20, 30, 40]}), folder / "x")
    return ParquetRows(folder / "x", ["a", "b", "c"], is_repairing=True)


def write_npy(folder: Path) -> FileSource:
    window = [[1, 10, NAN], [NAN, 20, NAN], [math.inf, 30, NAN], [4, 40, NAN]]
    np.save(folder / "x.npy", np.array(window))
    return NpyRows(folder / "x.npy", is_repairing=True)


@pytest.mark.parametrize("write", [write_csv, write_ndjson, write_parquet, write_npy])
def test_each_source_is_repaired_alike_and_the_record_names_it(
    tmp_path: Path,
    write: Any,  # noqa: ANN401 - a function above
) -> None:
    server = MemoryServer()
    stream = FileStream(shard_id="s", source=write(tmp_path))
    tally = run_virtual(run(plan(tmp_path / "d", stream, recipe=REPAIRING), world(server)))
    (record,) = server.sent
    assert record["ft"] == {
        "degraded": True,
        "fallbacks": ["column_lost", "value_replaced"],
        "clock_skew_ms": 0,
    }
    rows = np.array([[1, 10, 0], [1, 20, 0], [1, 30, 0], [4, 40, 0]], dtype="<f8")
    assert record["merkle_root"] == merkle_root([row.tobytes() for row in rows]).hex()
    assert tally.degraded == 1


def test_without_being_asked_for_it_is_refused_as_before(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("a,b\n1,10\n,20\n3,30\n4,40\n", encoding="utf-8")
    for columns, message in ((["a", "b"], "got an empty cell"), (["c"], "named 'c', got 0")):
        with pytest.raises(ContractError, match=message):
            list(CsvRows(tmp_path / "x", columns).windows(None, 3))


def test_a_counter_that_this_machine_does_not_have_is_a_lost_column(tmp_path: Path) -> None:
    server = MemoryServer()
    stream = live(lambda _count: "", is_repairing=True, only="stat")
    settings: dict[str, Any] = {"live": stream, "interval_s": 0.1, "duration_s": 0.45}
    run_virtual(run(plan(tmp_path / "d", **settings, recipe=REPAIRING), world(server)))
    (record,) = server.sent
    assert record["ft"]["fallbacks"] == ["column_lost"]
    assert record["d"] == 9


def test_a_program_may_observe_gaps_where_it_said_so(tmp_path: Path) -> None:
    server = MemoryServer()
    window = points(0)
    window[1, 0] = NAN

    async def main() -> None:
        async with agent_of(tmp_path, server, recipe=REPAIRING) as agent:
            await agent.observe(window)
            with pytest.raises(ContractError, match="expected 3 to 65536 rows, got 2"):
                await agent.observe(window[:2])
            with pytest.raises(ContractError, match="rows of equal length"):
                await agent.observe([[1.0], [2.0, 3.0], [4.0]])

    run_virtual(main())
    assert server.sent[0]["ft"]["fallbacks"] == ["value_replaced"]
    assert math.isnan(window[1, 0])  # its own is not touched


class TestClock:
    @pytest.mark.parametrize(
        ("passed_s", "skew_ms", "is_jump"),
        [
            (1.0, 0, False),
            (1.0, 900, False),
            (1.0, 1100, True),
            (1.0, -3_600_000, True),
            (10_000.0, 10_500, False),  # steered for hours
            (10_000.0, 11_500, True),
        ],
    )
    def test_a_jump_is_more_than_steering_does(
        self,
        passed_s: float,
        skew_ms: int,
        is_jump: bool,  # noqa: FBT001 - a table
    ) -> None:
        watch = ClockWatch()
        assert watch.skew_ms(1_000_000, 5.0) == (0, False)
        now_ms = 1_000_000 + round(passed_s * 1000) + skew_ms
        assert watch.skew_ms(now_ms, 5.0 + passed_s) == (skew_ms, is_jump)
        assert watch.skew_ms(now_ms + 10, 5.0 + passed_s + 0.01) == (0, False)

    def test_the_window_behind_a_jump_says_so_and_by_how_much(self, tmp_path: Path) -> None:
        class Set(VirtualClock):
            ahead_ns = 0

            @override
            def now_ns(self) -> int:
                return super().now_ns() + self.ahead_ns

        clock = Set()
        server = MemoryServer()

        async def main() -> None:
            async with agent_of(tmp_path, server, clock=clock) as agent:
                await agent.observe(points(0))
                await asyncio.sleep(1.0)
                clock.ahead_ns = -3_600_000_000_000
                await agent.observe(points(1))
                await agent.observe(points(2))

        run_virtual(main())
        said = {record["epoch"]: record["ft"] for record in server.sent}
        assert said[0] == said[2] == {"degraded": False, "fallbacks": [], "clock_skew_ms": 0}
        assert said[1] == {
            "degraded": True,
            "fallbacks": ["clock_jumped"],
            "clock_skew_ms": -3_600_000,
        }
