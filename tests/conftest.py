"""What the whole suite shares: the rule that a skip is never silent, and what tests have to tell.

Every skipped test is named with its reason at the end of a run. With ``FLBA_REQUIRE=all`` a skip
is a failure, unless ``tests/allowed_skips.txt`` names the test with a proof that it cannot run
here, and the proof holds.

Both are kept in the tests' reports, which reach the end of the run from every worker of
pytest-xdist.
"""

import fnmatch
import gc
import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar, cast

import pytest
from hypothesis import settings
from tests.support.memory import folder_in_memory
from tests.support.tracing import Tracing

TESTS: Final = Path(__file__).parent
ROOT: Final = TESTS.parent
ALLOWED_SKIPS: Final = TESTS / "allowed_skips.txt"
_TOLD: Final = "told"
_SKIP_REASON: Final = "skip_reason"
_told = pytest.StashKey["Told"]()
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


class Told:
    """Gathers from every report what is printed at the end of the run."""

    def __init__(self) -> None:
        self.skips: dict[str, str] = {}
        self.sections: dict[str, list[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note_skip(report)
        if report.when == "call":
            for name, value in report.user_properties:
                if name == _TOLD:
                    section, line = cast("tuple[str, str]", value)
                    self.sections.setdefault(section, []).append(line)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note_skip(report)

    def _note_skip(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        reason = vars(report).get(_SKIP_REASON)
        if reason is not None:
            self.skips[report.nodeid] = reason


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "starts_first: a long test, begun before all others")
    config.stash[_told] = Told()
    config.pluginmanager.register(config.stash[_told])
    config.pluginmanager.register(Tracing(config))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The longest test decides when the last worker ends, so it must not be the last to begin.
    items.sort(key=lambda item: item.get_closest_marker("starts_first") is None)


def pytest_collection_finish() -> None:
    # What was collected stays to the end; looked through again and again it would double the time
    # of a test that makes many objects.
    gc.collect()
    gc.freeze()


@pytest.fixture
def ram_path() -> Iterator[Path]:
    """Give a folder that is removed afterwards; in memory where the machine has such a place."""
    with folder_in_memory() as path:
        yield path


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Print a line in a section at the end of the run: captured output would not show it."""

    def note(section: str, line: str) -> None:
        request.node.user_properties.append((_TOLD, (section, line)))

    return note


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    # A skip's longrepr is (file, line, reason).
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _settle(report: _Report) -> _Report:
    """Note a skip, and make it the failure it is where everything is required."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return report
    reason = _reason(report)
    vars(report)[_SKIP_REASON] = reason
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
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _settle((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _settle((yield))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    told = config.stash[_told]
    for section, lines in sorted(told.sections.items()):
        terminalreporter.section(section)
        for line in lines:
            terminalreporter.write_line(line)
    terminalreporter.section(f"skipped: {len(told.skips)}")
    for nodeid, reason in told.skips.items():
        terminalreporter.write_line(f"{nodeid}: {reason}")
