"""File sources: what they give, where they go on, and what they refuse."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fractal_lba.agent.sources.base import FileSource
from fractal_lba.agent.sources.byte_file import ByteFile
from fractal_lba.agent.sources.csv_rows import CsvRows
from fractal_lba.agent.sources.lines import LINE_BYTES_MAX
from fractal_lba.agent.sources.ndjson_rows import NdjsonRows
from fractal_lba.agent.sources.npy_rows import NpyRows
from fractal_lba.agent.sources.npz_rows import NpzRows
from fractal_lba.agent.sources.parquet_rows import ParquetRows
from fractal_lba.agent.window import SourcePosition, Window
from fractal_lba.protocol import ContractError

ROWS = 25


def write_bytes(path: Path, units: int, first: int = 0) -> FileSource:
    path.write_bytes(bytes((7 * (first + index)) % 251 for index in range(units)))
    return ByteFile(path)


def write_csv(path: Path, units: int, first: int = 0) -> FileSource:
    lines = [f"{first + index},{(first + index) ** 2 / 8}" for index in range(units)]
    path.write_text("\n".join(["a,b", *lines, ""]), encoding="utf-8")
    return CsvRows(path, None)


def write_npy(path: Path, units: int, first: int = 0) -> FileSource:
    at = np.arange(first, first + units, dtype=np.float64)
    np.save(path, np.column_stack([at, at**2 / 8]))
    return NpyRows(path)


def write_npz(path: Path, units: int, first: int = 0) -> FileSource:
    at = np.arange(first, first + units, dtype=np.float64)
    np.savez_compressed(path, points=np.column_stack([at, at**2 / 8]), other=at)
    return NpzRows(path, "points")


def write_ndjson(path: Path, units: int, first: int = 0) -> FileSource:
    lines = [f'{{"a":{first + index},"b":{(first + index) ** 2 / 8}}}' for index in range(units)]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return NdjsonRows(path, None)


def write_parquet(path: Path, units: int, first: int = 0) -> FileSource:
    at = np.arange(first, first + units, dtype=np.float64)
    # Row groups of 4: windows and marks reach across them.
    pq.write_table(pa.table({"a": at, "b": at**2 / 8}), path, row_group_size=4)
    return ParquetRows(path, None)


Writer = Callable[[Path, int, int], FileSource]
WRITERS = {
    "x.bin": write_bytes,
    "x.csv": write_csv,
    "x.npy": write_npy,
    "x.npz": write_npz,
    "x.ndjson": write_ndjson,
    "x.parquet": write_parquet,
}


@pytest.fixture(params=WRITERS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Writer]:
    return tmp_path / request.param, WRITERS[request.param]


def content(windows: list[Window]) -> list[Any]:
    return [
        window.data if isinstance(window.data, bytes) else window.data.tolist()
        for window in windows
    ]


def after(window: Window) -> SourcePosition:
    assert window.after is not None
    return window.after


def test_windows_hold_every_unit_once_in_order(written: tuple[Path, Writer]) -> None:
    path, write = written
    windows = list(write(path, ROWS, 0).windows(None, 10))
    assert [len(window.data) for window in windows] == [10, 10, 5]
    whole = list(write(path, ROWS, 0).windows(None, 1000))
    assert [unit for piece in content(windows) for unit in piece] == list(content(whole)[0])
    assert after(windows[-1]).units == ROWS


def test_reading_goes_on_behind_any_window(written: tuple[Path, Writer]) -> None:
    path, write = written
    source = write(path, ROWS, 0)
    windows = list(source.windows(None, 4))
    for index, window in enumerate(windows):
        again = list(source.windows(window.after, 4))
        assert content(again) == content(windows[index + 1 :])
        assert [each.after for each in again] == [each.after for each in windows[index + 1 :]]


def test_another_window_size_goes_on_at_the_same_place(written: tuple[Path, Writer]) -> None:
    path, write = written
    source = write(path, ROWS, 0)
    first = next(source.windows(None, 10))
    rest = list(source.windows(first.after, 5))
    assert [len(window.data) for window in rest] == [5, 5, 5]


def test_what_is_appended_later_is_read_by_the_next_run(written: tuple[Path, Writer]) -> None:
    path, write = written
    last = list(write(path, ROWS, 0).windows(None, 10))[-1]
    grown = write(path, ROWS + 4, 0)
    assert [len(window.data) for window in grown.windows(last.after, 10)] == [4]


def test_one_or_two_units_appended_wait_for_more(written: tuple[Path, Writer]) -> None:
    path, write = written
    *_, last = write(path, ROWS, 0).windows(None, 10)
    assert list(write(path, ROWS + 2, 0).windows(last.after, 10)) == []


def test_a_source_read_to_its_end_gives_nothing_more(written: tuple[Path, Writer]) -> None:
    path, write = written
    source = write(path, ROWS, 0)
    assert list(source.windows(list(source.windows(None, 10))[-1].after, 10)) == []


@pytest.mark.parametrize("units", [0, 1, 2])
def test_a_source_too_short_for_one_window_says_so(
    written: tuple[Path, Writer], units: int
) -> None:
    path, write = written
    with pytest.raises(ContractError, match=rf"{path.name}.*: expected at least 3 .*, got {units}"):
        list(write(path, units, 0).windows(None, 10))


def test_a_truncated_source_names_both_sizes(written: tuple[Path, Writer]) -> None:
    path, write = written
    window = list(write(path, ROWS, 0).windows(None, 10))[1]
    shorter = write(path, 5, 0)
    with pytest.raises(
        ContractError, match=rf"expected at least {after(window).offset} .*, got \d+: the file was"
    ):
        list(shorter.windows(window.after, 10))


def test_another_file_under_the_same_name_is_refused(written: tuple[Path, Writer]) -> None:
    path, write = written
    window = next(write(path, ROWS, 0).windows(None, 10))
    other = write(path, 10 * ROWS, 1000)
    with pytest.raises(ContractError, match="the file was changed or replaced"):
        list(other.windows(window.after, 10))


def test_a_source_that_is_gone_says_so(written: tuple[Path, Writer]) -> None:
    path, write = written
    source = write(path, ROWS, 0)
    path.unlink()
    with pytest.raises(ContractError, match=r"expected a readable .*file, got No such file"):
        list(source.windows(None, 10))


def test_the_name_in_the_outbox_does_not_depend_on_the_folder_one_is_in(
    written: tuple[Path, Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = written
    key = write(path, ROWS, 0).key
    monkeypatch.chdir(path.parent)
    assert write(Path(path.name), ROWS, 0).key == key


def test_a_file_name_that_is_no_text_has_a_name_in_the_outbox(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.bin"))
    path.write_bytes(bytes(10))
    assert ByteFile(path).key.encode("ascii").endswith(b"/%FF%FE.bin")


def test_a_file_truncated_while_it_is_read_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(bytes(400_000))
    windows = ByteFile(path).windows(None, 50_000)
    next(windows)
    os.truncate(path, 60_000)
    with pytest.raises(ContractError, match="truncated while it was read"):
        list(windows)


class TestCsv:
    def rows(self, path: Path, text: str | bytes, columns: list[str] | None = None) -> list[Any]:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        pieces = content(list(CsvRows(path, columns).windows(None, 3)))
        return [row for piece in pieces for row in piece]

    @pytest.mark.parametrize(
        "text",
        [
            "a,b\n1,2\n3,4\n5,6\n",
            "a,b\n1,2\n3,4\n5,6",
            "a,b\r\n1,2\r\n3,4\r\n5,6\r\n",
            "\ufeffa,b\n1,2\n3,4\n5,6\n",
            '"a","b"\n"1","2"\n"3","4"\n"5","6"\n',
            " a , b \n 1 , 2 \n\n 3 , 4 \n\n\n 5 , 6 \n\n",
            "a,b\n+1,2.0\n3e0,.4e1\n5.,0.6E+1\n",
        ],
    )
    def test_the_same_numbers_are_read_from_every_spelling(self, tmp_path: Path, text: str) -> None:
        assert self.rows(tmp_path / "x.csv", text) == [[1, 2], [3, 4], [5, 6]]

    def test_columns_are_taken_by_name_and_in_the_order_asked_for(self, tmp_path: Path) -> None:
        text = "a,b,c\n1,x,2\n3,y,4\n5,z,6\n"
        assert self.rows(tmp_path / "x.csv", text, ["c", "a"]) == [[2, 1], [4, 3], [6, 5]]

    def test_a_quoted_line_end_is_part_of_a_cell(self, tmp_path: Path) -> None:
        path = tmp_path / "x.csv"
        text = 'a,note\n1,"two\nlines"\n2,one\n3,"three\n\nlines"\n4,x\n5,x\n6,x\n7,x\n'
        assert self.rows(path, text, ["a"]) == [[1], [2], [3], [4], [5], [6], [7]]
        source = CsvRows(path, ["a"])
        windows = list(source.windows(None, 3))
        assert content(list(source.windows(windows[0].after, 3))) == content(windows[1:])

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "expected a first row of column names, got none"),
            ("1,2\n3,4\n5,6\n7,8\n", "expected a first row of column names, got only numbers"),
            ("a,a\n1,2\n3,4\n5,6\n", "expected one column named 'a', got 2"),
            ("a,b\n1,2\n3\n5,6\n", "row 2: expected 2 cells, got 1"),
            ("a,b\n1,2\n3,4,5\n5,6\n", "row 2: expected 2 cells, got 3"),
            ("a,b\n1,2\n3,4\n5,oops\n", "row 3, column 'b': expected a number, got a text of 4"),
            ("a,b\n1,2\n,4\n5,6\n", "row 2, column 'a': expected a number, got an empty cell"),
            ("a,b\n1,2\n3,nan\n5,6\n", "row 2, column 'b': expected a number, got a text of 3"),
            ("a,b\n1,2\n3,inf\n5,6\n", "row 2, column 'b': expected a number"),
            ("a,b\n1,2\n3,1_0\n5,6\n", "row 2, column 'b': expected a number"),
            ("a,b\n1,2\n3,٣\n5,6\n", "row 2, column 'b': expected a number"),
            ("a,b\n1,2\n3,1e999\n5,6\n", "row 2, column 'b': expected a finite number"),
            ("a,b\n1,2\n3,2e300\n5,6\n", "row 2, column 'b': expected a finite number"),
            (b"a,b\n1,2\n\xff,4\n5,6\n", "row 2: expected UTF-8"),
            ('a,b\n1,2\n"3"x,4\n5,6\n', "row 2: expected RFC 4180"),
            ("a,b\r1,2\r3,4\r5,6\r", "expected RFC 4180"),
            (b"a\n" + b"1" * LINE_BYTES_MAX + b"1\n", "row 1: expected a line of at most"),
        ],
    )
    def test_what_is_no_number_is_named(
        self, tmp_path: Path, text: str | bytes, message: str
    ) -> None:
        with pytest.raises(ContractError, match=message) as caught:
            self.rows(tmp_path / "x.csv", text)
        assert str(caught.value).startswith(str(tmp_path / "x.csv"))
        assert "oops" not in str(caught.value)  # a message holds no payload

    def test_windows_before_a_bad_row_stand_and_the_row_is_counted_from_the_start(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "x.csv"
        path.write_text("a\n" + "1\n" * 9 + "bad\n" + "1\n" * 9, encoding="utf-8")
        source = CsvRows(path, None)
        windows = source.windows(None, 3)
        first = next(windows)
        second = next(windows)
        with pytest.raises(ContractError, match="row 10, column 'a'"):
            list(windows)
        for position in (first.after, second.after):
            with pytest.raises(ContractError, match="row 10, column 'a'"):
                list(source.windows(position, 3))

    @pytest.mark.parametrize("names", [["c"], ["a", "c"], [""]])
    def test_a_column_that_is_not_there_is_named(self, tmp_path: Path, names: list[str]) -> None:
        with pytest.raises(ContractError, match=rf"expected one column named '{names[-1]}', got 0"):
            self.rows(tmp_path / "x.csv", "a,b\n1,2\n3,4\n5,6\n", names)

    def test_other_columns_are_another_source(self, tmp_path: Path) -> None:
        keys = {
            CsvRows(tmp_path / "x.csv", names).key for names in (None, ["a"], ["a,b"], ["a", "b"])
        }
        assert len(keys) == 4

    def test_many_columns_have_a_name_that_fits_the_outbox(self, tmp_path: Path) -> None:
        names = [f"column {index}" for index in range(4096)]
        keys = {CsvRows(tmp_path / "x.csv", each).key for each in (names, names[::-1])}
        assert len(keys) == 2
        assert all(len(key) < 1000 for key in keys)

    def test_a_changed_header_is_a_changed_file(self, tmp_path: Path) -> None:
        path = tmp_path / "x.csv"
        rows = "".join(f"{index},{index}\n" for index in range(3000))
        path.write_text("a,b\n" + rows, encoding="utf-8")
        last = next(CsvRows(path, None).windows(None, 2000))
        path.write_text("b,a\n" + rows, encoding="utf-8")
        with pytest.raises(ContractError, match="changed or replaced"):
            list(CsvRows(path, None).windows(last.after, 2000))


class TestNpy:
    @pytest.mark.parametrize(
        "array",
        [
            np.arange(7, dtype=np.int8),
            np.arange(7, dtype=np.uint64),
            np.arange(7, dtype=">i4"),
            np.arange(7, dtype=np.float16),
            np.arange(7, dtype=np.float32),
            np.arange(7, dtype=np.longdouble),
            np.arange(7, dtype=">f8"),
            np.asfortranarray(np.arange(7.0).reshape(7, 1)),
        ],
        ids=lambda array: array.dtype.str,
    )
    def test_numbers_convert_to_doubles_row_by_row(
        self, tmp_path: Path, array: NDArray[Any]
    ) -> None:
        np.save(tmp_path / "x.npy", array)
        windows = list(NpyRows(tmp_path / "x.npy").windows(None, 3))
        assert content(windows) == [[[0], [1], [2]], [[3], [4], [5], [6]]]

    def test_columns_in_another_order_in_memory_are_the_same_rows(self, tmp_path: Path) -> None:
        rows = np.arange(12.0).reshape(6, 2)
        positions = []
        for name, array in (("c.npy", rows), ("f.npy", np.asfortranarray(rows))):
            np.save(tmp_path / name, array)
            windows = list(NpyRows(tmp_path / name).windows(None, 3))
            assert content(windows) == [rows[:3].tolist(), rows[3:].tolist()]
            positions.append([window.after for window in windows])
        assert positions[0] == positions[1]

    def test_a_value_too_large_for_a_double_is_named(self, tmp_path: Path) -> None:
        values = np.ones(5, dtype=np.longdouble)
        values[3] = np.finfo(np.longdouble).max
        np.save(tmp_path / "x.npy", values)
        with pytest.raises(ContractError, match=r"x\.npy: row 4, column '0': expected a finite"):
            list(NpyRows(tmp_path / "x.npy").windows(None, 5))

    @pytest.mark.parametrize(
        ("array", "message"),
        [
            (np.zeros((3, 3, 3)), r"expected the shape \(n,\) or \(n, 1 … 4096\), got \(3, 3, 3\)"),
            (np.zeros((3, 0)), r"got \(3, 0\)"),
            (np.zeros((3, 4097)), r"got \(3, 4097\)"),
            (np.float64(3), r"got \(\)"),
            (np.zeros(3, dtype=complex), "expected an array of real numbers, got complex128"),
            (np.array(["a", "b", "c"]), "expected an array of real numbers, got <U1"),
            (np.array([{}, {}, {}]), r"expected a \.npy array of numbers, got another format"),
        ],
    )
    def test_what_is_no_table_of_numbers_is_refused(
        self, tmp_path: Path, array: NDArray[Any], message: str
    ) -> None:
        np.save(tmp_path / "x.npy", array)
        with pytest.raises(ContractError, match=message):
            list(NpyRows(tmp_path / "x.npy").windows(None, 3))

    @pytest.mark.parametrize("data", [b"", b"a,b\n1,2\n", b"\x93NUMPY\x01\x00"])
    def test_what_is_no_array_is_refused(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "x.npy").write_bytes(data)
        with pytest.raises(ContractError, match=r"x\.npy: expected"):
            list(NpyRows(tmp_path / "x.npy").windows(None, 3))

    def test_an_array_cut_short_is_refused(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.zeros((100, 2)))
        os.truncate(tmp_path / "x.npy", 500)
        with pytest.raises(ContractError, match=r"x\.npy: expected"):
            list(NpyRows(tmp_path / "x.npy").windows(None, 3))


@given(data=st.binary(min_size=3, max_size=300), window=st.integers(3, 40), stop=st.integers(0, 20))
def test_bytes_read_in_two_runs_are_the_bytes_read_in_one(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, window: int, stop: int
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "x"
    path.write_bytes(data)
    whole = list(ByteFile(path).windows(None, window))
    first = whole[: stop % (len(whole) + 1)]
    rest = list(ByteFile(path).windows(first[-1].after if first else None, window))
    assert content(first) + content(rest) == content(whole)
    assert b"".join(piece for piece in content(whole) if isinstance(piece, bytes)) == data
