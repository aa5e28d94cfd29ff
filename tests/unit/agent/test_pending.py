"""Places of pending windows: what comes back, and what they cost."""

import random
import tracemalloc
from collections import deque

import pytest

from fractal_lba.agent.pending import NS_PER_MS, Pending, Place
from fractal_lba.agent.segments import Segments
from fractal_lba.wal import NewFrame, PlacedFrames, Position


@pytest.mark.parametrize(
    "place",
    [
        Place(Position(1, 216), 1, 0, "s"),
        Place(Position(9_999_999_999, (1 << 30) - 1), (1 << 24) - 1, (1 << 44) - 1, "t"),
    ],
)
def test_a_place_comes_back_as_it_was(place: Place) -> None:
    pending = Pending(Segments())
    pending.keep(7, place)
    assert pending[7] == place
    assert pending.oldest() == place


def test_a_clock_beyond_all_years_is_kept_as_the_last_one() -> None:
    pending = Pending(Segments())
    pending.keep(7, Place(Position(3, 216), 5, 1 << 60, "s"))
    assert pending[7] == Place(Position(3, 216), 5, (1 << 44) - 1, "s")
    frame = NewFrame(NS_PER_MS << 60, b"meta", b"payload")
    pending.add(PlacedFrames(8, 3, [221]), [frame], ["s"], 37)
    assert pending[8] == Place(Position(3, 221), 37, (1 << 44) - 1, "s")


def test_places_are_those_of_a_plain_dictionary() -> None:
    rng = random.Random(1)  # noqa: S311 - a seed, so that a failure can be replayed
    pending, model = Pending(Segments()), dict[int, Place]()
    for step in range(300):
        seq = rng.choice([step, *list(model)[:3]])
        if rng.random() < 0.6:
            at = Position(rng.randint(1, 9), 216 + step)
            model[seq] = Place(at, rng.randint(1, 999), step, rng.choice("abc"))
            pending.keep(seq, model[seq])
        else:
            assert pending.end(seq) == (model.pop(seq, None) is not None)
        assert {seq: pending[seq] for seq in pending} == model
        assert list(pending.streams()) == [(seq, model[seq].shard_id) for seq in model]
        assert pending.size == sum(place.size for place in model.values())
        assert pending.oldest() == next(iter(model.values()), None)
        assert len(pending) == len(model)
        assert (seq in pending) == (seq in model)


def test_a_pending_window_takes_about_150_bytes() -> None:
    count = 20_000
    tracemalloc.start()
    try:
        pending = Pending(Segments())
        for seq in range(1_000_000, 1_000_000 + count):
            at = Position(12, 300 + seq)
            pending.keep(seq, Place(at, 1_200, 1_767_225_600_000 + seq, "sensors.csv"))
        unsent = deque(pending)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(unsent) == count
    assert 80 * count < taken < 200 * count
    print(f"{taken / count:.0f} bytes for each pending window")  # noqa: T201 - the documents quote it
