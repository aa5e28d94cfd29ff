"""The SDKs' outboxes are killed in turn over one folder; each goes on where another was killed.

A few kills here; thousands in ``make nightly`` (``python -m tests.support.sdk_outbox_kills``).
"""

from collections.abc import Callable
from pathlib import Path

from tests.support.sdk_drivers import require
from tests.support.sdk_outbox_kills import run

KILLS = 16
SEED = 20_261_122


def test_whoever_is_killed_the_next_finds_what_was_acknowledged_and_no_number_twice(
    tmp_path: Path, tell: Callable[[str, str], None]
) -> None:
    require("go", "typescript", "rust")
    run(tmp_path, kills=KILLS, seed=SEED, appends=8, say=lambda line: tell("SDK outboxes", line))
