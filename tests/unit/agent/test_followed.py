"""Following: a file that grows, is renamed, copied and truncated, and a reader that comes back."""

import itertools
import os
import random
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from fractal_lba.agent.sources.byte_file import ByteFile
from fractal_lba.agent.sources.choose import Choice, choose
from fractal_lba.agent.sources.csv_rows import CsvRows
from fractal_lba.agent.sources.followed import QUIET_LOOKS, Followed
from fractal_lba.agent.sources.ndjson_rows import NdjsonRows
from fractal_lba.agent.sources.text_pieces import TextPiece, TextPieces
from fractal_lba.agent.window import SourcePosition, Window
from fractal_lba.protocol import ContractError

WINDOW = 4
# Looks after which a renamed file is over, whatever happened before.
LONG = QUIET_LOOKS + 3


class Writer:
    """A program that writes numbered rows and rotates its file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "x.csv"
        self.numbers = count()
        self._times = count(1)
        self.begin()

    def begin(self) -> None:
        self.path.write_text("a\n", encoding="utf-8")
        self.stamp(self.path)

    def write(self, rows: int) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            for _ in range(rows):
                file.write(f"{next(self.numbers)}\n")
        self.stamp(self.path)

    def rename(self, name: str) -> None:
        self.path.rename(self.path.with_name(name))
        self.begin()

    def copy_and_truncate(self, name: str) -> None:
        shutil.copyfile(self.path, self.path.with_name(name))
        self.stamp(self.path.with_name(name))
        self.begin()

    def stamp(self, path: Path) -> None:
        """Give each change a time of its own, as programs that rotate by the day have."""
        at = 1_700_000_000 + next(self._times)
        os.utime(path, (at, at))


class Reader:
    """Follows, and comes back where it was."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: list[list[float]] = []
        self.notes: list[str] = []
        self.after: SourcePosition | None = None
        self.restart()

    def restart(self) -> None:
        self.source = Followed(CsvRows(self.path, None), self.path)
        self.pieces = self.source.windows(self.after, WINDOW)

    def look(self, looks: int = LONG) -> None:
        while looks:
            piece = next(self.pieces)
            if piece is None:
                looks -= 1
            else:
                self.take(piece)
        self.notes += self.source.notes
        self.source.notes.clear()

    def take(self, piece: Window) -> None:
        assert not isinstance(piece.data, bytes)
        self.seen.append(piece.data[:, 0].tolist())
        self.after = piece.after

    @property
    def rows(self) -> list[float]:
        return [row for window in self.seen for row in window]


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


@pytest.fixture
def reader(writer: Writer) -> Iterator[Reader]:
    reader = Reader(writer.path)
    yield reader
    reader.pieces.close()


def test_windows_are_taken_as_they_become_whole_and_three_rows_stay_behind(
    writer: Writer, reader: Reader
) -> None:
    reader.look()
    assert reader.seen == []
    writer.write(6)
    reader.look()
    assert reader.seen == []  # another row may come, and leave 1 or 2
    writer.write(1)
    reader.look()
    assert reader.seen == [[0, 1, 2, 3]]
    writer.write(40)
    reader.look()
    assert reader.rows == list(range(44))


def test_a_line_without_its_end_is_not_there_yet(writer: Writer, reader: Reader) -> None:
    writer.write(6)
    with writer.path.open("a", encoding="utf-8") as file:
        file.write("6")
    reader.look()
    assert reader.seen == []
    with writer.path.open("a", encoding="utf-8") as file:
        file.write("66\n7\n8\n9\n10\n")
    reader.look()
    assert reader.rows == [0, 1, 2, 3, 4, 5, 666, 7]


def test_a_renamed_file_is_read_to_its_end_also_what_came_after_its_renaming(
    writer: Writer, reader: Reader
) -> None:
    writer.write(5)
    reader.look()
    with writer.path.open("a", encoding="utf-8") as late:  # has not heard of it yet
        writer.rename("x.csv.1")
        writer.write(8)
        reader.look(2)
        late.write("100\n101\n")
        late.flush()
        reader.look()
    assert reader.seen == [[0, 1, 2, 3], [4, 100, 101], [5, 6, 7, 8]]
    assert reader.notes == []


def test_a_file_that_was_removed_is_still_read_to_its_end(writer: Writer, reader: Reader) -> None:
    writer.write(5)
    reader.look()
    writer.path.unlink()
    reader.look()
    assert reader.seen == [[0, 1, 2, 3, 4]]
    writer.begin()
    writer.write(7)
    reader.look()
    assert reader.rows == list(range(9))


def test_the_rest_of_a_truncated_file_is_read_from_its_copy(writer: Writer, reader: Reader) -> None:
    writer.write(9)
    reader.look()
    assert reader.rows == [0, 1, 2, 3]
    writer.copy_and_truncate("x.csv.1")
    reader.look()
    writer.write(7)
    reader.look()
    assert reader.rows == list(range(13))
    assert reader.notes == []


def test_a_truncated_file_that_grew_past_the_position_is_noticed(
    writer: Writer, reader: Reader
) -> None:
    writer.write(9)
    reader.look()
    writer.copy_and_truncate("x.csv.1")
    writer.write(30)
    reader.look()
    assert reader.rows == list(range(33))


def test_a_file_that_is_truncated_before_its_first_window_is_read_from_its_copy(
    writer: Writer, reader: Reader
) -> None:
    writer.write(4)
    reader.look()
    writer.copy_and_truncate("x.csv.1")
    writer.write(1)
    reader.look()
    assert reader.seen == [[0, 1, 2, 3]]


def test_what_was_truncated_without_a_copy_is_said_and_reading_goes_on(
    writer: Writer, reader: Reader
) -> None:
    writer.write(9)
    reader.look()
    writer.begin()
    writer.write(7)
    reader.look()
    (note,) = reader.notes
    assert "neither it nor a rotated file beside it holds that now" in note
    assert reader.rows == [0, 1, 2, 3, 9, 10, 11, 12]


def test_a_reader_that_was_away_finds_its_place_among_the_rotated_files(
    writer: Writer, reader: Reader
) -> None:
    writer.write(9)
    reader.look()
    reader.pieces.close()
    writer.path.rename(writer.path.with_name("x.csv.2"))  # the oldest has the highest number
    writer.begin()
    writer.write(6)
    writer.rename("x.csv.1")
    writer.write(8)
    (writer.path.with_name("x.csv.bak")).write_text("a\n1\n2\n3\n", encoding="utf-8")
    (writer.path.with_name("x.csv.0.gz")).write_bytes(b"\x1f\x8b")
    reader.restart()
    reader.look()
    assert reader.seen == [[0, 1, 2, 3], [4, 5, 6, 7, 8], [9, 10, 11, 12, 13, 14], [15, 16, 17, 18]]
    assert reader.notes == []


@pytest.mark.parametrize("seed", range(12))
def test_every_row_is_observed_once_in_order_whatever_happens(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - the seed names the run
    writer = Writer(tmp_path)
    reader = Reader(writer.path)
    writer.write(7)
    reader.look()  # from here on there is a position
    for step in range(60):
        match rng.randrange(8):
            case 0:
                reader.pieces.close()
                reader.restart()
            case 1 if rng.random() < 0.5:
                writer.write(3)  # or a file of fewer than 3 rows is left
                reader.look()
                writer.rename(f"x.csv.{1000 - step}")
            case 2 if rng.random() < 0.5:
                writer.write(3)
                reader.look(1)  # what comes and goes between two looks is not seen
                writer.copy_and_truncate(f"x.csv-{1000 + step}")
                reader.look()
            case 3 | 4:
                reader.look(rng.randrange(1, 4))
            case _:
                writer.write(rng.randrange(6))
    writer.write(3)
    reader.look()
    reader.pieces.close()
    assert reader.notes == [], f"seed {seed}"
    assert reader.rows == list(range(len(reader.rows))), f"seed {seed}"
    assert next(writer.numbers) - len(reader.rows) < WINDOW + 3, f"seed {seed}"


def test_bytes_texts_and_ndjson_are_followed_too(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"")
    sources = (ByteFile(path), TextPieces(path, TextPiece.LINE), NdjsonRows(path, None))
    followed = [Followed(source, path).windows(None, 12) for source in sources]
    assert [next(pieces) for pieces in followed] == [None, None, None]
    path.write_bytes(b'{"a":1}\n{"a":2}\n{"a":3')
    of_bytes, of_text = next(followed[0]), next(followed[1])
    assert of_bytes is not None
    assert of_text is not None
    assert (of_bytes.data, of_text.data) == (b'{"a":1}\n{"a"', b'{"a":1}')
    assert next(followed[2]) is None
    with path.open("ab") as file:
        file.write(b"}\n" + b'{"a":4}\n' * 12)
    of_rows = next(followed[2])
    assert of_rows is not None
    assert not isinstance(of_rows.data, bytes)
    assert of_rows.data[:, 0].tolist() == [1, 2, 3, *[4] * 9]
    for pieces in followed:
        pieces.close()


def test_a_bad_row_is_refused_while_it_is_followed(writer: Writer, reader: Reader) -> None:
    writer.write(9)
    reader.look()
    with writer.path.open("a", encoding="utf-8") as file:
        file.write("x\n")
    with pytest.raises(ContractError, match="row 10, column 'a': expected a number"):
        reader.look()


def test_a_name_that_became_a_folder_is_a_source_that_failed(
    writer: Writer, reader: Reader
) -> None:
    writer.write(9)
    reader.look()
    writer.path.unlink()
    writer.path.mkdir()
    with pytest.raises(ContractError, match=r"x\.csv: expected a regular file to follow"):
        reader.look()
    assert reader.rows == list(range(9))  # what was open was read to its end


@pytest.mark.parametrize("rotate", [Writer.rename, Writer.copy_and_truncate])
def test_a_rotated_file_that_is_removed_while_it_is_looked_for_is_passed_over(
    writer: Writer, reader: Reader, rotate: Callable[[Writer, str], None]
) -> None:
    # A name that is listed and has no file, as one that logrotate removes in between.
    (writer.path.with_name("x.csv.9")).symlink_to("removed")
    writer.write(9)
    reader.look()
    rotate(writer, "x.csv.1")
    writer.write(7)
    reader.look()
    assert reader.rows == list(range(13))
    reader.pieces.close()
    writer.write(4)
    reader.restart()
    reader.look()
    assert reader.rows == list(range(17))
    assert reader.notes == []


def test_a_folder_that_is_removed_has_no_rotated_files(writer: Writer, reader: Reader) -> None:
    writer.write(9)
    reader.look()
    shutil.rmtree(writer.path.parent)
    reader.look()
    assert reader.rows == list(range(9))
    writer.path.parent.mkdir()
    writer.begin()
    writer.write(7)
    reader.look()
    assert reader.rows == list(range(13))


def test_a_pipe_under_the_name_is_refused_and_one_beside_it_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a\n" + "1\n" * 9, encoding="utf-8")
    os.mkfifo(tmp_path / "x.csv.1")
    pieces = Followed(CsvRows(path, None), path).windows(None, 3)
    assert next(pieces) is not None
    path.write_text("a\n", encoding="utf-8")  # truncated: its copy is looked for
    while next(pieces) is not None:
        pass
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ContractError, match=r"x.csv: expected a regular file to follow"):
        list(itertools.islice(pieces, QUIET_LOOKS + 9))
    with pytest.raises(ContractError, match="got a named pipe: read it as standard input"):
        choose([str(path)], Choice(is_followed=True))
