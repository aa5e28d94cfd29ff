"""The official vectors and real data, read in place where they are."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

SHARED: Final = Path(__file__).parents[3] / "shared"
VECTORS: Final = SHARED / "vectors"


def folder(name: str) -> Path:
    """Return a folder of the vectors, or skip the test that asks, saying why."""
    path = VECTORS / name
    if not path.is_dir():
        pytest.skip(f"../shared/vectors/{name} is not beside this checkout")
    return path


def data_file(name: str) -> Path:
    """Return a file of the real data, or skip the test that asks, saying why."""
    path = SHARED / "data" / name
    if not path.is_file():
        pytest.skip(f"../shared/data/{name} is not beside this checkout")
    return path


def load(path: Path) -> Any:  # noqa: ANN401  # each suite has a shape of its own
    """Return one JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
