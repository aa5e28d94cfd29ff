"""What the conformance suites share: each says how many vectors ran, at the end of the run."""

from collections.abc import Callable
from functools import partial

import pytest


@pytest.fixture
def vectors_ran(tell: Callable[[str, str], None]) -> Callable[[str], None]:
    """Note a count for the end of the run."""
    return partial(tell, "official vectors")
