"""The lines of a batch are decided in runs, in their order, within two bounds."""

import pytest

from fractal_lba.server.pipeline.batch import LINES_AT_ONCE_MAX, LINES_BYTES_AT_ONCE_MAX, runs_of

LONG = LINES_BYTES_AT_ONCE_MAX


@pytest.mark.parametrize(
    ("sizes", "runs"),
    [
        ([], []),
        ([0], [1]),
        ([1] * LINES_AT_ONCE_MAX, [LINES_AT_ONCE_MAX]),
        ([1] * (LINES_AT_ONCE_MAX + 1), [LINES_AT_ONCE_MAX, 1]),
        ([LONG // 2, LONG // 2, 1], [2, 1]),
        ([1, LONG, 1], [1, 1, 1]),
        ([LONG + 1, LONG + 1], [1, 1]),
    ],
)
def test_a_run_ends_at_either_bound_and_a_line_that_is_longer_is_alone(
    sizes: list[int], runs: list[int]
) -> None:
    lines = [bytes(size) for size in sizes]
    found = list(runs_of(iter(lines)))
    assert [len(run) for run in found] == runs
    assert [line for run in found for line in run] == lines
