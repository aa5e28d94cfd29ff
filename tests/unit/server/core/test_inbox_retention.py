"""Finished segments go from the front, evidence stays as long as its bounds say."""

import pytest

from fractal_lba.server.core.inbox_retention import Evidence, kept_from
from fractal_lba.wal import Sealed

HOUR_NS = 3_600_000_000_000
EVIDENCE = Evidence(age_ns=24 * HOUR_NS, bytes_max=350)

SEGMENTS = tuple(
    Sealed(
        ordinal=ordinal,
        first_seq=10 * ordinal,
        next_seq=10 * ordinal + 10,
        size=100,
        created_ns=ordinal * HOUR_NS,
    )
    for ordinal in range(1, 7)
)
"""Frames 10 to 69 in six segments of an hour each."""


@pytest.mark.parametrize(
    ("finished_before", "refused", "now_h", "kept"),
    [
        pytest.param(70, set(), 7, 70, id="nothing refused: all go"),
        pytest.param(45, set(), 7, 45, id="up to the first open body"),
        pytest.param(70, {5}, 7, 50, id="from the refused one on"),
        pytest.param(70, {4, 5}, 7, 40, id="from the oldest refused one on"),
        pytest.param(70, {1, 5}, 7, 50, id="what is beyond the bytes is no evidence any more"),
        pytest.param(70, {4}, 28, 40, id="as old as it may be"),
        pytest.param(70, {4}, 28.1, 70, id="a moment older"),
        pytest.param(45, {3, 4}, 7, 30, id="a segment with an open body does not count"),
        pytest.param(5, {1}, 7, 5, id="nothing is finished"),
    ],
)
def test_what_stays(finished_before: int, refused: set[int], now_h: float, kept: int) -> None:
    assert kept == kept_from(
        SEGMENTS,
        finished_before=finished_before,
        refused=refused,
        evidence=EVIDENCE,
        now_ns=int(now_h * HOUR_NS),
    )


def test_an_inbox_without_sealed_segments_keeps_all() -> None:
    assert kept_from((), finished_before=9, refused=set(), evidence=EVIDENCE, now_ns=0) == 9
