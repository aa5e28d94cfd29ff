"""The oracle proves something only while it shares no code with what it checks."""

import ast
import sys
from pathlib import Path

ORACLE = Path(__file__).parents[1] / "oracle"


def imported_names(source: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def test_the_oracle_imports_the_standard_library_alone() -> None:
    modules = sorted(ORACLE.glob("*.py"))
    assert modules
    for module in modules:
        for name in imported_names(module.read_text(encoding="utf-8")):
            root = name.partition(".")[0]
            assert root in sys.stdlib_module_names or name.startswith("tests.oracle."), (
                f"{module.name} imports {name}"
            )
