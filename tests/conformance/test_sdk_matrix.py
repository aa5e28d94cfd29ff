"""Every SDK verifies what every other signed, and refuses it with one byte changed."""

from collections.abc import Callable

import pytest
from tests.support import sdk_matrix, sdk_windows
from tests.support.sdk_drivers import SDKS, available, lacking, require


@pytest.mark.starts_first
@pytest.mark.timeout(900)
def test_every_sdk_verifies_what_every_other_signed(tell: Callable[[str, str], None]) -> None:
    names = available()
    figures = sdk_matrix.run(names)
    assert (list(figures.sdks), figures.records) == (names, sdk_matrix.RECORDS)
    assert figures.changes > sdk_matrix.RECORDS
    for line in figures.lines:
        tell("SDK matrix", line)


@pytest.mark.parametrize("name", SDKS)
def test_an_sdk_takes_part(name: str) -> None:
    require(name)
    assert lacking(name) is None


def test_every_sdk_summarises_a_window_to_the_same_bits(tell: Callable[[str, str], None]) -> None:
    names = available()
    figures = sdk_windows.run(names)
    assert (list(figures.sdks), figures.windows) == (names, sdk_windows.COUNT)
    # Most are taken, some are refused: both say something.
    assert figures.windows / 2 < figures.summarised < figures.windows
    tell("SDK matrix", figures.line)
