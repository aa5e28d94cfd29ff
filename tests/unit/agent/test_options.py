"""The options of an agent in a program: what is misspelled or missing is named."""

import re
from typing import Any

import pytest

from fractal_lba.agent.options import setup_of
from fractal_lba.protocol import ContractError

NEEDED = {"data": "d", "url": "http://127.0.0.1:1", "keyring": "k", "shard_id": "s"}


@pytest.mark.parametrize("name", ["orderd", "outbox_full"])
def test_an_option_that_does_not_exist_is_refused_by_name(name: str) -> None:
    options: Any = NEEDED | {name: True}
    with pytest.raises(ContractError, match=f"expected options among ca, .*, got {name}$"):
        setup_of(options)


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_an_option_that_is_missing_is_named(name: str) -> None:
    options: Any = {each: value for each, value in NEEDED.items() if each != name}
    with pytest.raises(ContractError, match=re.escape(f"expected the option {name}, got none")):
        setup_of(options)
