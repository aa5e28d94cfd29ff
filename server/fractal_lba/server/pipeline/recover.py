"""Mend: decide what a crash or a failure left open, reopen fenced logs on fresh files."""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence

from fractal_lba.protocol.errors import CorruptionError, DurabilityError
from fractal_lba.server.core.inbox_frame import BATCH
from fractal_lba.server.pipeline.batch import Batches, BatchSettled
from fractal_lba.server.pipeline.intake import Intake
from fractal_lba.server.pipeline.settled import Settled
from fractal_lba.server.ports import Decisions, Inbox, InboxFrame, Meter, Shard
from fractal_lba.server.suspects import Judging, Trial

RECOVERED_AT_ONCE_MAX = 256
"""Open bodies read back and settled together: they share commits."""

RECOVERED_BYTES_AT_ONCE_MAX = 16 << 20
"""Read back before they are settled: as many of the largest records as above, or one batch more."""

_log = logging.getLogger(__name__)


class Mender:
    """Bring an inbox and shards back to a state in which everything logged is decided.

    Args:
        inbox: Whose open bodies are settled.
        shards: Those of this process, by name; each is reopened by itself.
        decisions: Where bodies are decided.
        intake: The way of a record.
        batches: The way of a batch.
        judging: Notes which bodies are being judged.
        trial: Tries those that may have ended a process.
        meter: Counts.
    """

    def __init__(  # noqa: PLR0913 - the ports of recovery, each named at the call
        self,
        *,
        inbox: Inbox,
        shards: Mapping[str, Shard],
        decisions: Decisions,
        intake: Intake,
        batches: Batches,
        judging: Judging,
        trial: Trial,
        meter: Meter,
    ) -> None:
        self._inbox = inbox
        self._shards = shards
        self._decisions = decisions
        # Those that were fenced when the open bodies were settled last.
        self._fenced: frozenset[str] = frozenset()
        self._intake = intake
        self._batches = batches
        self._judging = judging
        self._trial = trial
        self._meter = meter

    async def settle_left_open(self) -> int:
        """Settle the open bodies nobody handles, oldest first, with the time they were received.

        Returns:
            How many ended. The others stay open: storage failed again, or their bytes do not
            verify.
        """
        left = iter(self._inbox.left_open())
        ended = 0
        while frames := await self._take_some(left):
            try:
                ended += await self._settle_run(frames)
            except DurabilityError as error:
                _log.warning("run not noted", extra={"error": str(error)})
                self._meter.wal_failed(stream="inbox")
                return ended
            if self._inbox.fenced_by or self._decisions.fenced_by:
                break
        await self._note_the_end()
        return ended

    async def mend(self) -> None:
        """Reopen what is fenced, then settle what it left open.

        What cannot be reopened stays fenced until the next call. While the same ones do, what is
        left open is not tried again: it would be verified once more to meet the same fence.
        """
        await self._reopen("inbox", self._inbox)
        for name, shard in tuple(self._shards.items()):  # one may be opened meanwhile
            await self._reopen(name, shard)
        if self._inbox.fenced_by or self._decisions.fenced_by:
            return
        fences = frozenset(self._decisions.fences)
        if self._inbox.left_open() and (not fences or fences != self._fenced):
            ended = await self.settle_left_open()
            _log.info("settled what was left open", extra={"count": ended})
        self._fenced = fences

    async def _reopen(self, name: str, log: Inbox | Shard) -> None:
        if log.fenced_by is None:
            return
        try:
            await log.reopen()
        except DurabilityError as error:
            _log.warning("still fenced", extra={"stream": name, "error": str(error)})
        else:
            _log.info("reopened", extra={"stream": name})

    async def run(self, *, interval_s: float) -> None:
        """Mend every ``interval_s`` seconds until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            await self.mend()

    async def trim(self, *, interval_s: float) -> None:
        """Let go of what is finished every ``interval_s`` seconds until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            await self._inbox.retain()

    async def _settle_run(self, frames: list[InboxFrame]) -> int:
        """Settle bodies that were taken; return how many ended.

        Raises:
            DurabilityError: It cannot be noted that they are judged: all are left open.
        """
        try:
            try:
                await self._prepare(frames)
            except BaseException:
                for frame in frames:
                    self._inbox.leave_open(frame.seq)
                raise
            return sum(await asyncio.gather(*map(self._settle, _together(frames))))
        finally:
            for frame in frames:
                self._inbox.give_back(frame.seq)

    async def _prepare(self, frames: list[InboxFrame]) -> None:
        """Note a run before it is judged; try those of an earlier run that ended its process.

        Raises:
            DurabilityError: That cannot be noted; nothing may be judged.
        """
        if any(frame.seq in self._judging.suspects for frame in frames):
            suspects = [frame for frame in frames if frame.seq in self._judging.suspects]
            _log.warning("a process ended over these", extra={"count": len(suspects)})
            await self._judging.clear(await self._trial(suspects))
        await self._judging.begin([frame.seq for frame in frames])

    async def _note_the_end(self) -> None:
        try:
            await self._judging.end()
        except DurabilityError as error:
            # The next start tries these bodies first: that costs time and changes nothing.
            _log.warning("end of a run not noted", extra={"error": str(error)})

    async def _take_some(self, left: Iterator[int]) -> list[InboxFrame]:
        frames: list[InboxFrame] = []
        size = 0
        while (
            len(frames) < RECOVERED_AT_ONCE_MAX
            and size < RECOVERED_BYTES_AT_ONCE_MAX
            and (seq := next(left, None)) is not None
        ):
            frame = await self._take(seq)
            if frame is not None:
                frames.append(frame)
                size += len(frame.body)
        return frames

    async def _take(self, seq: int) -> InboxFrame | None:
        try:
            return await self._inbox.take(seq)
        except DurabilityError as error:
            # Logged without a stack: it says where the bytes are, and nothing of what they are.
            _log.error("open body cannot be read", extra={"seq": seq, "error": str(error)})
            self._meter.wal_failed(stream="inbox")
            if not isinstance(error, CorruptionError):
                self._inbox.leave_open(seq)
            return None

    async def _settle(self, frames: Sequence[InboxFrame]) -> int:
        """Settle bodies that go together; return how many ended."""
        try:
            ends = await self._ends_of(frames)
        except Exception as error:  # noqa: BLE001 - logged and left on disk
            ends = [error] * len(frames)
        for frame, end in zip(frames, ends, strict=True):
            # One body that meets a bug must not keep every other one from being served.
            if isinstance(end, Exception):
                extra = {"seq": frame.seq}
                _log.error("open body could not be settled", extra=extra, exc_info=end)
        return sum(not isinstance(end, Exception) and end.is_over for end in ends)

    async def _ends_of(
        self, frames: Sequence[InboxFrame]
    ) -> Sequence[Settled | BatchSettled | Exception]:
        if frames[0].received.route == BATCH:
            return [await self._batches.settle(frame) for frame in frames]
        return await self._intake.settle(frames)


def _together(frames: Sequence[InboxFrame]) -> list[list[InboxFrame]]:
    """Return the bodies in groups of those that go together: records of one tenant."""
    groups: dict[str | int, list[InboxFrame]] = {}
    for frame in frames:
        tenant = frame.received.identified_tenant
        alone = tenant is None or frame.received.route == BATCH
        groups.setdefault(frame.seq if alone or tenant is None else tenant, []).append(frame)
    return list(groups.values())
