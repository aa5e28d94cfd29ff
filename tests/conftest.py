"""What the whole suite shares: the rule that a skip is never silent.

Every skipped test is named with its reason at the end of a run. With ``FLBA_REQUIRE=all`` a skip
is a failure, unless ``tests/allowed_skips.txt`` names the test with a proof that it cannot run
here, and the proof holds.
"""

import fnmatch
import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import pytest
from hypothesis import settings

TESTS: Final = Path(__file__).parent
ROOT: Final = TESTS.parent
ALLOWED_SKIPS: Final = TESTS / "allowed_skips.txt"
_skips = pytest.StashKey[list[tuple[str, str]]]()
# Commands that tests start behave as in a user's shell: a full pipe's bytes wait in a buffer, and
# what cannot be written shows again at exit.
os.environ.pop("PYTHONUNBUFFERED", None)

# A deadline is a timed assertion, which a busy machine breaks; a failing example is printed in a
# form that replays it.
settings.register_profile("suite", deadline=None, print_blob=True)
settings.load_profile("suite")

_Report = TypeVar("_Report", pytest.TestReport, pytest.CollectReport)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedSkip:
    """One line of ``allowed_skips.txt``: these tests may be skipped while this path is absent."""

    tests: str
    absent: Path

    def allows(self, nodeid: str) -> bool:
        return fnmatch.fnmatchcase(nodeid, self.tests) and not self.absent.exists()


def parse_allowed_skips(text: str, root: Path) -> list[AllowedSkip]:
    """Return the entries of an ``allowed_skips.txt``; any other line is an error by its number."""
    entries = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match line.split(maxsplit=3):
            case [tests, "absent", path, _why]:
                entries.append(AllowedSkip(tests=tests, absent=root / path))
            case _:
                raise pytest.UsageError(
                    f"allowed_skips.txt line {number}: expected NODE-ID-PATTERN absent PATH WHY"
                )
    return entries


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_skips] = []


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    # A skip's longrepr is (file, line, reason).
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _settle(report: _Report, config: pytest.Config) -> _Report:
    """Note a skip, and make it the failure it is where everything is required."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return report
    reason = _reason(report)
    config.stash[_skips].append((report.nodeid, reason))
    if os.environ.get("FLBA_REQUIRE") == "all":
        allowed = parse_allowed_skips(ALLOWED_SKIPS.read_text(encoding="utf-8"), ROOT)
        if not any(entry.allows(report.nodeid) for entry in allowed):
            report.outcome = "failed"
            report.longrepr = (
                f"FLBA_REQUIRE=all: this test was skipped ({reason}), and tests/allowed_skips.txt "
                "holds no entry for it whose proof is true here"
            )
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _settle((yield), item.config)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _settle((yield), collector.config)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    skips = config.stash[_skips]
    terminalreporter.section(f"skipped: {len(skips)}")
    for nodeid, reason in skips:
        terminalreporter.write_line(f"{nodeid}: {reason}")
