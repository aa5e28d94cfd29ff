"""The SDKs' outboxes are killed in turn over one folder; each goes on where another was killed.

A few kills here; thousands in ``make nightly`` (``python -m tests.support.sdk_outbox_kills``).
"""

from collections.abc import Callable
from pathlib import Path

from tests.support.sdk_drivers import Driver, require
from tests.support.sdk_outbox_kills import OUTBOXES, run

KILLS = 16
SEED = 20_261_122


def test_whoever_is_killed_the_next_finds_what_was_acknowledged_and_no_number_twice(
    tmp_path: Path, tell: Callable[[str, str], None]
) -> None:
    require("go", "typescript", "rust")
    killed = run(
        tmp_path, kills=KILLS, seed=SEED, appends=8, say=lambda line: tell("SDK outboxes", line)
    )
    assert killed.kills >= KILLS
    assert killed.turns.keys() == set(OUTBOXES)
    # Each opening was held to all that had been acknowledged: some did, and there was something.
    assert killed.answers["outbox.pending"] > len(OUTBOXES)
    assert killed.given > KILLS
    with Driver(OUTBOXES[0]) as last:
        opened = last.open_outbox(tmp_path)
        assert isinstance(opened, int)
        assert opened >= killed.waiting
        assert last.ask("outbox.damage") == {"damage": [], "lost": 0}
        last.close_outbox()
