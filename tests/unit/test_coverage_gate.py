"""The gate of tests/support/coverage_gate.py: branches count, and what was not measured fails."""

import pytest
from tests.support.coverage_gate import judge


def summary(lines: tuple[int, int], branches: tuple[int, int]) -> dict[str, dict[str, int]]:
    return {
        "summary": {
            "covered_lines": lines[0],
            "num_statements": lines[1],
            "covered_branches": branches[0],
            "num_branches": branches[1],
        }
    }


def test_statements_do_not_make_up_for_branches() -> None:
    report = {
        "files": {"wal/a.py": summary((990, 1000), (1, 10)), "x/b.py": summary((0, 9), (0, 9))}
    }
    assert judge(report, "wal") == (99.0, 10.0)


def test_a_package_without_branches_is_covered_by_its_statements() -> None:
    assert judge({"files": {"wal/a.py": summary((5, 5), (0, 0))}}, "wal") == (100.0, 100.0)


def test_a_package_that_was_not_measured_does_not_pass() -> None:
    with pytest.raises(LookupError, match="wal: expected measured files"):
        judge({"files": {"walrus/a.py": summary((1, 1), (1, 1))}}, "wal")
