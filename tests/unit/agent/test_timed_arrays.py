"""Windows of time over Parquet and arrays: where the times are, and going on behind any window."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fractal_lba.agent.sources.base import FileSource
from fractal_lba.agent.sources.choose import Choice, choose
from fractal_lba.agent.sources.npy_rows import NpyRows
from fractal_lba.agent.sources.npz_rows import NpzRows
from fractal_lba.agent.sources.parquet_rows import ParquetRows
from fractal_lba.agent.sources.timed import Timing
from fractal_lba.agent.window import SourcePosition, Window
from fractal_lba.protocol import ContractError

T = Timing(column="t", period_ms=10_000, lateness_ms=0)
FIRST = Timing(column="0", period_ms=10_000, lateness_ms=0)

# Two late rows; 4 and 5 belong to windows that ended, 31 and 32 go on into the window behind them.
TIMES = [1, 2, 3, 11, 4, 12, 13, 22, 5, 23, 24, 31, 32, 43, 44, 45, 46.5]
WINDOWS = [[0, 1, 2, 4], [3, 5, 6, 8], [7, 9, 10], [11, 12, 13, 14, 15, 16]]


def parquet(folder: Path, times: list[float]) -> FileSource:
    table = pa.table({"a": list(range(len(times))), "t": [float(at) for at in times]})
    pq.write_table(table, folder / "x.parquet", row_group_size=5)
    return ParquetRows(folder / "x.parquet", None, timing=T)


def npy(folder: Path, times: list[float]) -> FileSource:
    np.save(folder / "x.npy", np.column_stack([times, np.arange(len(times))]))
    return NpyRows(folder / "x.npy", timing=FIRST)


def npz(folder: Path, times: list[float]) -> FileSource:
    np.savez(folder / "x.npz", rows=np.arange(len(times)), t=np.array(times))
    return NpzRows(folder / "x.npz", "rows", timing=T)


def stamped(folder: Path, times: list[float]) -> FileSource:
    at = np.array([round(at * 1e9) for at in times]).astype("datetime64[ns]")
    np.savez(folder / "x.npz", rows=np.arange(len(times)), t=at)
    return NpzRows(folder / "x.npz", "rows", timing=T)


Make = Callable[[Path, list[float]], FileSource]
MAKES: list[Make] = [parquet, npy, npz, stamped]


def rows(windows: list[Window]) -> list[list[float]]:
    found = []
    for window in windows:
        assert not isinstance(window.data, bytes)
        assert window.data.shape[1] == 1  # the time is no column
        found.append(window.data[:, 0].tolist())
    return found


def cut(source: FileSource, after: SourcePosition | None = None) -> list[Window]:
    return list(source.windows(after, 99))


@pytest.mark.parametrize("make", MAKES)
def test_rows_are_cut_by_their_times_and_any_return_goes_on_the_same_way(
    tmp_path: Path, make: Make
) -> None:
    windows = cut(make(tmp_path, list(TIMES)))
    assert rows(windows) == WINDOWS
    assert [window.meta.get("window_late") for window in windows] == [None, 1, None, None]
    assert windows[3].meta["window_start"] == "1970-01-01T00:00:30.000Z"
    assert windows[3].meta["window_end"] == "1970-01-01T00:00:50.000Z"
    for at, window in enumerate(windows):
        again = make(tmp_path, list(TIMES))
        assert rows(cut(again, window.after)) == WINDOWS[at + 1 :]


@pytest.mark.parametrize("make", MAKES)
def test_other_times_in_front_of_the_position_are_another_file(tmp_path: Path, make: Make) -> None:
    (first, *_) = cut(make(tmp_path, list(TIMES)))
    with pytest.raises(ContractError, match="expected the content that was read before"):
        cut(make(tmp_path, [1, 2.5, *TIMES[2:]]), first.after)


@pytest.mark.parametrize("make", MAKES)
def test_what_was_read_in_windows_of_time_is_not_read_on_by_count(
    tmp_path: Path, make: Make
) -> None:
    source = make(tmp_path, list(TIMES))
    (first, *_) = cut(source)
    kinds: dict[Make, Callable[[], FileSource]] = {
        parquet: lambda: ParquetRows(tmp_path / "x.parquet", ["a"]),
        npy: lambda: NpyRows(tmp_path / "x.npy"),
    }
    counted = kinds.get(make, lambda: NpzRows(tmp_path / "x.npz", "rows"))()
    # Parquet's mark, for one, is of other columns then: either says that it is not the same.
    with pytest.raises(ContractError, match=r"windows of time|that was read before"):
        cut(counted, first.after)


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("bad", [-1.0, 1e300])
def test_what_is_no_time_is_refused_with_its_row(tmp_path: Path, make: Make, bad: float) -> None:
    if make is stamped:
        bad = -1.0  # it cannot hold the other
    with pytest.raises(ContractError, match="row 3: expected a time"):
        cut(make(tmp_path, [1, 2, bad, 4, 5]))


UTC_US = pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2, 3, 11, 12, 13]),
        pa.array([Decimal(at) for at in (1, 2, 3, 11, 12, 13)]),
        pa.array([f"1970-01-01T01:00:{at:02}+01:00" for at in (1, 2, 3, 11, 12, 13)]),
        *(
            pa.array([at * scale for at in (1, 2, 3, 11, 12, 13)], pa.timestamp(unit, tz="UTC"))
            for unit, scale in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9))
        ),
    ],
    ids=["integers", "decimals", "texts", "s", "ms", "us", "ns"],
)
def test_parquet_has_times_of_many_types(tmp_path: Path, column: Any) -> None:  # noqa: ANN401 - of Arrow
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"t": column, "a": [1, 2, 3, 4, 5, 6]}), path)
    windows = cut(ParquetRows(path, None, timing=T))
    assert rows(windows) == [[1, 2, 3], [4, 5, 6]]
    assert windows[0].meta["window_end"] == "1970-01-01T00:00:10.000Z"


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([datetime(1970, 1, 1, 0, 0, 1)] * 3), "with a time zone, got timestamp[us]"),  # noqa: DTZ001 - what is refused
        (pa.array([True] * 3), "expected numbers, texts, or timestamps with a time zone, got bool"),
        (pa.array([1.0, None, 3.0]), "row 2: expected a time"),
        (pa.array([datetime(1970, 1, 1, tzinfo=UTC), None, None], UTC_US), "row 2: expected a"),
        (pa.array(["1970-01-01T00:00:01"] * 3), "row 1: expected a time"),
    ],
    ids=["no zone", "booleans", "null", "null stamp", "no offset"],
)
def test_parquet_refuses_what_is_no_time(
    tmp_path: Path,
    column: Any,  # noqa: ANN401 - of Arrow
    message: str,
) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"t": column, "a": [1, 2, 3]}), path)
    with pytest.raises(ContractError, match=re.escape(message)):
        cut(ParquetRows(path, None, timing=T))


def test_a_column_of_times_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4, 2)))
    np.save(tmp_path / "one.npy", np.zeros(4))
    pq.write_table(pa.table({"a": [1, 2, 3]}), tmp_path / "x.parquet")
    other = Timing(column="2", period_ms=1, lateness_ms=0)
    refusals: list[tuple[FileSource, str]] = [
        (NpyRows(tmp_path / "x.npy", timing=other), "expected the number of a column, 0 … 1"),
        (NpyRows(tmp_path / "x.npy", timing=T), "expected the number of a column, 0 … 1, got 't'"),
        (NpyRows(tmp_path / "one.npy", timing=FIRST), "got an array of one column"),
        (ParquetRows(tmp_path / "x.parquet", None, timing=T), "one column named 't', got 0"),
    ]
    for source, message in refusals:
        with pytest.raises(ContractError, match=f"--time-column: .*{message}"):
            cut(source)
    np.savez(tmp_path / "x.npz", rows=np.zeros(4), t=np.zeros(3))
    with pytest.raises(ContractError, match="'t': expected 4 numbers or datetime64"):
        cut(NpzRows(tmp_path / "x.npz", "rows", timing=T))


def test_the_times_of_an_archive_are_no_source_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, rows=np.zeros(4), more=np.zeros(4), t=np.arange(4.0))
    choice = Choice(period_s=10.0, time_column="t")
    chosen = choose([str(path)], choice)
    assert [each.shard_id for each in chosen.files] == ["x.npz:rows", "x.npz:more"]
    assert [window.data for each in chosen.files for window in cut(each.source)]
    np.savez(path, t=np.arange(4.0))
    with pytest.raises(ContractError, match="expected an array beside 't', its times"):
        choose([str(path)], choice)
