"""The room left for the data folder: looked at every few seconds, told to who lets bodies in."""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

from fractal_lba.server.core import names
from fractal_lba.server.core.disk_budget import Budget, Forecast, Measured, forecast, refusal
from fractal_lba.server.ports import Meter

_BLOCK_BYTES = 512
"""The unit of ``st_blocks``, whatever the file system's own is."""

_log = logging.getLogger(__name__)


class DiskRoom:
    """The room of one data folder.

    Args:
        data: The folder.
        budget: What it may take.
        meter: Told of every look.
        monotonic: Seconds.
    """

    def __init__(
        self, data: Path, *, budget: Budget, meter: Meter, monotonic: Callable[[], float]
    ) -> None:
        self._data = data
        self._budget = budget
        self._meter = meter
        self._monotonic = monotonic
        self._forecast: Forecast | None = None
        self._full: str | None = None

    @property
    def forecast(self) -> Forecast | None:
        """See ``ports.Room.forecast``."""
        return self._forecast

    @property
    def full(self) -> str | None:
        """See ``ports.Room.full``."""
        return self._full

    async def look(self) -> None:
        """Measure now. What cannot be measured leaves what was found before."""
        try:
            used, free, index = await asyncio.to_thread(_measure, self._data)
        except OSError as error:
            _log.warning("data folder cannot be measured", extra={"error": error.strerror})
            return
        measured = Measured(used=used, free=free, index=index, at_s=self._monotonic())
        self._forecast = forecast(measured, self._budget, self._forecast)
        full = refusal(self._forecast, self._budget)
        if (full is None) != (self._full is None):
            _log.warning("disk is full" if full else "disk has room", extra={"error": full})
        self._full = full
        self._meter.disk_measured(self._forecast)

    async def run(self, *, interval_s: float) -> None:
        """Look every ``interval_s`` seconds until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            await self.look()


def _measure(data: Path) -> tuple[int, int, int]:
    """Return the bytes of a folder on disk, those free beside it, and those of its indexes.

    Raises:
        OSError: The folder cannot be read.
    """
    status = os.statvfs(data)
    used = index = 0
    folders = [data]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    else:
                        size = entry.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
                        used += size
                        index += size if entry.name == names.INDEX_DATA else 0
                except FileNotFoundError:
                    continue  # removed meanwhile
    return used, status.f_bavail * status.f_frsize, index
