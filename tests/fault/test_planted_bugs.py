"""Known bugs, planted: each breaks a named invariant over seeds that the sound code passes."""

from collections.abc import Callable
from typing import Final

import pytest
from tests.support.planted_bugs import PLANTED, Planted
from tests.support.power_runs import InvariantError, run_seed

SEEDS_MAX: Final = 400
SEEN_MAX: Final = 200
"""Characters of what was seen: some of it is a file's bytes."""


@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught_by_an_invariant_it_breaks(
    bug: Planted, tell: Callable[[str, str], None]
) -> None:
    for seed in range(SEEDS_MAX):
        try:
            with bug.planted():
                run_seed(bug.kind, seed)
        except InvariantError as error:
            assert error.invariant in bug.invariants, error  # noqa: PT017 - whichever seed it is
            run_seed(bug.kind, seed)  # without the bug the same seed holds
            seen = f"{bug.kind.name} seed {seed}: {error}"[:SEEN_MAX]
            tell("power", f"planted, {bug.name}: caught by {seen}")
            return
    pytest.fail(f"{SEEDS_MAX} seeds of {bug.kind.name} did not meet it")
