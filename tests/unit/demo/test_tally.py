"""The demo's count fails when it should: each of its three places can betray it."""

import pytest
from demo.tally import Ledger, Tally, compare

A, B = "a" * 64, "b" * 64
OUTBOX = {A: "acknowledged", B: "acknowledged"}
READABLE = {A: A, B: B}
LEDGER = Ledger(records=2, stored_twice=0, is_sound=True)


def test_three_places_that_agree_are_sound() -> None:
    tally = compare(OUTBOX, READABLE, LEDGER)
    assert tally.is_sound
    assert (tally.windows, tally.acknowledged, tally.readable, tally.stored) == (2, 2, 2, 2)


def test_an_acknowledged_id_the_server_does_not_give_back_is_lost() -> None:
    tally = compare(OUTBOX, {A: A}, Ledger(records=1, stored_twice=0, is_sound=True))
    assert tally.lost == (B,)
    assert not tally.is_sound


@pytest.mark.parametrize(
    "tally",
    [
        pytest.param(compare({}, {}, Ledger(records=0, stored_twice=0, is_sound=True)), id="empty"),
        pytest.param(compare({**OUTBOX, B: "pending"}, {A: A}, LEDGER), id="waiting"),
        pytest.param(compare({**OUTBOX, B: "dead"}, READABLE, LEDGER), id="refused"),
        pytest.param(compare(OUTBOX, {A: A, B: A}, LEDGER), id="another-record"),
        pytest.param(compare({A: "acknowledged"}, READABLE, LEDGER), id="never-acknowledged"),
        pytest.param(
            compare(OUTBOX, READABLE, Ledger(records=3, stored_twice=0, is_sound=True)),
            id="more-on-disk",
        ),
        pytest.param(
            compare(OUTBOX, READABLE, Ledger(records=1, stored_twice=0, is_sound=True)),
            id="fewer-on-disk",
        ),
        pytest.param(
            compare(OUTBOX, READABLE, Ledger(records=2, stored_twice=1, is_sound=True)),
            id="stored-twice",
        ),
        pytest.param(
            compare(OUTBOX, READABLE, Ledger(records=2, stored_twice=0, is_sound=False)),
            id="fsck-complains",
        ),
    ],
)
def test_a_difference_between_the_places_is_never_sound(tally: Tally) -> None:
    assert not tally.is_sound
