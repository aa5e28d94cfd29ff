"""The keyring file, watched: a sound new one takes over, a broken one changes nothing."""

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

from fractal_lba.keyfile import load_keyring
from fractal_lba.protocol.errors import KeyringError
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.server.ports import Meter
from fractal_lba.server.storage.fingerprint import fingerprint

_log = logging.getLogger(__name__)


class KeyringFile:
    """The ring of this moment.

    Args:
        path: Loaded at once; a broken file raises here, when nothing is served yet.
        meter: Counts the files that were refused.

    Raises:
        KeyringError: The file cannot be used.
    """

    def __init__(self, path: Path, *, meter: Meter) -> None:
        self._path = path
        self._meter = meter
        self._seen = fingerprint(path)
        self._ring = load_keyring(path)

    def current(self) -> Keyring:
        """Return the last sound ring."""
        return self._ring

    def reload(self) -> bool:
        """Load the file again; tell whether it took over."""
        self._seen = fingerprint(self._path)
        try:
            self._ring = load_keyring(self._path)
        except KeyringError as error:
            self._meter.keyring_refused()
            _log.error("keyring refused, the old one stays", extra={"error": str(error)})
            return False
        _log.info("keyring loaded", extra={"count": len(self._ring.keys)})
        return True

    async def watch(self, asked: asyncio.Event, *, interval_s: float) -> None:
        """Reload whenever the file changed or ``asked`` is set, until cancelled.

        One task loads, one file after the other: a slow load of an older file cannot end after
        that of a newer one and bring a removed key back.
        """
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(interval_s):
                    await asked.wait()
            if asked.is_set() or await asyncio.to_thread(fingerprint, self._path) != self._seen:
                asked.clear()
                await asyncio.to_thread(self.reload)
