"""Known bugs, each a patch: every one breaks an invariant it names, over seeds that are sound."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.mutants import PATCHES, SEEDS_MAX, Mutant, broken_in, lived_with, plant
from tests.support.sim_law import LAWS
from tests.support.sim_world import replayed_by

MUTANTS = [Mutant.of(path) for path in PATCHES]


def test_there_are_as_many_known_bugs_as_were_asked_for() -> None:
    assert len(MUTANTS) >= 12
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.path.stem)
def test_a_known_bug_breaks_the_invariant_it_names(
    mutant: Mutant, tmp_path: Path, tell: Callable[[str, str], None]
) -> None:
    assert mutant.invariants
    assert set(mutant.invariants) <= LAWS
    assert mutant.seeds
    # Below the suite's own seeds, all of which the unpatched sources pass.
    assert max(mutant.seeds) < SEEDS_MAX
    plant(mutant, tmp_path)
    ran = lived_with(tmp_path, [f"--seed={seed}" for seed in mutant.seeds])
    found = broken_in(ran.stdout)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert found.keys() == set(mutant.seeds), ran.stdout + ran.stderr
    for seed, what in found.items():
        assert what.startswith(mutant.invariants), what
        assert replayed_by(seed) in ran.stdout
        tell("simulation", f"{mutant.name}: seed {seed}: {what[:150]}")
