"""What a user wrote, turned into sources."""

import re
import socket
from pathlib import Path

import pytest

from fractal_lba.agent.sources.byte_file import ByteFile
from fractal_lba.agent.sources.choose import FileStream, LiveStream, choose
from fractal_lba.agent.sources.csv_rows import CsvRows
from fractal_lba.agent.sources.npy_rows import NpyRows
from fractal_lba.protocol import ContractError, Profile


def chosen(
    *texts: object,
    profile: Profile | None = None,
    columns: list[str] | None = None,
    shard_id: str | None = None,
) -> tuple[list[FileStream], LiveStream | None]:
    return choose(list(map(str, texts)), profile=profile, columns=columns, shard_id=shard_id)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("x.csv", "X.CSV", "x.npy", "x.txt", "x", "sp ce (1).txt"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "profile", "kind"),
    [
        ("x.csv", None, CsvRows),
        ("X.CSV", None, CsvRows),
        ("x.npy", None, NpyRows),
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
        (["nowhere.csv"], {}, "nowhere.csv: expected a regular file or live:, got no such file"),
        (["."], {}, "expected a regular file or live:, got a folder"),
        (["x.txt"], {"profile": Profile.POINTS}, "expected .csv, .npy or live: for points/1"),
        (["live:"], {"profile": Profile.BYTES}, "live:: expected the profile points/1"),
        (["live:", "live:"], {}, "expected each source once"),
        (["x.csv", "./x.csv"], {}, "expected each source once"),
        (["live:", "x.csv"], {"shard_id": "s"}, "expected a shard id of its own"),
        (["x.txt"], {"columns": ["a"]}, "columns: expected a CSV file"),
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


def test_the_same_file_with_other_columns_is_refused_in_one_run(folder: Path) -> None:
    (folder / "link.csv").symlink_to(folder / "x.csv")
    with pytest.raises(ContractError, match="each source once"):
        chosen(folder / "x.csv", folder / "link.csv")
