"""The keyring file under watch: one load after the other."""

import asyncio
import threading
from pathlib import Path

import pytest
from tests.support.server_process import Folder
from tests.support.signed import ACME, GLOBEX

from fractal_lba.keyfile import load_keyring
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.server.storage.keyring_file import KeyringFile
from fractal_lba.server.telemetry.metrics import Metrics


def test_a_slow_load_of_an_older_file_does_not_bring_a_removed_key_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path / "folder")
    folder.write_keyring([ACME, GLOBEX])
    path = folder.path / "keyring.json"
    loading, may_end = threading.Event(), threading.Event()

    def slow(which: Path) -> Keyring:
        ring = load_keyring(which)
        loading.set()
        may_end.wait(10)
        return ring

    async def run() -> None:
        ring = KeyringFile(path, meter=Metrics())
        monkeypatch.setattr("fractal_lba.server.storage.keyring_file.load_keyring", slow)
        asked = asyncio.Event()
        watching = asyncio.create_task(ring.watch(asked, interval_s=0.01))
        asked.set()
        await asyncio.to_thread(loading.wait, 10)
        # The file changes, and is asked for, while the older one is still being loaded.
        folder.write_keyring([GLOBEX])
        asked.set()
        may_end.set()
        async with asyncio.timeout(10):
            while ring.current().key(ACME.kid) is not None:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.005)
        watching.cancel()

    asyncio.run(run())
