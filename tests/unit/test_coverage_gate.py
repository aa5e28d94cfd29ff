"""The gate of tests/support/coverage_gate.py: branches count, and what was not measured fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from coverage import CoverageData
from tests.support.coverage_gate import PACKAGES, judge

ROOT = Path(__file__).parents[2]
IFS = 10


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


def test_a_folder_whose_name_begins_alike_is_not_the_package() -> None:
    report = {
        "files": {
            "wal/a.py": summary((1, 2), (1, 2)),
            "walrus/a.py": summary((98, 98), (98, 98)),
        }
    }
    assert judge(report, "wal") == (50.0, 50.0)


def test_a_test_that_the_gate_does_not_judge_by_is_not_traced() -> None:
    # Of pytest-xdist's workers this was not true: something else went on.
    assert sys.gettrace() is None


def run_gate(folder: Path, branches_missing: dict[str, int]) -> subprocess.CompletedProcess[str]:
    """Judge packages of one module each: 20 branches, so many of them not taken, every line run."""
    data = CoverageData(basename=str(folder / ".coverage"))
    for package in PACKAGES:
        module = folder / package / "module.py"
        module.parent.mkdir(parents=True)
        conditions = "".join(f"if x > {n}:\n    y = {n}\n" for n in range(IFS))
        module.write_text(f"x = 1\n{conditions}")
        arcs = [(-1, 1), (1, 2)]
        for n in range(IFS):
            condition, body = 2 + 2 * n, 3 + 2 * n
            after = condition + 2 if n < IFS - 1 else -1
            arcs += [(condition, body), (body, after)]
            if n >= branches_missing.get(package, 0):
                arcs.append((condition, after))
        data.add_arcs({str(module): arcs})
    data.write()
    return subprocess.run(
        [sys.executable, "-m", "tests.support.coverage_gate"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_target_itself_passes(tmp_path: Path) -> None:
    done = run_gate(tmp_path, dict.fromkeys(PACKAGES, 1))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("branches  95.00 %") == done.stdout.count("PASS") == len(PACKAGES)


@pytest.mark.parametrize(
    "package",
    [
        "sdk/python/fractal_lba/protocol",
        "sdk/python/fractal_lba/wal",
        "server/fractal_lba/server/core",
    ],
)
def test_one_package_under_the_target_fails_the_run_and_is_named(
    tmp_path: Path, package: str
) -> None:
    done = run_gate(tmp_path, {package: 2})
    assert done.returncode == 1, done.stdout + done.stderr
    failed = [line for line in done.stdout.splitlines() if line.endswith("FAIL")]
    assert [line.split()[0] for line in failed] == [package]
    assert "branches  90.00 %" in failed[0]
