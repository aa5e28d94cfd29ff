"""``fractal-lba signals``: files in, the members of a record out."""

import io
import json
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from tests.oracle import signals as oracle
from tests.oracle.canonical_json import canonical_bytes
from tests.support.command_line import (
    assert_refused,
    assert_unusable,
    fractal_lba,
    installed_fractal_lba,
)
from tests.support.windows import PROSE

SCALES = [2, 4, 8, 16, 32]
ROWS = [[0.5, -1.0, 3.0], [2.25, 1e-3, 4.0], [-7.0, 0.0, 5.5], [1.0, 1.0, 1.0]]
CSV = b"0.5,-1,3\n2.25,1e-3,4\n-7,0,5.5\n1,1,+1.\n"
POINTS = ("--profile", "points/1")
BYTES = ("--profile", "bytes/1")


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_csv_gives_what_the_oracle_gives() -> None:
    ended = fractal_lba("signals", "-", *POINTS, stdin=CSV)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == canonical_bytes(oracle.members_of_points(ROWS, 42, SCALES)) + b"\n"


def test_npy_gives_the_same_as_csv() -> None:
    expected = fractal_lba("signals", "-", *POINTS, stdin=CSV).out
    assert fractal_lba("signals", "-", *POINTS, stdin=npy(np.array(ROWS))).out == expected


def test_seed_and_scales_are_used(tmp_path: Path) -> None:
    window = np.random.default_rng(3).normal(size=(20, 5))
    path = tmp_path / "window.npy"
    np.save(path, window)
    ended = fractal_lba("signals", path, *POINTS, "--seed", "7", "--scales", "3, 9,27")
    expected = oracle.members_of_points(window.tolist(), 7, [3, 9, 27])
    assert ended.out == canonical_bytes(expected) + b"\n"


def test_bytes_are_summarised_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(PROSE)
    ended = fractal_lba("signals", path, *BYTES)
    assert ended.out == canonical_bytes(oracle.members_of_bytes(PROSE, 42, SCALES)) + b"\n"
    assert fractal_lba("signals", "-", *BYTES, stdin=PROSE).out == ended.out


def test_columns_are_taken_by_name_and_in_order() -> None:
    table = b"time,z, x ,y\nnoon,3,0.5,-1\none,4,2.25,1e-3\ntwo,5.5,-7,0\nthree,1,1,1\n"
    ended = fractal_lba("signals", "-", *POINTS, "--columns", "x,y,z", stdin=table)
    assert ended.out == fractal_lba("signals", "-", *POINTS, stdin=CSV).out


def test_the_answer_completes_to_a_record_that_is_accepted(tmp_path: Path) -> None:
    ring = tmp_path / "ring.json"
    fractal_lba("keys", "generate", "--keyring", ring, "--tenant", "t", "--kid", "k")
    window = npy(np.random.default_rng(4).normal(size=(64, 8)))
    draft = {
        **fractal_lba("signals", "-", *POINTS, stdin=window).json,
        "schema": "fractal-lba-kakeya",
        "version": "1.0",
        "epoch": 0,
        "shard_id": "bench:1",
        "created_at": "2026-11-21T06:00:00.000Z",
        "ft": {"degraded": False, "fallbacks": [], "clock_skew_ms": 0},
    }
    record = fractal_lba(
        "sign", "--keyring", ring, "--kid", "k", "-", stdin=json.dumps(draft).encode()
    )
    ended = fractal_lba("verify", "--keyring", ring, "-", stdin=record.out)
    assert (ended.code, ended.json["outcome"]["status"]) == (0, 200)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,b\n1,2\n3,nan\n5,6\n", "standard input: window row 1, column 1: expected a finite"),
        (b"1\n2\n", "standard input: window: expected 3 to 65536 rows, got 2"),
        (b"x,y\n1,2\n3,four\n5,6\n", "standard input: line 3, cell 2: expected a number"),
    ],
)
def test_a_file_that_is_no_window_is_refused(data: bytes, message: str) -> None:
    assert_refused(fractal_lba("signals", "-", *POINTS, stdin=data), message)


def test_a_refusal_shows_no_cell() -> None:
    ended = fractal_lba("signals", "-", *POINTS, stdin=b"x\n1\nsecret-cell\n3\n")
    assert ended.code == 1
    assert "secret" not in ended.err


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    witness = tmp_path / "witness"

    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }".ljust(117) + b"\n"
    pickled = f"cbuiltins\nopen\n(S{str(witness)!r}\nS'w'\ntR.".encode()
    pickle.loads(pickled).close()  # noqa: S301  # this is what must not happen
    witness.unlink()
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + pickled
    ended = fractal_lba("signals", "-", *POINTS, stdin=data)
    assert_refused(ended, "table: expected numbers, got Python objects")
    assert not witness.exists()


@pytest.mark.parametrize("length", [2, 65_537])
def test_bytes_of_another_length_are_refused(length: int) -> None:
    ended = fractal_lba("signals", "-", *BYTES, stdin=b"x" * length)
    assert_refused(ended, f"standard input: data: expected 3 to 65536 bytes, got {length}")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "Missing option '--profile'"),
        (("--profile", "points/2"), "'--profile'"),
        ((*POINTS, "--seed", "-1"), "--seed: expected an integer of 0 to 9007199254740991"),
        ((*POINTS, "--seed", "x"), "'--seed'"),
        ((*POINTS, "--scales", "4,2"), "--scales: expected 2 to 10 integers"),
        ((*POINTS, "--scales", "2,x"), "'--scales': expected integers with commas"),
        ((*BYTES, "--columns", "x"), "--columns: expected with points/1 only"),
    ],
)
def test_wrong_options_are_unusable(more: tuple[str, ...], message: str) -> None:
    assert_unusable(fractal_lba("signals", "-", *more, stdin=CSV), message)


def test_a_missing_file_is_unusable(tmp_path: Path) -> None:
    assert_unusable(fractal_lba("signals", tmp_path / "none", *POINTS), "none: cannot be read")


def without(folder: Path, module: str) -> dict[str, str]:
    """Return an environment in which a module fails to import as an absent one does."""
    absent = f'raise ModuleNotFoundError("No module named {module!r}", name={module!r})\n'
    (folder / f"{module}.py").write_text(absent)
    inherited = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), inherited]))}


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [
        ("click", ("canonical",)),
        ("numpy", ("signals", "-", "--profile", "bytes/1")),
        ("matplotlib", ("signals", "-", "--profile", "bytes/1", "--plot", "x.png")),
    ],
)
def test_a_missing_extra_is_named(tmp_path: Path, missing: str, arguments: tuple[str, ...]) -> None:
    ended = installed_fractal_lba(*arguments, stdin=b"[1]", environment=without(tmp_path, missing))
    extra = "plot" if missing == "matplotlib" else "cli"
    assert_unusable(ended, f"{missing} is not installed; run: pip install 'fractal-lba[{extra}]'")


def test_other_commands_do_not_need_numpy(tmp_path: Path) -> None:
    ended = installed_fractal_lba(
        "canonical", stdin=b"[1.0]", environment=without(tmp_path, "numpy")
    )
    assert (ended.code, ended.out) == (0, b"[1]")


@pytest.mark.parametrize(("profile", "data"), [(POINTS, CSV), (BYTES, PROSE)])
def test_a_picture_is_drawn_beside_the_answer(
    tmp_path: Path, profile: tuple[str, ...], data: bytes
) -> None:
    path = tmp_path / "window.png"
    path.write_bytes(b"an older one")
    # No display, a back end that needs one, and no place for matplotlib's cache.
    (tmp_path / "file").write_bytes(b"")
    bare = {"DISPLAY": "", "MPLBACKEND": "tkagg", "MPLCONFIGDIR": str(tmp_path / "file")}
    ended = installed_fractal_lba(
        "signals", "-", *profile, "--plot", path, stdin=data, environment=bare
    )
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == fractal_lba("signals", "-", *profile, stdin=data).out
    picture = path.read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert struct.unpack_from(">II", picture, 16) == (1920, 720)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("folder.png", "--plot: {}: expected a file to write, got a folder"),
        ("window.pdf", "--plot: expected a name that ends in .png, got {}"),
        ("absent/window.png", "--plot: {}: cannot be written: No such file or directory"),
        ("file/window.png", "--plot: {}: cannot be written: Not a directory"),
    ],
)
def test_a_picture_that_cannot_be_written_is_unusable(
    tmp_path: Path, path: str, message: str
) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_bytes(b"")
    ended = fractal_lba("signals", "-", *POINTS, "--plot", tmp_path / path, stdin=CSV)
    assert_unusable(ended, message.format(tmp_path / path))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder.png"]


def test_no_picture_is_drawn_of_a_file_that_is_no_window(tmp_path: Path) -> None:
    ended = fractal_lba("signals", "-", *POINTS, "--plot", tmp_path / "x.png", stdin=b"1\n2\n")
    assert_refused(ended, "expected 3 to 65536 rows, got 2")
    assert not (tmp_path / "x.png").exists()
