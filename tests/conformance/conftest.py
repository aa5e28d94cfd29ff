"""What the conformance suites share: each says how many vectors ran, at the end of the run."""

from collections.abc import Callable
from typing import Final

import pytest

_ran: Final = pytest.StashKey[list[str]]()


@pytest.fixture
def vectors_ran(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Note a count for the end of the run, where captured output would not show it."""
    return request.config.stash.setdefault(_ran, []).append


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    counts = config.stash.get(_ran, [])
    if counts:
        terminalreporter.section("official vectors")
    for count in counts:
        terminalreporter.write_line(count)
