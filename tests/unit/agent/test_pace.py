"""The pace: what an endpoint takes, found by asking, and kept."""

import random

from fractal_lba.agent.pace import GAP_MAX_S, START, Pace


def asked(pace: Pace, *, room: int, now_s: float) -> int:
    """Send as many as the pace allows, and return how many a server with so much room refused."""
    sent = int(pace.limit)
    for _ in range(min(sent, room)):
        pace.answered(sent, sent_s=now_s)
    for _ in range(sent - room):
        pace.refused(sent_s=now_s, now_s=now_s + 0.01, until_s=now_s + 1.0, asked_s=0.0)
    return max(0, sent - room)


def test_it_begins_with_few_and_doubles_with_each_round_of_answers() -> None:
    pace = Pace.of(64)
    limits = []
    for now_s in range(6):
        limits.append(pace.limit)
        asked(pace, room=1_000, now_s=float(now_s))
    assert limits == [START, 8, 16, 32, 64, 64]
    assert Pace.of(2).limit == 2


def test_a_limit_that_was_not_reached_does_not_grow() -> None:
    pace = Pace.of(64)
    for _ in range(100):
        pace.answered(1, sent_s=0.0)
    assert pace.limit == START


def test_requests_refused_together_halve_it_once() -> None:
    pace = Pace.of(64)
    for now_s in range(4):
        asked(pace, room=1_000, now_s=float(now_s))
    asked(pace, room=0, now_s=10.0)
    assert pace.limit == 32
    asked(pace, room=0, now_s=11.0)
    assert pace.limit == 16


def test_it_settles_about_what_a_server_takes_at_once() -> None:
    """With room for four of 64, few requests in a hundred are refused once it has settled."""
    pace = Pace.of(64)
    refused = sent = 0
    for now_s in range(1_000):
        some = int(pace.limit)
        found = asked(pace, room=4, now_s=float(now_s))
        if now_s >= 10:
            sent += some
            refused += found
    assert refused / sent < 0.1
    assert sent / 990 > 2.9


def test_one_at_once_waits_as_long_as_it_was_told() -> None:
    pace = Pace.of(1)
    assert pace.has_room(0, 0.0)
    assert not pace.has_room(1, 0.0)
    pace.refused(sent_s=0.0, now_s=0.1, until_s=5.0, asked_s=0.0)
    assert not pace.has_room(0, 4.9)
    assert pace.has_room(0, 5.0)


def test_a_rate_is_met_by_waiting_and_not_by_being_refused() -> None:
    """A server that lets one request in each three seconds, and says how long it takes."""
    rng = random.Random(1)  # noqa: S311 - a seed
    pace = Pace.of(16)
    now_s, free_s, answered, refused = 0.0, 0.0, 0, 0
    while now_s < 3_000:
        now_s = max(now_s, pace.next_s)
        pace.sent(now_s)
        if now_s >= free_s:
            free_s = now_s + 3.0
            answered += 1
            pace.answered(1, sent_s=now_s)
        else:
            refused += 1
            asked_s = free_s - now_s
            until_s = now_s + asked_s + rng.uniform(0.0, 0.1)
            pace.refused(sent_s=now_s, now_s=now_s, until_s=until_s, asked_s=asked_s)
        now_s += 0.01
    assert answered > 900
    assert refused / answered < 0.2


def test_where_a_rate_is_no_more_the_gap_goes() -> None:
    pace = Pace.of(1)
    pace.answered(1, sent_s=0.0)
    pace.refused(sent_s=0.1, now_s=0.2, until_s=100.0, asked_s=100.0)
    assert pace.gap_s == GAP_MAX_S
    now_s = 100.0
    for _ in range(8 * 30):
        now_s = max(now_s, pace.next_s)
        pace.sent(now_s)
        pace.answered(1, sent_s=now_s)
    assert pace.gap_s == 0.0


def test_behind_an_outage_it_begins_with_one() -> None:
    pace = Pace.of(64)
    for now_s in range(6):
        asked(pace, room=1_000, now_s=float(now_s))
    pace.restart()
    assert pace.limit == 1
