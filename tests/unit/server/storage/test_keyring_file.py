"""The keyring file under watch: one load after the other, and no file unseen."""

import asyncio
import threading
from pathlib import Path

import pytest
from tests.support.server_process import Folder
from tests.support.signed import ACME, GLOBEX

from fractal_lba.keyfile import load_keyring
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.server.storage import keyring_file
from fractal_lba.server.storage.keyring_file import KeyringFile
from fractal_lba.server.telemetry.metrics import Metrics

NEVER_S = 3_600.0


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "folder")
    folder.write_keyring([ACME, GLOBEX])
    return folder


async def until_acme_is_gone(ring: KeyringFile) -> None:
    async with asyncio.timeout(10):
        while ring.current().key(ACME.kid) is not None:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.005)


def removing_acme(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file change right after the next load has read it."""

    def load(path: Path) -> Keyring:
        ring = load_keyring(path)
        monkeypatch.setattr(keyring_file, "load_keyring", load_keyring)
        folder.write_keyring([GLOBEX])
        return ring

    monkeypatch.setattr(keyring_file, "load_keyring", load)


def test_a_slow_load_of_an_older_file_does_not_bring_a_removed_key_back(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading, may_end = threading.Event(), threading.Event()

    def slow(path: Path) -> Keyring:
        ring = load_keyring(path)
        loading.set()
        may_end.wait(10)
        return ring

    async def run() -> None:
        ring = KeyringFile(folder.path / "keyring.json", meter=Metrics())
        monkeypatch.setattr(keyring_file, "load_keyring", slow)
        asked = asyncio.Event()
        watching = asyncio.create_task(ring.watch(asked, interval_s=NEVER_S))
        asked.set()
        await asyncio.to_thread(loading.wait, 10)
        # The file changes, and is asked for, while the older one is still being loaded.
        folder.write_keyring([GLOBEX])
        asked.set()
        for _ in range(100):
            await asyncio.sleep(0)
        is_waiting = asked.is_set()
        may_end.set()
        assert is_waiting, "expected the next load to wait for this one"
        await until_acme_is_gone(ring)
        watching.cancel()

    asyncio.run(run())


def test_a_file_that_changed_while_it_was_loaded_is_loaded_again(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        ring = KeyringFile(folder.path / "keyring.json", meter=Metrics())
        removing_acme(folder, monkeypatch)
        assert ring.reload()
        assert ring.current().key(ACME.kid) is not None
        watching = asyncio.create_task(ring.watch(asyncio.Event(), interval_s=0.01))
        await until_acme_is_gone(ring)
        watching.cancel()

    asyncio.run(run())


def test_a_file_that_changed_during_the_first_load_is_loaded_again(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        removing_acme(folder, monkeypatch)
        ring = KeyringFile(folder.path / "keyring.json", meter=Metrics())
        assert ring.current().key(ACME.kid) is not None
        watching = asyncio.create_task(ring.watch(asyncio.Event(), interval_s=0.01))
        await until_acme_is_gone(ring)
        watching.cancel()

    asyncio.run(run())


def test_a_refused_ring_is_loaded_once_its_mode_is_right(folder: Folder) -> None:
    path = folder.path / "keyring.json"

    async def run() -> None:
        ring = KeyringFile(path, meter=Metrics())
        folder.write_keyring([GLOBEX])
        path.chmod(0o640)
        assert not ring.reload()
        seen = path.stat().st_ctime_ns
        while path.stat().st_ctime_ns == seen:  # the clock of files is coarse
            path.chmod(0o600)
        watching = asyncio.create_task(ring.watch(asyncio.Event(), interval_s=0.01))
        await until_acme_is_gone(ring)
        watching.cancel()

    asyncio.run(run())
