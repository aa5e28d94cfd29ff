"""The same bytes to every SDK: taken with the same values, or refused in the same words."""

from collections.abc import Callable
from itertools import islice

import pytest
from tests.support import sdk_fuzz
from tests.support.sdk_drivers import available
from tests.support.sdk_inputs import Inputs

PARSERS = {
    "digests",
    "json_refusals",
    "keyrings",
    "merkle_consistency",
    "merkle_inclusion",
    "outcomes",
    "records_0_1",
    "records_1_0",
    "signing_records",
}


@pytest.mark.starts_first
@pytest.mark.timeout(900)
def test_every_sdk_says_the_same_to_the_same_bytes(tell: Callable[[str, str], None]) -> None:
    found = sdk_fuzz.run(available())
    assert found.files.keys() == PARSERS
    # Neither taken nor refused for want of the other: both ways are gone often.
    assert found.count // 5 < found.accepted < found.count * 4 // 5
    for line in found.lines:
        tell("SDK differential fuzzing", line)


def test_the_same_seed_gives_the_same_inputs() -> None:
    first, again = (list(islice(Inputs(7), 200)) for _ in range(2))
    assert first == again
    assert first != list(islice(Inputs(8), 200))
