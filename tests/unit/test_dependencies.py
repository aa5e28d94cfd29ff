"""Each package imports only what its extra brings: a plain install must not lack a module."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    path.name: path
    for root in ("sdk/python", "agent", "server")
    for path in (ROOT / root / "fractal_lba").iterdir()
    if path.is_dir() and path.name != "__pycache__"
}
# The import name, where it is not the distribution's.
IMPORTED_AS = {"pynacl": "nacl"}
# Imported only where it is asked for, by an extra that is named when it is missing.
ON_DEMAND = {"agent": "parquet"}
# These are what the distribution holds without an extra.
WITHOUT_EXTRA = {"access", "command", "keyfile", "native", "protocol"}


def requirements() -> dict[str, list[str]]:
    """Return the requirements of each extra; the empty name holds those of the distribution."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"": project["dependencies"], **project["optional-dependencies"]}


def brought_by(extra: str, declared: dict[str, list[str]]) -> set[str]:
    """Return the import names an extra brings, those of the extras it names included."""
    names: set[str] = set()
    for requirement in [*declared[""], *declared[extra]]:
        name, extras = re.match(r"([A-Za-z0-9-]+)(?:\[([a-z,]+)\])?", requirement).groups()  # type: ignore[union-attr] # our own spelling
        if name == "fractal-lba":
            for other in extras.split(","):
                names |= brought_by(other, declared)
        else:
            names.add(IMPORTED_AS.get(name, name.replace("-", "_")))
    return names


def imported_by(package: Path) -> set[str]:
    """Return the top-level modules a package imports that neither Python nor the project brings."""
    names: set[str] = set()
    for module in package.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"fractal_lba"}


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_a_package_imports_only_what_its_extra_brings(name: str) -> None:
    extra = "" if name in WITHOUT_EXTRA else ON_DEMAND.get(name, name)
    assert imported_by(PACKAGES[name]) <= brought_by(extra, requirements())


def test_the_search_sees_imports() -> None:
    assert "orjson" in imported_by(PACKAGES["protocol"])
    assert "numpy" in imported_by(PACKAGES["signals"])
