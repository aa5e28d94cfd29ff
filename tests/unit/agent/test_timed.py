"""Windows of time: which rows are in which, what is late, and going on behind any of them."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.support.agent_world import MemoryServer, plan, run, world
from tests.support.virtual_time import run_virtual

from fractal_lba.agent.sources import timed
from fractal_lba.agent.sources.csv_rows import CsvRows
from fractal_lba.agent.sources.followed import QUIET_LOOKS, Followed
from fractal_lba.agent.sources.ndjson_rows import NdjsonRows
from fractal_lba.agent.sources.streams import FileStream
from fractal_lba.agent.sources.timed import Timing, time_ms
from fractal_lba.agent.window import SourcePosition, Window
from fractal_lba.protocol import ContractError

TENS = Timing(column="t", period_ms=10_000, lateness_ms=0)
PATIENT = Timing(column="t", period_ms=10_000, lateness_ms=5_000)


def write(path: Path, times: list[float]) -> Path:
    """Write rows that are numbered and have these times."""
    lines = "".join(f"{number},{at}\n" for number, at in enumerate(times))
    path.write_text(f"a,t\n{lines}", encoding="utf-8")
    return path


def cut(path: Path, timing: Timing = TENS, after: SourcePosition | None = None) -> list[Window]:
    return list(CsvRows(path, None, timing=timing).windows(after, 99))


def rows(windows: list[Window]) -> list[list[float]]:
    found = []
    for window in windows:
        assert not isinstance(window.data, bytes)
        assert window.data.shape[1] == 1  # the time is no column
        found.append(window.data[:, 0].tolist())
    return found


def test_a_window_holds_the_rows_of_its_period_and_says_which(tmp_path: Path) -> None:
    windows = cut(write(tmp_path / "x.csv", [0, 9.999, 5, 10, 11, 12, 47, 48, 49]))
    assert rows(windows) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert [window.meta for window in windows] == [
        {"window_start": "1970-01-01T00:00:00.000Z", "window_end": "1970-01-01T00:00:10.000Z"},
        {"window_start": "1970-01-01T00:00:10.000Z", "window_end": "1970-01-01T00:00:20.000Z"},
        {"window_start": "1970-01-01T00:00:40.000Z", "window_end": "1970-01-01T00:00:50.000Z"},
    ]


def test_a_late_row_is_in_the_oldest_open_window_which_counts_it(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", [1, 2, 3, 11, 4, 12, 13, 22, 5, 23, 24])
    windows = cut(path)
    # 4 came before 3 rows stood behind its window, which was still open.
    assert rows(windows) == [[0, 1, 2, 4], [3, 5, 6, 8], [7, 9, 10]]
    assert [window.late for window in windows] == [0, 1, 0]
    assert [window.meta.get("window_late") for window in windows] == [None, 1, None]


def test_within_the_lateness_nothing_is_late(tmp_path: Path) -> None:
    windows = cut(write(tmp_path / "x.csv", [1, 2, 3, 14.9, 4, 12, 13, 25, 9]), PATIENT)
    assert rows(windows) == [[0, 1, 2, 4], [3, 5, 6, 7, 8]]
    assert [window.late for window in windows] == [0, 1]


def test_too_few_go_on_into_the_next_window_and_the_last_into_the_one_before(
    tmp_path: Path,
) -> None:
    windows = cut(write(tmp_path / "x.csv", [1, 2, 31, 41, 42, 43, 55, 56]))
    assert rows(windows) == [[0, 1, 2], [3, 4, 5, 6, 7]]
    first, last = windows
    assert (first.meta["window_start"], first.meta["window_end"]) == (
        "1970-01-01T00:00:00.000Z",
        "1970-01-01T00:00:40.000Z",
    )
    assert last.meta["window_end"] == "1970-01-01T00:01:00.000Z"


def test_fewer_than_three_rows_in_all_wait_or_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="expected at least 3 rows, got 2"):
        cut(write(tmp_path / "x.csv", [1, 20]))
    (window,) = cut(write(tmp_path / "x.csv", [1, 2, 3]))
    assert cut(write(tmp_path / "x.csv", [1, 2, 3, 20, 30]), after=window.after) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.5, 1500),
        (0, 0),
        ("1970-01-01T00:00:01.5Z", 1500),
        (" 1970-01-01T01:00:01+01:00 ", 1000),
        ("1970-01-01T00:00:01", None),
        ("yesterday", None),
        ("", None),
        (-1, None),
        (1e300, None),
        (float("nan"), None),
        (float("inf"), None),
    ],
)
def test_a_time_is_seconds_or_a_timestamp_with_an_offset(
    value: str | float, expected: int | None
) -> None:
    assert time_ms(value) == expected


def test_what_has_no_time_is_refused_with_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,t\n1,1\n2,soon\n3,3\n", encoding="utf-8")
    with pytest.raises(ContractError, match="row 2: expected a time"):
        cut(path)
    with pytest.raises(ContractError, match="expected one column named 'z', got 0"):
        cut(path, Timing(column="z", period_ms=1, lateness_ms=0))
    monkeypatch.setattr(timed, "UNITS_MAX", 4)
    with pytest.raises(ContractError, match=r"of 1970-01-01T00:00:00\.000Z: expected at most"):
        cut(write(path, [1, 2, 3, 4, 5]))


def test_a_file_read_in_windows_of_time_is_not_read_on_by_count(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", [1, 2, 3, 11, 12, 13])
    (first, _) = cut(path)
    with pytest.raises(ContractError, match="was read in windows of time"):
        list(CsvRows(path, ["a"]).windows(first.after, 3))


def test_ndjson_has_times_too(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    objects = [{"t": f"1970-01-01T00:00:{at:02}Z", "a": at} for at in (1, 2, 3, 11, 12, 13)]
    path.write_text("".join(json.dumps(each) + "\n" for each in objects), encoding="utf-8")
    source = NdjsonRows(path, None, timing=TENS)
    windows = list(source.windows(None, 99))
    assert rows(windows) == [[1, 2, 3], [11, 12, 13]]
    assert rows(list(source.windows(windows[0].after, 99))) == [[11, 12, 13]]


def times_of(rng: random.Random) -> list[float]:
    """Return times that mostly grow, with late ones, gaps and crowds."""
    at = 0.0
    found = []
    for _ in range(rng.randrange(3, 60)):
        at += rng.choice([0, 1, 1, 2, 7, 30])
        found.append(max(0.0, at - rng.choice([0, 0, 0, 3, 12, 25])))
    return found


@pytest.mark.parametrize("seed", [*range(30), 163, 1165, 1275])
def test_every_row_is_in_one_window_and_any_return_goes_on_the_same_way(
    tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - the seed names the run
    times = times_of(rng)
    timing = rng.choice([TENS, PATIENT])
    path = write(tmp_path / "x.csv", times)
    windows = cut(path, timing)
    found = rows(windows)
    seen = sorted(row for window in found for row in window)
    assert seen == list(range(len(times))), f"seed {seed}"
    assert all(len(window) >= 3 for window in found), f"seed {seed}"
    for at, window in enumerate(windows):  # a crash behind any of them
        assert rows(cut(path, timing, window.after)) == found[at + 1 :], f"seed {seed} at {at}"
    more = [*times, *(max(times) + step for step in (0, 1, 2, 3))]  # it grows, and is read on
    again = rows(cut(write(path, more), timing, windows[-1].after))
    assert sorted(row for window in again for row in window) == list(
        range(len(times), len(more))
    ), f"seed {seed}"


def test_a_followed_file_ends_its_windows_by_the_times_of_its_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", [1, 2, 3])
    pieces = Followed(CsvRows(path, None, timing=TENS), path).windows(None, 99)
    assert next(pieces) is None
    write(path, [1, 2, 3, 12])
    assert next(pieces) is None
    write(path, [1, 2, 3, 12, 13, 14])
    window = next(pieces)
    assert window is not None
    assert rows([window]) == [[0, 1, 2]]
    path.rename(tmp_path / "x.csv.1")
    write(path, [40, 41, 42, 50, 51, 52])
    found = [next(pieces) for _ in range(QUIET_LOOKS + 4)]
    assert rows([each for each in found if each is not None]) == [[3, 4, 5], [0, 1, 2]]
    pieces.close()


def test_a_run_counts_late_rows_and_puts_the_times_into_the_records(tmp_path: Path) -> None:
    server = MemoryServer()
    path = write(tmp_path / "x.csv", [1, 2, 3, 11, 12, 13, 4])
    source = CsvRows(path, None, timing=TENS)
    settings: dict[str, Any] = {"recipe": plan(tmp_path).recipe}
    stream = FileStream(shard_id="s", source=source)
    tally = run_virtual(run(plan(tmp_path / "d", stream, **settings), world(server)))
    assert tally.late_rows == 1
    metas = {record["epoch"]: record["meta"] for record in server.sent}
    assert metas[1]["window_late"] == 1
    assert metas[0]["window_end"] == metas[1]["window_start"] == "1970-01-01T00:00:10.000Z"
