"""The inbox: one segment stream of bodies and of the marks that finish them.

A body is open from its frame until a mark names it. Marks ride with the next batch of bodies, or
are written when the stream goes idle; where one is lost its body is settled again, which the index
answers as a repeat.
"""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from fractal_lba.protocol.errors import CorruptionError, DurabilityError
from fractal_lba.server.core import inbox_frame
from fractal_lba.server.core.inbox_frame import FINISHED_IN_A_MARK_MAX, Received
from fractal_lba.server.ports import InboxFrame, Meter
from fractal_lba.server.storage.fence import Fence
from fractal_lba.wal import Damage, NewFrame, Position, Stream
from fractal_lba.wal.group_commit import Bounds, GroupCommit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrived:
    body: bytes
    meta: bytes
    received_ns: int


class InboxLog:
    """The inbox of one worker. Construct it on the event loop; ``load`` it before use.

    Args:
        stream: Opened, hence recovered.
        meter: Counts.
        bounds: Of a commit and of what waits for one.
    """

    def __init__(self, stream: Stream, *, meter: Meter, bounds: Bounds) -> None:
        self._stream = stream
        self._meter = meter
        self._open: dict[int, Position] = {}
        self._left: set[int] = set()
        self._finished: deque[int] = deque()
        self._fence = Fence(stream.name, meter=meter)
        self.damage: tuple[Damage, ...] = ()
        """What the last recovery and the scan that followed it met."""
        self._commits: GroupCommit[_Arrived, tuple[int, Position]] = GroupCommit(
            stream.name,
            self._commit,
            bounds=bounds,
            idle=self._idle,
            idle_failed=self._fence.put_up,
        )

    async def load(self) -> None:
        """Find the bodies that are open; nobody handles them yet."""
        self._open = await self._commits.call(self._scan)
        self._left = set(self._open)

    @property
    def fenced_by(self) -> str | None:
        """The failure that nothing can be appended after until ``reopen``, or ``None``."""
        return self._fence.reason

    async def append(self, body: bytes, received: Received, *, received_ns: int) -> InboxFrame:
        """Log a body; it is on disk when this returns.

        Raises:
            UnavailableError: The queue is full; nothing was logged.
            DurabilityError: The log failed and is fenced; the body may or may not be on disk.
        """
        arrived = _Arrived(
            body=body, meta=inbox_frame.encode_received(received), received_ns=received_ns
        )
        try:
            seq, position = await self._commits.submit(
                arrived, size=len(body), turn=received.identified_tenant or ""
            )
        except DurabilityError as error:
            self._fence.put_up(error)
            raise
        self._open[seq] = position
        return InboxFrame(seq=seq, received_ns=received_ns, received=received, body=body)

    def finish(self, seq: int) -> None:
        """Note that a body was decided or refused. The mark is written with the next batch."""
        self._open.pop(seq, None)
        # A reopening may have found it before its handler came to its end.
        self._left.discard(seq)
        self._finished.append(seq)

    def leave_open(self, seq: int) -> None:
        """Note that nobody handles an open body any longer."""
        self._left.add(seq)

    @property
    def left_open_count(self) -> int:
        """How many bodies ``left_open`` names."""
        return len(self._left)

    def left_open(self) -> list[int]:
        """Return the open bodies that nobody handles, oldest first."""
        return sorted(self._left)

    async def take(self, seq: int) -> InboxFrame:
        """Read an open body back to handle it again.

        Raises:
            CorruptionError: Its bytes do not verify; it stays open on disk, as evidence.
        """
        self._left.discard(seq)
        position = self._open.get(seq)
        if position is None:
            raise CorruptionError(f"inbox: expected the body {seq}, got none that is open")
        frame = await self._commits.call(lambda: self._stream.read(position))
        received = inbox_frame.decode_received(frame.meta)
        if frame.seq != seq or received is None:
            raise CorruptionError(f"inbox: expected the body {seq}, got another frame")
        return InboxFrame(
            seq=seq, received_ns=frame.received_ns, received=received, body=frame.payload
        )

    async def reopen(self) -> None:
        """Recover a fenced log on fresh files.

        Bodies that the failed commit brought to the disk after all are open from now on.
        """
        recovery = await self._commits.call(self._stream.reopen)
        found = await self._commits.call(self._scan)
        self._meter.recovered(
            stream=self._stream.name,
            torn_bytes=recovery.torn_bytes,
            damaged_ranges=len(self.damage),
        )
        # What finished while the scan ran is gone from _open and must not come back; its mark is
        # still to be written.
        for seq in tuple(self._finished):  # at once: the inbox's thread takes from it
            found.pop(seq, None)
        self._left |= found.keys() - self._open.keys()
        self._open = found
        self._fence.lift()

    async def close(self) -> None:
        """Commit what was taken, write the marks and the durable offset, release the stream."""
        await self._commits.close()
        self._stream.close()

    def _commit(self, batch: Sequence[_Arrived]) -> list[tuple[int, Position] | Exception]:
        marks, finished = self._take_marks()
        frames = [
            NewFrame(received_ns=arrived.received_ns, meta=arrived.meta, payload=arrived.body)
            for arrived in batch
        ]
        started = time.perf_counter()
        try:
            placed = self._stream.append([*marks, *frames])
        except BaseException:
            self._finished.extendleft(reversed(finished))
            raise
        self._meter.synced(
            stream=self._stream.name, seconds=time.perf_counter() - started, frames=len(placed)
        )
        return [(each.seq, each.position) for each in placed[len(marks) :]]

    def _idle(self) -> None:
        marks, finished = self._take_marks()
        try:
            if marks:
                self._stream.append(marks)
            self._stream.mark()
        except BaseException:
            self._finished.extendleft(reversed(finished))
            raise

    def _take_marks(self) -> tuple[list[NewFrame], list[int]]:
        finished: list[int] = []
        while self._finished and len(finished) < FINISHED_IN_A_MARK_MAX:
            finished.append(self._finished.popleft())
        if not finished:
            return [], []
        meta, payload = inbox_frame.encode_finished(finished)
        return [NewFrame(received_ns=0, meta=meta, payload=payload)], finished

    def _scan(self) -> dict[int, Position]:
        found: dict[int, Position] = {}
        damage = dict.fromkeys(self._stream.recovery.damage)
        for item in self._stream.scan():
            if isinstance(item, Damage):
                if item.is_loss:
                    damage[item] = None  # what it held can be neither read nor decided
                continue
            position, frame = item
            if inbox_frame.decode_received(frame.meta) is not None:
                found[frame.seq] = position
                continue
            for seq in inbox_frame.decode_finished(frame.payload):
                found.pop(seq, None)
        self.damage = tuple(damage)
        return found
