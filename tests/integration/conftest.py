"""The server that tests share, each with ids of its own from ``fresh_epoch``; and the SDKs."""

import itertools
from collections.abc import Iterator

import pytest
from tests.support.sdk_drivers import OUTBOXES, Driver, driving
from tests.support.server_process import Folder, ServerProcess

_EPOCHS = itertools.count(1)


@pytest.fixture
def fresh_epoch() -> int:
    """Return the first of a thousand epochs that no other test uses."""
    return next(_EPOCHS) * 1_000


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("server") / "folder")


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = Folder(tmp_path_factory.mktemp("shared-server") / "folder")
    with ServerProcess(folder) as server:
        yield server


@pytest.fixture(params=OUTBOXES)
def sdk(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """Return a driver of each SDK whose outbox is not the agent's own."""
    with driving(request.param) as driver:
        yield driver
