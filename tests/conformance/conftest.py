"""What the conformance suites share: how many vectors ran, at the end of the run, and the SDKs."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from tests.support.sdk_drivers import OUTBOXES, Driver, driving


@pytest.fixture
def vectors_ran(tell: Callable[[str, str], None]) -> Callable[[str], None]:
    """Note a count for the end of the run."""
    return partial(tell, "official vectors")


@pytest.fixture(params=OUTBOXES)
def sdk(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """Return a driver of each SDK whose outbox is not the agent's own."""
    with driving(request.param) as driver:
        yield driver
