"""Hold the code that must not be wrong to its branch coverage, after ``make test`` has run.

Statements and branches are judged apart: many plain statements must not make up for a branch that
no test takes. Prints one line for each package and ends non-zero when one is under its target.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import coverage

TARGET_PERCENT: Final = 95.0
PACKAGES: Final = (
    "sdk/python/fractal_lba/protocol",
    "sdk/python/fractal_lba/wal",
    "server/fractal_lba/server/core",
)


def share(covered: int, total: int) -> float:
    """Return the covered share in percent; nothing to cover is covered."""
    return 100.0 if total == 0 else 100.0 * covered / total


def judge(report: dict[str, Any], package: str) -> tuple[float, float]:
    """Return the percentages of statements and branches covered in one package.

    Raises:
        LookupError: The report holds no file of it: what was not measured must not pass.
    """
    files = [
        entry["summary"]
        for path, entry in report["files"].items()
        if Path(path).is_relative_to(package)
    ]
    if not files:
        raise LookupError(f"{package}: expected measured files, got none")

    def total(key: str) -> int:
        return sum(summary[key] for summary in files)

    return (
        share(total("covered_lines"), total("num_statements")),
        share(total("covered_branches"), total("num_branches")),
    )


def main() -> int:
    """Judge every package by the data file in the current folder."""
    measured = coverage.Coverage()
    measured.load()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coverage.json"
        measured.json_report(outfile=str(path))
        report = json.loads(path.read_text(encoding="utf-8"))
    is_met = True
    for package in PACKAGES:
        statements, branches = judge(report, package)
        passed = min(statements, branches) >= TARGET_PERCENT
        is_met &= passed
        sys.stdout.write(
            f"{package:<34} statements {statements:6.2f} %  branches {branches:6.2f} %  "
            f"target {TARGET_PERCENT:.0f} %  {'PASS' if passed else 'FAIL'}\n"
        )
    if not is_met:
        measured.report(
            include=[f"{package}/*" for package in PACKAGES], show_missing=True, skip_covered=True
        )
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
