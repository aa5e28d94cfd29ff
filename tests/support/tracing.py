"""Traces what the coverage gate judges by, and nothing else: tracing doubles what a test costs.

That is the import of the judged packages, and the tests that are about them. The rest is about
other code, or runs through the same lines again and again: the gate must hold without it.
"""

import importlib
import pkgutil
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.coverage_gate import PACKAGES

TESTS: Final = Path(__file__).parents[1]
TRACED: Final = tuple(
    TESTS / name for name in ("unit/protocol", "unit/wal", "unit/server/core", "property", "fault")
)
UNTRACED_FAULTS: Final = {
    "test_every_bit.py",
    "test_every_call.py",
    "test_outbox_compaction.py",
    "test_outbox_disk.py",
    "test_planted_bugs.py",
    "test_power_cuts.py",
    "test_replaced_files.py",
    "test_wal_bit_flips.py",
    "test_wal_disk_failures.py",
}


def is_traced(path: Path) -> bool:
    """Return whether the gate judges by the tests of a file."""
    return any(map(path.is_relative_to, TRACED)) and path.name not in UNTRACED_FAULTS


def import_all(package: str) -> None:
    """Import a package with everything in it, at any depth."""
    found = importlib.import_module(package)
    for module in pkgutil.walk_packages(found.__path__, f"{package}."):
        importlib.import_module(module.name)


class Tracing:
    """Stops and starts pytest-cov's measuring; without ``--cov`` there is nothing to do.

    A worker of pytest-xdist is measured twice: pytest-cov starts as in a run without workers, and
    then as a worker. While the second one pauses the first one goes on, for nobody: it is ended
    before the second one starts.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        if self._is_measured and hasattr(config, "workerinput"):
            self._controller.pause()

    @property
    def _controller(self) -> Any:  # noqa: ANN401 - pytest-cov has no types
        return self._config.pluginmanager.getplugin("_cov").cov_controller

    @property
    def _is_measured(self) -> bool:
        plugin = self._config.pluginmanager.getplugin("_cov")
        return plugin is not None and plugin.cov_controller is not None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        if self._is_measured:
            for folder in PACKAGES:
                import_all(folder[folder.index("fractal_lba") :].replace("/", "."))
            self._controller.pause()
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        if not self._is_measured or not is_traced(item.path):
            return (yield)
        self._controller.resume()
        try:
            return (yield)
        finally:
            self._controller.pause()
