"""Hundreds of worlds in which everything fails, and nothing acknowledged is lost or changed."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Final

import pytest
from tests.support.mutants import ROOT
from tests.support.sim_lived import OFTEN, Lived, summary
from tests.support.sim_world import live, replayed_by

SEEDS: Final = 100
"""Of a test."""


@pytest.mark.parametrize("first", range(0, 5 * SEEDS, SEEDS))
def test_a_world_of_faults_ends_with_every_window_decided_once(
    first: int, tell: Callable[[str, str], None]
) -> None:
    together = Lived()
    for seed in range(first, first + SEEDS):
        lived, broken = live(seed)
        together += lived
        if broken is not None:
            broken.add_note(f"seed {seed}: {replayed_by(seed)}")
            raise broken
    tell("simulation", f"seeds {first} to {first + SEEDS - 1}: {summary(together)}")
    for kind in OFTEN:
        assert together.happened[kind], f"{kind} was never met"


def test_a_seed_is_one_order_of_events_in_every_process() -> None:
    seeds = [1, 2, 3]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.simulation", *(f"--seed={seed}" for seed in seeds)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        # Nothing may hang on the order in which strings happen to be hashed.
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    here = [f"seed {seed}: {live(seed)[0].digest}" for seed in seeds]
    assert ran.stdout.splitlines()[:-1] == here
