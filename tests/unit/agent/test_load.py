"""How many windows a request carries."""

import pytest

from fractal_lba.agent.load import IN_FLIGHT_MAX, REFUSED_S, WINDOWS_MAX, Load


@pytest.mark.parametrize(
    ("requests", "windows"), [(1, 256), (16, 256), (17, 240), (1024, 4), (4096, 1), (9999, 1)]
)
def test_requests_in_flight_share_what_is_held_in_memory(requests: int, windows: int) -> None:
    load = Load.of(requests)
    assert load.windows == windows
    assert windows == 1 or windows * requests <= IN_FLIGHT_MAX


def test_what_is_not_answered_is_halved_down_to_a_window_alone_and_grows_again() -> None:
    load = Load.of(16)
    seen = []
    while load.windows > 1:
        load.unanswered(load.windows)
        seen.append(load.windows)
    assert seen == [128, 64, 32, 16, 8, 4, 2, 1]
    for _ in range(9):
        load.answered(now_s=0.0)
    assert load.windows == WINDOWS_MAX


def test_requests_of_another_size_do_not_lower_it_further() -> None:
    load = Load.of(16)
    for _ in range(16):  # all of them under way when the line broke
        load.unanswered(256)
    assert load.windows == 128
    load.unanswered(1)
    assert load.windows == 128
    load.unanswered(300)
    assert load.windows == 128


def test_a_batch_that_is_too_large_leads_to_halves_that_stay_for_a_minute() -> None:
    load = Load.of(16)
    load.refused(256, 413, now_s=10.0)
    assert load.windows == 128
    load.refused(100, 413, now_s=11.0)
    for _ in range(9):
        load.answered(now_s=10.9 + REFUSED_S)
    assert load.windows == 50
    load.answered(now_s=11.0 + REFUSED_S)
    assert load.windows == 100
    load.refused(2, 413, now_s=100.0)
    assert load.windows == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 415, 422])
def test_any_other_refusal_of_the_whole_leads_to_windows_alone_for_a_minute(status: int) -> None:
    load = Load.of(16)
    load.refused(256, status, now_s=0.0)
    load.answered(now_s=REFUSED_S - 0.1)
    assert load.windows == 1
    load.answered(now_s=REFUSED_S)
    assert load.windows == 2
