"""What a user wrote, turned into sources."""

import re
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fractal_lba.agent.sources.byte_file import ByteFile
from fractal_lba.agent.sources.choose import Choice, choose
from fractal_lba.agent.sources.csv_rows import CsvRows
from fractal_lba.agent.sources.ndjson_rows import NdjsonRows
from fractal_lba.agent.sources.npy_rows import NpyRows
from fractal_lba.agent.sources.parquet_rows import ParquetRows
from fractal_lba.agent.sources.streams import FileStream, LiveStream
from fractal_lba.agent.sources.text_pieces import TextPiece, TextPieces
from fractal_lba.protocol import ContractError, Profile


def chosen(
    *texts: object,
    profile: Profile | None = None,
    **settings: Any,  # noqa: ANN401 - of Choice's own types
) -> tuple[list[FileStream], LiveStream | None]:
    found = choose(list(map(str, texts)), Choice(profile=profile, **settings))
    return found.files, found.live


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "x.csv",
        "X.CSV",
        "x.npy",
        "x.ndjson",
        "x.jsonl",
        "x.parquet",
        "x.txt",
        "x",
        "sp ce (1).txt",
    ):
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "profile", "kind"),
    [
        ("x.csv", None, CsvRows),
        ("X.CSV", None, CsvRows),
        ("x.npy", None, NpyRows),
        ("x.ndjson", None, NdjsonRows),
        ("x.jsonl", None, NdjsonRows),
        ("x.parquet", None, ParquetRows),
        ("x.txt", None, ByteFile),
        ("x", None, ByteFile),
        ("x.csv", Profile.POINTS, CsvRows),
        ("x.csv", Profile.BYTES, ByteFile),
        ("x.npy", Profile.BYTES, ByteFile),
    ],
)
def test_the_profile_or_the_ending_decides(
    folder: Path, name: str, profile: Profile | None, kind: type
) -> None:
    (stream,), live = chosen(folder / name, profile=profile)
    assert type(stream.source) is kind
    assert live is None


def test_files_keep_their_order_and_are_streams_of_their_own(folder: Path) -> None:
    streams, _ = chosen(folder / "x.txt", folder / "x.csv", folder / "sp ce (1).txt")
    assert [stream.shard_id for stream in streams] == ["x.txt", "x.csv", "sp-ce--1-.txt"]


def test_one_stream_can_be_named_for_all(folder: Path) -> None:
    streams, _ = chosen(folder / "x.txt", folder / "x.csv", shard_id="all")
    assert {stream.shard_id for stream in streams} == {"all"}


def test_live_is_a_stream_named_after_the_host() -> None:
    streams, live = chosen("live:")
    assert streams == []
    assert live is not None
    assert live.shard_id == "live:" + re.sub("[^A-Za-z0-9._:-]", "-", socket.gethostname())[:123]


def test_a_long_file_name_is_cut_to_a_shard_id(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 200)
    path.touch()
    (stream,), _ = chosen(path)
    assert stream.shard_id == "n" * 128


@pytest.mark.parametrize(
    ("texts", "settings", "message"),
    [
        (
            ["nowhere.csv"],
            {},
            "nowhere.csv: expected a file, a folder, live: or -, got no such file",
        ),
        (["empty"], {}, "empty: expected files below the folder, got none"),
        (["x.txt"], {"profile": Profile.POINTS}, ".npz or live: for points/1, got '.txt'"),
        (["live:"], {"profile": Profile.BYTES}, "live:: expected the profile points/1"),
        (["live:", "live:"], {}, "expected each source once"),
        (["x.csv", "./x.csv"], {}, "expected each source once"),
        (["live:", "x.csv"], {"shard_id": "s"}, "expected a shard id of its own"),
        (["x.txt"], {"columns": ["a"]}, "columns: expected a table to take them from, got none"),
        (["-", "csv:-"], {}, "expected each source once"),
        (["-"], {"profile": Profile.POINTS}, "-: expected a source of points/1, got bytes/1"),
        (["csv:-"], {"text": TextPiece.LINE}, "expected a source of texts, each a line"),
        (["-", "live:"], {"shard_id": "s"}, "live:: expected a shard id of its own"),
        (["x.txt"], {"text": TextPiece.LINE, "profile": Profile.POINTS}, "text: expected"),
        (["x.npy"], {"is_followed": True}, "expected CSV, NDJSON or bytes to follow, got an array"),
        (["x.csv"], {"period_s": 60.0}, "rows have a time (--time-column), got no column named"),
        (["x.txt"], {"period_s": 60.0, "time_column": "t"}, "(--time-column), got bytes or texts"),
        (["x.csv"], {"time_column": "t"}, "--time-column: expected --window-seconds beside it"),
        (["x.csv"], {"lateness_s": 1.0}, "--lateness: expected --window-seconds and --time-column"),
        (["live:"], {"period_s": 1.0, "lateness_s": 1.0}, "--lateness: expected --window-seconds"),
        (["live:"], {"period_s": 1.0, "time_column": "t"}, "--time-column: expected a file"),
        (["csv:-"], {"period_s": 1.0, "time_column": "t"}, "which is cut as it arrives"),
        (["live:"], {"period_s": 0.0}, "expected 0.001 … 86400.0 seconds, got 0.0"),
        (["x.csv"], {"shard_id": "a|b"}, "shard id: expected"),
        (["x.csv"], {"shard_id": ""}, "shard id: expected"),
        (["x.csv"], {"shard_id": "s" * 129}, "shard id: expected"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    texts: list[str],
    settings: dict[str, object],
    message: str,
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(ContractError, match=re.escape(message)):
        chosen(*texts, **settings)  # type: ignore[arg-type]  # a table of settings


def test_a_folder_is_the_files_below_it_in_the_order_of_their_paths(tmp_path: Path) -> None:
    top = tmp_path / "top"
    for name in ("b.csv", "a/z.txt", "a/b/c.csv", ".hidden/x.csv", "a/.hidden", "B.csv"):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (top / "a" / "back").symlink_to(top)  # never entered: it leads back
    streams, _ = chosen(top)
    assert [stream.shard_id for stream in streams] == [
        "top-B.csv", "top-b.csv", "top-a-z.txt", "top-a-b-c.csv",
    ]  # fmt: skip
    assert [type(stream.source) for stream in streams] == [CsvRows, CsvRows, ByteFile, CsvRows]


def test_each_array_of_an_archive_is_a_stream(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", left=np.zeros((4, 2)), right=np.ones(5))
    streams, _ = chosen(tmp_path / "x.npz")
    assert [stream.shard_id for stream in streams] == ["x.npz:left", "x.npz:right"]
    assert len({stream.source.key for stream in streams}) == 2


def test_texts_and_what_grows_are_asked_for(folder: Path) -> None:
    (texts,), _ = chosen(folder / "x.csv", text=TextPiece.LINE)
    assert type(texts.source) is TextPieces
    found = choose([str(folder / "x.csv")], Choice(is_followed=True))
    assert (found.files, [each.shard_id for each in found.followed]) == ([], ["x.csv"])


def test_standard_input_is_a_stream_of_bytes_or_of_rows() -> None:
    for word, profile in (("-", Profile.BYTES), ("ndjson:-", Profile.POINTS)):
        found = choose([word], Choice()).standard_input
        assert found is not None
        assert (found.shard_id, found.source.profile) == ("stdin", profile)


def test_the_same_file_with_other_columns_is_refused_in_one_run(folder: Path) -> None:
    (folder / "link.csv").symlink_to(folder / "x.csv")
    with pytest.raises(ContractError, match="each source once"):
        chosen(folder / "x.csv", folder / "link.csv")
