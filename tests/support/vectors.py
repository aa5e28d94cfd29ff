"""The official vectors, read in place where they are."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

VECTORS: Final = Path(__file__).parents[3] / "shared" / "vectors"


def folder(name: str) -> Path:
    """Return a folder of the vectors, or skip the test that asks, saying why."""
    path = VECTORS / name
    if not path.is_dir():
        pytest.skip(f"../shared/vectors/{name} is not beside this checkout")
    return path


def load(path: Path) -> Any:  # noqa: ANN401  # each suite has a shape of its own
    """Return one JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
