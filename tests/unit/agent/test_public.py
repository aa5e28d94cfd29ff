"""The public surface of the agent: every name can be imported, and the documents tell of it."""

import inspect
import re
from pathlib import Path

import pytest

from fractal_lba import agent
from fractal_lba.agent.options import AgentOptions

SPEC = (Path(__file__).parents[3] / "specs" / "agent.md").read_text(encoding="utf-8")
INSIDE = SPEC[SPEC.index("## 7. Inside a program") : SPEC.index("## 8.")]


@pytest.mark.parametrize("name", sorted(agent.__all__))
def test_a_public_name_is_importable_and_documented(name: str) -> None:
    found = getattr(agent, name)
    assert f"`{name}`" in INSIDE
    assert agent.__doc__ is not None
    assert f"``{name}``" in agent.__doc__
    if inspect.isclass(found):
        assert found.__name__ == name
        assert inspect.getdoc(found)


def test_what_programs_meet_is_public() -> None:
    needed = (
        "AgentOptions ContractError DurabilityError FractalError GaveUpError KeptFullError"
        " LockedError RowStream SyncRowStream"
    )
    assert set(needed.split()) <= set(agent.__all__)
    with pytest.raises(AttributeError, match="Unheard"):
        _ = agent.Unheard


def test_every_option_is_in_the_table_and_nothing_else() -> None:
    rows = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", INSIDE, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    assert told == AgentOptions.__required_keys__ | AgentOptions.__optional_keys__
