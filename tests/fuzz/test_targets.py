"""Twenty thousand bent inputs for each target, and every one that was ever found.

``make nightly`` feeds a million to each.
"""

from collections.abc import Callable

import pytest
from tests.fuzz.run import is_accepted, run
from tests.fuzz.targets import TARGETS, Target, escaped, unescaped

COUNT = 20_000
ENDS_MIN = {
    "jcs": 13,
    "record_json": 13,
    "record": 90,
    "legacy_record": 60,
    "batch": 20,
    "segment": 12,
    "stored": 8,
    "cursor": 2,
    "keyring": 60,
    "settings": 60,
}


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_bent_inputs_meet_no_bug(target: Target, tell: Callable[[str, str], None]) -> None:
    found = run(target, COUNT)
    assert found.count == COUNT
    # Inputs that all end at the first check would prove nothing.
    assert len(found.ends) >= ENDS_MIN[target.name]
    assert any(is_accepted(end) for end in found.ends)
    tell("fuzz", f"{target.name}: {found.line}")


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_the_seeds_hold_what_is_accepted_and_what_is_not(target: Target) -> None:
    ends = {is_accepted(target.read(data)) for data in target.seeds}
    assert ends == {False, True}


@pytest.mark.parametrize("data", [b"", b"#", b"\\", b"\n\t\x00\xff\x7f", "é\\x".encode(), b" a "])
def test_a_line_of_a_corpus_gives_its_bytes_back(data: bytes) -> None:
    assert "\n" not in escaped(data)
    assert not escaped(data).startswith("#")
    assert unescaped(escaped(data)) == data


def test_the_same_seed_gives_the_same_inputs() -> None:
    target = TARGETS["keyring"]
    assert run(target, 500, seed=3).ends == run(target, 500, seed=3).ends
    assert run(target, 500, seed=3).ends != run(target, 500, seed=4).ends
