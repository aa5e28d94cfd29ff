"""From an agent that keeps its windows to a proof that a row was in one, and its numbers again."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.agent_process import AgentRig
from tests.support.command_line import assert_refused, assert_unusable, fractal_lba
from tests.support.scripted_server import Deciding, serving

PATHS = {"points/1": "*.npy", "bytes/1": "*.bin"}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a real agent that observed a table and a text."""
    import asyncio  # noqa: PLC0415 - this fixture alone

    rig = AgentRig(tmp_path_factory.mktemp("kept"))

    async def main() -> None:
        async with serving(Deciding()) as server:
            end = await rig.run(
                server.url, "x.csv", "z.txt", "--window", "170", "--keep-windows", "kept"
            )
            assert end.code == 0, end.err

    asyncio.run(main())
    return rig.folder / "kept"


def proof_of(window: Path, at: int) -> dict[str, Any]:
    ended = fractal_lba("merkle", "prove", window, "--at", str(at))
    assert (ended.code, ended.err) == (0, "")
    proof: dict[str, Any] = json.loads(ended.out)
    return proof


def verified(proof: dict[str, Any], record: Path) -> Any:  # noqa: ANN401 - of the command's
    return fractal_lba(
        "merkle", "verify", "-", "--record", record, stdin=json.dumps(proof).encode()
    )


def test_every_row_of_a_kept_window_is_shown_to_be_in_its_record(kept: Path) -> None:
    window = sorted(kept.glob("*.npy"))[1]
    rows = np.load(window)
    for at in (0, 1, 77, len(rows) - 1):
        ended = verified(proof_of(window, at), window.with_suffix(".json"))
        assert (ended.code, ended.err) == (0, "")
        said = json.loads(ended.out)
        assert (said["in_window"], said["row"], said["values"]) == (True, at, rows[at].tolist())
        assert said["pcs_id"] == window.stem[13:]


def test_every_byte_of_a_kept_text_is_shown_with_its_chunk(kept: Path) -> None:
    window = min(kept.glob("*.bin"))
    data = window.read_bytes()
    for at in (0, 64, 127, len(data) - 1):
        ended = verified(proof_of(window, at), window.with_suffix(".json"))
        assert ended.code == 0, ended.err
        said = json.loads(ended.out)
        start = at // 64 * 64
        assert (said["byte"], base64.b64decode(said["bytes"])) == (start, data[start : start + 64])


@pytest.mark.parametrize("profile", PATHS)
def test_the_numbers_of_the_record_are_computed_again_from_the_kept_window(
    kept: Path, profile: str
) -> None:
    windows = sorted(kept.glob(PATHS[profile]))
    assert len(windows) >= 2
    for window in windows:
        ended = fractal_lba("signals", window, "--profile", profile)
        assert ended.code == 0, ended.err
        record = json.loads(window.with_suffix(".json").read_bytes())
        members = json.loads(ended.out)
        assert {name: record[name] for name in members} == members


def test_what_does_not_show_it_is_refused(kept: Path) -> None:
    first, second = sorted(kept.glob("*.npy"))[:2]
    proof, record = proof_of(first, 5), first.with_suffix(".json")
    other_leaf = proof_of(first, 6)["leaf"]
    for change in (
        {"leaf": other_leaf},
        {"leaf_index": 6},
        {"path": proof["path"][:-1]},
        {"path": [*proof["path"], "00" * 32]},
        {"path": ["00" * 32, *proof["path"][1:]]},
        {"leaves": proof["leaves"] - 1},
        {"leaf": proof["leaf"][:-4]},
        {"profile": "bytes/1"},
        {"path": ["zz"]},
        {"path": [each.upper() for each in proof["path"]]},
        {"path": [" ".join((each[:2], each[2:])) for each in proof["path"]]},
        {"merkle_root": proof["merkle_root"].upper()},
        {"v": 2},
        {"more": 1},
    ):
        ended = verified(proof | change, record)
        assert ended.code == 1, change
        assert ended.out == b""
    assert_refused(
        verified(proof, second.with_suffix(".json")), "inclusion proof: expected the root"
    )
    verify = ("merkle", "verify", "-", "--record", record)
    for body, why in (
        (json.dumps(proof).replace("{", '{"leaf_index":6,', 1), "each name once, got a duplicate"),
        ("\ufeff" + json.dumps(proof), "no byte order mark"),
    ):
        assert_refused(fractal_lba(*verify, stdin=body.encode()), why)
    # A node of the tree is no leaf of it, whatever its bytes are.
    node = {"leaf": base64.b64encode(bytes(16)).decode(), "path": proof["path"][1:]}
    assert_refused(verified(proof | node, record), "inclusion proof: expected")


def test_what_cannot_be_used_is_said(kept: Path, tmp_path: Path) -> None:
    window = min(kept.glob("*.npy"))
    rows = len(np.load(window))
    nowhere = tmp_path / "nowhere.npy"
    prove, verify = ("merkle", "prove"), ("merkle", "verify")
    assert_refused(fractal_lba(*prove, window, "--at", str(rows)), f"expected one of {rows} rows")
    assert_unusable(fractal_lba(*prove, nowhere, "--at", "0"), "cannot be read")
    assert_unusable(fractal_lba(*prove, "-", "--at", "0", stdin=b"abc"), "--profile: expected one")
    assert_unusable(fractal_lba(*verify, nowhere, "--record", window), "cannot be read")
    assert_refused(fractal_lba(*verify, window, "--record", window), "expected UTF-8")
