"""The options of an agent in a program: what is misspelled, missing or no such thing is named."""

import base64
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fractal_lba.agent import Keeping, OutboxBounds, WhenKept
from fractal_lba.agent.option_checks import members_of
from fractal_lba.agent.options import setup_of
from fractal_lba.protocol import ContractError

NEEDED = {"data": "d", "url": "http://127.0.0.1:1", "keyring": "k", "shard_id": "s"}


@pytest.mark.parametrize("name", ["orderd", "outbox_full"])
def test_an_option_that_does_not_exist_is_refused_by_name(name: str) -> None:
    options: Any = NEEDED | {name: True}
    with pytest.raises(ContractError, match=f"expected options among ca, .*, got {name}$"):
        setup_of(options)


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_an_option_that_is_missing_is_named(name: str) -> None:
    options: Any = {each: value for each, value in NEEDED.items() if each != name}
    with pytest.raises(ContractError, match=re.escape(f"expected the option {name}, got none")):
        setup_of(options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": None}, "data: expected a path, got NoneType"),
        ({"keyring": b"k"}, "keyring: expected a path, got bytes"),
        ({"shard_id": 7}, "shard_id: expected a text, got int"),
        ({"seed": "1"}, "seed: expected a whole number, got str"),
        ({"seed": True}, "seed: expected a whole number, got bool"),
        ({"scales": 4}, "scales: expected whole numbers, got int"),
        ({"meta": ["task"]}, "meta: expected names and their texts, whole numbers or booleans"),
        ({"degraded": "yes"}, "degraded: expected True or False, got str"),
        ({"token_file": 3}, "token_file: expected a path, got int"),
        ({"in_flight": 2.0}, "in_flight: expected a whole number, got float"),
        ({"grace_s": "10"}, "grace_s: expected a number of seconds, got str"),
        ({"grace_s": float("nan")}, "grace_s: expected 0 or more seconds, got nan"),
        ({"grace_s": -1}, "grace_s: expected 0 or more seconds, got -1"),
        ({"outbox": 1000}, "outbox: expected OutboxBounds, got int"),
        ({"kept": "kept"}, "kept: expected Keeping, got str"),
        ({"on_dead": "print"}, "on_dead: expected a function, got str"),
        ({"metrics": 9100}, "metrics: expected HOST:PORT, got int"),
    ],
)
def test_an_option_of_another_type_is_refused_by_name(
    changes: dict[str, Any], message: str
) -> None:
    options: Any = NEEDED | changes
    with pytest.raises(ContractError, match=re.escape(message)):
        setup_of(options)


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    secret = base64.b64encode(bytes(32)).decode()
    key = {"kid": "k-1", "tenant": "t", "alg": "hmac-sha256", "secret": f"base64:{secret}"}
    path = tmp_path / "ring.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"keys": [key], "tokens": []}), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:8080", "expected http://HOST:PORT or https://HOST:PORT, got 'localhost:8080'"),
        ("127.0.0.1:8080", "expected http://HOST:PORT or https://HOST:PORT, got"),
        ([], "url: expected one server or more, got none"),
        (8080, "url: expected http://HOST:PORT or https://HOST:PORT, got int"),
        (["http://h", None], "url: expected http://HOST:PORT or https://HOST:PORT, got NoneType"),
    ],
)
def test_what_is_no_server_is_told_how_one_is_written(ring: Path, url: Any, message: str) -> None:  # noqa: ANN401 - wrong on purpose
    options: Any = NEEDED | {"keyring": ring, "url": url}
    with pytest.raises(ContractError, match=re.escape(message)):
        setup_of(options)


def test_paths_may_be_texts_and_a_meta_may_hold_numbers(ring: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n", encoding="ascii")
    setup = setup_of(
        {
            "data": str(tmp_path / "d"),
            "url": "http://127.0.0.1:1",
            "keyring": str(ring),
            "shard_id": "s",
            "token_file": str(token),
            "meta": {"turn": 3, "is_test": True},
            "scales": [2, 4],
            "kept": None,
            "give_up_s": 90,
        }
    )
    assert setup.shipping.give_up_s == 90
    assert setup.shipping.recipe.meta == {"turn": 3, "is_test": True}
    assert setup.shipping.recipe.scales == (2, 4)


def test_a_key_that_cannot_sign_is_told_with_its_file(ring: Path) -> None:
    options: Any = NEEDED | {"keyring": ring, "kid": "k-2"}
    with pytest.raises(ContractError, match=re.escape(f"keyring {ring}: expected a key 'k-2'")):
        setup_of(options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OutboxBounds(records_max=0), "records_max: expected 1 or more, got 0"),
        (lambda: OutboxBounds(bytes_max=-1), "bytes_max: expected 1 or more, got -1"),
        (
            lambda: OutboxBounds(segment_bytes_max=4_194_303),
            "segment_bytes_max: expected 4194304 … 1073741824, got 4194303",
        ),
        (lambda: OutboxBounds(segment_age_s=59.9), "expected 60 seconds or more, got 59.9"),
        (lambda: OutboxBounds(segment_age_s=math.nan), "60 seconds or more, got nan"),
        (lambda: OutboxBounds(reserve_bytes=-1), "reserve_bytes: expected 0 … 4194304, got -1"),
        (lambda: OutboxBounds(reserve_bytes=True), "reserve_bytes: .* got True"),
        (lambda: Keeping(folder=Path("k"), bytes_max=0), "bytes_max: expected 1 or more, got 0"),
        (lambda: members_of(["a"]), "meta: expected names and their texts"),
    ],
)
def test_a_bound_that_leaves_no_room_is_refused_by_name(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(ContractError, match=message):
        make()


def test_a_folder_of_kept_windows_may_be_a_text() -> None:
    folder: Any = "kept"
    policy: Any = "stop"
    kept = Keeping(folder=folder, when_full=policy)
    assert (kept.folder, kept.when_full) == (Path("kept"), WhenKept.STOP)
    with pytest.raises(ContractError, match="when_full: expected one of oldest, stop, got 'x'"):
        Keeping(folder=folder, when_full="x")  # type: ignore[arg-type]
    with pytest.raises(ContractError, match="folder: expected a path, got int"):
        Keeping(folder=3)  # type: ignore[arg-type]
