"""NDJSON, Parquet, archives of arrays and texts: what they give and what they refuse."""

import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fractal_lba.agent.sources import npz_rows, parquet_rows
from fractal_lba.agent.sources.ndjson_rows import NdjsonRows
from fractal_lba.agent.sources.npz_rows import NpzRows, arrays_of
from fractal_lba.agent.sources.parquet_rows import ParquetRows
from fractal_lba.agent.sources.text_pieces import TextPiece, TextPieces
from fractal_lba.agent.window import Window
from fractal_lba.protocol import ContractError


def content(windows: list[Window]) -> list[Any]:
    return [
        window.data if isinstance(window.data, bytes) else window.data.tolist()
        for window in windows
    ]


class TestNdjson:
    def test_the_members_of_the_first_line_are_taken_in_their_order(self, tmp_path: Path) -> None:
        path = tmp_path / "x.ndjson"
        path.write_text(
            '{"b":1,"a":2}\n\n{"a":4,"more":"x","b":3e0}\r\n{"b":5,"a":-6.5}', encoding="utf-8"
        )
        assert content(list(NdjsonRows(path, None).windows(None, 3))) == [
            [[1, 2], [3, 4], [5, -6.5]]
        ]
        assert content(list(NdjsonRows(path, ["a"]).windows(None, 3))) == [[[2], [4], [-6.5]]]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ('{"a":1', "row 2: expected JSON, got none"),
            ('{"a":1,"a":2}', "row 2: expected JSON, got none"),
            ('{"a":NaN}', "row 2: expected JSON, got none"),
            ("[1]", "row 2: expected an object, got an array"),
            ('{"a":true}', "row 2, member 'a': expected a number, got a boolean"),
            ('{"a":null}', "row 2, member 'a': expected a number, got null"),
            ('{"a":"secret"}', "row 2, member 'a': expected a number, got a text of 6 characters"),
            ('{"b":1}', "row 2, member 'a': expected a number, got no such member"),
            ('{"a":1e301}', "row 2, column 'a': expected a finite number within ±1e300"),
        ],
    )
    def test_a_bad_line_is_refused_with_its_number(
        self, tmp_path: Path, line: str, message: str
    ) -> None:
        path = tmp_path / "x.ndjson"
        path.write_text(f'{{"a":1}}\n{line}\n{{"a":3}}\n{{"a":4}}\n', encoding="utf-8")
        with pytest.raises(ContractError, match=re.escape(message)) as refused:
            list(NdjsonRows(path, None).windows(None, 3))
        assert "secret" not in str(refused.value)

    def test_a_last_line_that_is_cut_is_left_for_the_next_run(self, tmp_path: Path) -> None:
        path = tmp_path / "x.ndjson"
        path.write_text('{"a":1}\n{"a":2}\n{"a":3}\n{"a":', encoding="utf-8")
        source = NdjsonRows(path, None)
        (window,) = source.windows(None, 3)
        assert "row 4 is no JSON and has no line end yet" in source.left_over
        with path.open("a", encoding="utf-8") as file:
            file.write('4}\n{"a":5}\n{"a":6}\n')
        assert content(list(source.windows(window.after, 3))) == [[[4], [5], [6]]]
        assert source.left_over == ""


class TestParquet:
    def test_every_kind_of_number_converts_to_the_nearest_double(self, tmp_path: Path) -> None:
        path = tmp_path / "x.parquet"
        table = pa.table(
            {
                "i": pa.array([1, 2, 2**53 + 1], pa.int64()),
                "f": pa.array([0.5, -0.0, 1e-3], pa.float32()),
                "b": pa.array([True, False, True]),
                "d": pa.array(["1.10", "2.20", "3.30"]).cast(pa.decimal128(5, 2)),
            }
        )
        pq.write_table(table, path)
        ((first, *_, last),) = content(list(ParquetRows(path, None).windows(None, 3)))
        assert first == [1.0, 0.5, 1.0, 1.1]
        assert last == [float(2**53), float(np.float32(1e-3)), 1.0, 3.3]

    def test_a_null_a_text_and_a_missing_column_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "x.parquet"
        table = pa.table({"a": [1, 2, 3, 4, None], "t": ["x"] * 5})
        pq.write_table(table, path, row_group_size=3)
        for columns, message in (
            (["a"], "row 5, column 'a': expected a number, got null"),
            (["t"], "column 't': expected numbers, got string"),
            (["z"], "expected one column named 'z', got 0"),
        ):
            with pytest.raises(ContractError, match=re.escape(message)):
                list(ParquetRows(path, columns).windows(None, 3))

    def test_what_is_no_parquet_or_too_large_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "x.parquet"
        path.write_bytes(b"PAR1 and nothing behind it")
        with pytest.raises(ContractError, match="expected a readable Parquet file"):
            list(ParquetRows(path, None).windows(None, 3))
        pq.write_table(pa.table({"a": np.arange(100.0)}), path)
        monkeypatch.setattr(parquet_rows, "GROUP_BYTES_MAX", 799)
        with pytest.raises(ContractError, match="row group 0: expected at most 799 bytes"):
            list(ParquetRows(path, None).windows(None, 3))

    def test_without_its_package_it_says_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(ContractError, match=re.escape("pip install 'fractal-lba[parquet]'")):
            ParquetRows(tmp_path / "x.parquet", None)


class TestArchives:
    def test_an_array_that_claims_too_much_or_holds_objects_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "x.npz"
        np.savez(path, large=np.zeros(100), objects=np.array([None] * 3, dtype=object))
        monkeypatch.setattr(npz_rows, "ARRAY_BYTES_MAX", 799)
        with pytest.raises(ContractError, match="expected numbers in at most 799 bytes"):
            list(NpzRows(path, "large").windows(None, 3))
        with pytest.raises(ContractError, match="array 'objects': expected numbers"):
            list(NpzRows(path, "objects").windows(None, 3))

    def test_columns_stored_one_behind_the_other_are_rows_all_the_same(
        self, tmp_path: Path
    ) -> None:
        points = np.arange(12.0).reshape(4, 3)
        np.savez(tmp_path / "x.npz", points=np.asfortranarray(points))
        assert content(list(NpzRows(tmp_path / "x.npz", "points").windows(None, 4))) == [
            points.tolist()
        ]

    def test_what_is_no_archive_or_holds_no_array_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "x.npz"
        path.write_bytes(b"PK nothing")
        with pytest.raises(ContractError, match=r"expected a \.npz file"):
            arrays_of(path)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("notes.txt", "x")
        with pytest.raises(ContractError, match="expected arrays of different names, got 0"):
            arrays_of(path)


class TestTexts:
    def write(self, tmp_path: Path, data: bytes) -> Path:
        path = tmp_path / "answers.txt"
        path.write_bytes(data)
        return path

    @pytest.mark.parametrize(
        ("piece", "texts"),
        [
            (TextPiece.LINE, [b"one two", b"three", "fünf".encode(), b"last line"]),
            (TextPiece.PARAGRAPH, [b"one two\r\nthree", "fünf\nx".encode(), b"last line"]),
            (TextPiece.FILE, ["one two\r\nthree\n\n\nfünf\nx\n\nlast line".encode()]),
        ],
    )
    def test_each_text_is_a_window(
        self, tmp_path: Path, piece: TextPiece, texts: list[bytes]
    ) -> None:
        path = self.write(tmp_path, "one two\r\nthree\n\n\nfünf\nx\n\nlast line".encode())
        source = TextPieces(path, piece)
        windows = list(source.windows(None, 3))
        assert content(windows) == texts
        for at, window in enumerate(windows):  # a return reads nothing twice and leaves nothing out
            assert content(list(source.windows(window.after, 3))) == texts[at + 1 :]

    def test_texts_too_short_to_summarise_are_passed_over_and_said(self, tmp_path: Path) -> None:
        source = TextPieces(self.write(tmp_path, b"ab\nabc\nx\n\nabcd\ny\n"), TextPiece.LINE)
        assert content(list(source.windows(None, 3))) == [b"abc", b"abcd"]
        assert source.left_over.endswith("3 texts of fewer than 3 bytes were passed over")

    def test_a_text_too_long_is_refused_with_its_line(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, b"abc\n" + b"x" * 65_537 + b"\n")
        for piece, line in ((TextPiece.LINE, 2), (TextPiece.PARAGRAPH, 2), (TextPiece.FILE, 0)):
            with pytest.raises(ContractError, match=f"line {line}: expected a text of at most"):
                list(TextPieces(path, piece).windows(None, 3))

    def test_a_text_that_went_on_after_it_was_observed_is_refused(self, tmp_path: Path) -> None:
        for piece in (TextPiece.LINE, TextPiece.FILE):
            path = self.write(tmp_path, b"the answer is")
            source = TextPieces(path, piece)
            (window,) = source.windows(None, 3)
            path.write_bytes(b"the answer is 42\n")
            with pytest.raises(ContractError, match="give the file another name"):
                list(source.windows(window.after, 3))
