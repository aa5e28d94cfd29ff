"""Read everything that is stored again, slowly, beside the requests, and say what is wrong.

What nobody reads rots unnoticed: a flipped bit is found while a backup still holds the bytes. It is
the reading of ``fsck``, in pieces; between two of them it waits for its rate, and longer while the
server is busy. A problem counts only if a second reading finds it too, and even then nothing is
fenced by it: what cannot be answered is refused where it is read.

A restart begins again at the front: the place would be one more thing to keep, and what a week
allows is read in hours.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from fractal_lba.server.core.problems import Report
from fractal_lba.server.ports import Meter

Look = Callable[[Report], Iterator[int]]
"""Reads everything once: puts what is wrong into a report, and yields the bytes of each piece."""

PAUSED_S_MAX: Final = 5.0
"""So long a piece waits while the server is busy: one that always is gets scrubbed all the same."""
_PAUSE_S: Final = 0.1
_FIRST_AFTER_S: Final = 60.0
"""A start has enough to do."""

_log = logging.getLogger(__name__)


class Scrubber:
    """Scrubs what one process has.

    Args:
        look: Of all of it; blocks, so that it is given a thread for each piece.
        bytes_per_s: Its rate; 0: it does not run.
        interval_s: From the end of one scrub to the next.
        is_busy: Whether requests should be let go first.
        meter: Counts.
        clock: Seconds since 1970, for the metric alone.
    """

    def __init__(  # noqa: PLR0913 - each is a setting of its own, named at the call
        self,
        look: Look,
        *,
        bytes_per_s: int,
        interval_s: float,
        is_busy: Callable[[], bool],
        meter: Meter,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._look = look
        self._bytes_per_s = bytes_per_s
        self._interval_s = interval_s
        self._is_busy = is_busy
        self._meter = meter
        self._clock = clock

    async def run(self) -> None:
        """Scrub again and again until cancelled."""
        await asyncio.sleep(min(self._interval_s, _FIRST_AFTER_S))
        while self._bytes_per_s:
            try:
                await self.scrub()
            except Exception:  # noqa: BLE001 - whatever it meets, the requests go on
                _log.exception("scrub ended early")
            await asyncio.sleep(self._interval_s)

    async def scrub(self) -> Report:
        """Read everything once, and a second time where something seems wrong."""
        report = await self._read()
        if not report.is_sound:
            report = report.confirmed_by(await self._read())
        for problem in report.problems:
            _log.error(
                "scrub found",
                extra={"code": problem.kind, "stream": problem.where, "error": problem.what},
            )
        kinds = Counter(str(problem.kind) for problem in report.problems)
        _log.info("scrubbed", extra={"count": report.records, "outcomes": dict(kinds)})
        self._meter.scrubbed(problems=kinds, finished_s=self._clock())
        return report

    async def _read(self) -> Report:
        report = Report()
        pieces = self._look(report)
        while (size := await asyncio.to_thread(next, pieces, None)) is not None:
            self._meter.scrub_read(size)
            await asyncio.sleep(size / self._bytes_per_s)
            for _ in range(round(PAUSED_S_MAX / _PAUSE_S)):
                if not self._is_busy():
                    break
                await asyncio.sleep(_PAUSE_S)
        return report
