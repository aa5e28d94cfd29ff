"""A CSV file that grows: a line that is not whole is never taken for another value."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.agent_world import MemoryServer, plan, run, world
from tests.support.virtual_time import run_virtual

from fractal_lba.agent.sources.csv_rows import CsvRows
from fractal_lba.agent.sources.streams import FileStream
from fractal_lba.agent.tally import Exit
from fractal_lba.protocol import ContractError

if TYPE_CHECKING:
    from fractal_lba.agent.window import SourcePosition

ONE_COLUMN = b"a\n1\n2\n3\n4\n1234\n5\n6\n7\n"
LONG_THIRD = b"a\n1\n2\n345\n4\n5\n678\n7\n8\n"
TWO_COLUMNS = b"a,b\n1,20\n3,40\n5,60\n7,812\n9,100\n11,12.5\n13,-1e2\n"
CRLF = TWO_COLUMNS.replace(b"\n", b"\r\n")
UNTERMINATED = ONE_COLUMN.removesuffix(b"\n")
FILES = [ONE_COLUMN, LONG_THIRD, TWO_COLUMNS, CRLF, UNTERMINATED]


class Reader:
    """Reads a file again and again, each time from where it got to."""

    def __init__(self, path: Path) -> None:
        self.source = CsvRows(path, None)
        self.rows: list[list[float]] = []
        self.at: SourcePosition | None = None
        self._path = path

    def read(self, data: bytes) -> bool:
        """Read on in a file that holds this now, and return whether it was refused."""
        self._path.write_bytes(data)
        try:
            self.read_on()
        except ContractError:
            return True
        return False

    def read_on(self) -> None:
        for window in self.source.windows(self.at, 3):
            assert not isinstance(window.data, bytes)
            self.rows += window.data.tolist()
            self.at = window.after


def plain(data: bytes, rows: int | None = None) -> list[list[float]]:
    """Return the first rows of a file, or all, as a plain reading gives them."""
    return [[float(cell) for cell in line.split(b",")] for line in data.split()[1:][:rows]]


@pytest.mark.parametrize("data", FILES)
def test_a_file_cut_at_any_byte_is_read_on_or_refused(tmp_path: Path, data: bytes) -> None:
    refused = 0
    for cut in range(len(data) + 1):
        reader = Reader(tmp_path / "x.csv")
        reader.read(data[:cut])
        if reader.read(data):
            refused += 1
            assert reader.rows != plain(data, len(reader.rows))
        else:
            assert reader.rows == plain(data, len(reader.rows))
            assert len(plain(data)) - len(reader.rows) < 3
    assert refused < len(data) / 3


@pytest.mark.parametrize("data", FILES)
@pytest.mark.parametrize("step", [1, 2, 3, 5, 7])
def test_a_file_that_grows_by_bytes_never_gives_a_value_it_does_not_hold(
    tmp_path: Path, data: bytes, step: int
) -> None:
    reader = Reader(tmp_path / "x.csv")
    for end in [*range(0, len(data), step), len(data)]:
        if not reader.read(data[:end]) and reader.rows:
            assert reader.rows == plain(data[:end], len(reader.rows))


def test_a_row_that_goes_on_after_it_was_observed_is_refused_by_number(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "x.csv")
    assert not reader.read(b"a\n1\n2\n3\n4\n12")
    assert reader.rows[-1] == [12]
    grown = b"a\n1\n2\n3\n4\n1234\n5\n6\n7\n"
    (tmp_path / "x.csv").write_bytes(grown)
    with pytest.raises(
        ContractError, match=r"x\.csv: row 5 was observed before its line ended"
    ) as caught:
        reader.read_on()
    message = str(caught.value).removeprefix(str(tmp_path))
    assert "34" not in message  # a message holds no payload


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\n\n"])
def test_reading_goes_on_behind_the_line_end_that_came_later(
    tmp_path: Path, line_end: bytes
) -> None:
    reader = Reader(tmp_path / "x.csv")
    data = b"a\n1\n2\n3\n4\n12"
    for added in (b"", line_end[:1], line_end[1:], b"5\n6\n", b"7\n"):
        data += added
        assert not reader.read(data)
    assert reader.rows == [[1], [2], [3], [4], [12], [5], [6], [7]]


def test_what_a_line_gains_while_it_is_read_is_no_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a\n" + b"1\n" * 5 + b"12")
    windows = CsvRows(path, None).windows(None, 3)
    assert len(next(windows).data) == 3
    with path.open("ab") as file:
        file.write(b"34\n5\n6\n7\n")
    (last,) = windows
    with pytest.raises(ContractError, match="row 6 was observed before its line ended"):
        list(CsvRows(path, None).windows(last.after, 3))


@pytest.mark.parametrize("tail", [b"7", b"7,"])
def test_a_half_written_last_row_is_left_for_the_next_run_and_said(
    tmp_path: Path, tail: bytes
) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n1,2\n3,4\n5,6\n" + tail)
    server = MemoryServer()
    stream = FileStream(shard_id="s", source=CsvRows(path, None))
    first = run_virtual(run(plan(tmp_path / "d", stream), world(server)))
    assert (first.windows, first.exit) == (1, Exit.DONE)
    assert first.notes == [
        f"{path}: row 4 has {len(tail)} of 2 cells and no line end yet: it is left for the next run"
    ]
    path.write_bytes(b"a,b\n1,2\n3,4\n5,6\n7,8\n9,10\n11,12\n")
    second = run_virtual(run(plan(tmp_path / "d", stream), world(server)))
    assert (second.windows, second.notes) == (1, [])
    assert [record["n"] for record in server.sent] == [3, 3]


@pytest.mark.parametrize("tail", [b"7\n", b"7,8,9", b"7,8,9\n", b"7,\n"])
def test_a_row_that_can_never_be_read_is_refused(tmp_path: Path, tail: bytes) -> None:
    assert Reader(tmp_path / "x.csv").read(b"a,b\n1,2\n3,4\n5,6\n" + tail)
