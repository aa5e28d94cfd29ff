"""Mend: decide what a crash or a failure left open, reopen fenced logs on fresh files."""

import asyncio
import logging

from fractal_lba.protocol.errors import CorruptionError, DurabilityError
from fractal_lba.server.pipeline.intake import Intake
from fractal_lba.server.ports import Inbox, Meter, Shard

RECOVERED_AT_ONCE_MAX = 256
"""Open bodies read back and settled together: they share commits, and hold 16 MiB at most."""

_log = logging.getLogger(__name__)


class Mender:
    """Bring inbox and shard back to a state in which everything logged is decided."""

    def __init__(self, *, inbox: Inbox, shard: Shard, intake: Intake, meter: Meter) -> None:
        self._inbox = inbox
        self._shard = shard
        self._intake = intake
        self._meter = meter

    async def settle_left_open(self) -> int:
        """Settle the open bodies nobody handles, oldest first, with the time they were received.

        Returns:
            How many ended. The others stay open: storage failed again, or their bytes do not
            verify.
        """
        seqs = self._inbox.left_open()
        ended = 0
        for start in range(0, len(seqs), RECOVERED_AT_ONCE_MAX):
            results = await asyncio.gather(
                *(self._settle(seq) for seq in seqs[start : start + RECOVERED_AT_ONCE_MAX])
            )
            ended += sum(results)
            if self._inbox.fenced_by or self._shard.fenced_by:
                break
        return ended

    async def mend(self) -> None:
        """Reopen what is fenced, then settle what it left open.

        What cannot be reopened stays fenced until the next call.
        """
        for name, log in (("inbox", self._inbox), ("shard", self._shard)):
            if log.fenced_by is None:
                continue
            try:
                await log.reopen()
            except DurabilityError as error:
                _log.warning("still fenced", extra={"stream": name, "error": str(error)})
                return
            _log.info("reopened", extra={"stream": name})
        if self._inbox.left_open():
            ended = await self.settle_left_open()
            _log.info("settled what was left open", extra={"count": ended})

    async def run(self, *, interval_s: float) -> None:
        """Mend every ``interval_s`` seconds until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            await self.mend()

    async def _settle(self, seq: int) -> bool:
        try:
            frame = await self._inbox.take(seq)
        except DurabilityError as error:
            # Logged without a stack: it says where the bytes are, and nothing of what they are.
            _log.error("open body cannot be read", extra={"seq": seq, "error": str(error)})
            self._meter.wal_failed(stream="inbox")
            if not isinstance(error, CorruptionError):
                self._inbox.leave_open(seq)
            return False
        try:
            settled = await self._intake.settle(frame, is_recovered=True)
        except Exception:  # noqa: BLE001 - logged and left on disk
            # One body that meets a bug must not keep every other one from being served.
            _log.exception("open body could not be settled", extra={"seq": seq})
            return False
        return settled.is_over
