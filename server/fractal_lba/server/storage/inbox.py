"""The inbox: one segment stream of bodies and of the marks that finish them.

A body is open from its frame until a mark names it. Marks ride with the next batch of bodies, or
are written when the stream goes idle; where one is lost its body is settled again, which the index
answers as a repeat. Segments are removed below the first body that no durable mark names, but for
what is kept as evidence.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from fractal_lba.protocol.errors import CorruptionError, DurabilityError
from fractal_lba.server.core import inbox_frame
from fractal_lba.server.core.inbox_frame import FINISHED_IN_A_MARK_MAX, Received
from fractal_lba.server.core.inbox_retention import Evidence, kept_from
from fractal_lba.server.ports import InboxFrame, Meter
from fractal_lba.server.storage.fence import Fence, look_for_room
from fractal_lba.wal import Damage, Frame, NewFrame, PlacedFrames, Position, Stream
from fractal_lba.wal.group_commit import Bounds, GroupCommit

_log = logging.getLogger(__name__)


class _Finished(NamedTuple):
    seq: int
    is_refused: bool


class _Arrived(NamedTuple):
    body: bytes
    received: Received
    received_ns: int
    told: Callable[[InboxFrame | Exception], None]


class InboxLog:
    """The inbox of one worker. Construct it on the event loop; ``load`` it before use.

    Args:
        stream: Opened, hence recovered.
        meter: Counts.
        bounds: Of a commit and of what waits for one.
        evidence: How long refused bodies stay.
        clock: Nanoseconds since 1970, for that alone.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        meter: Meter,
        bounds: Bounds,
        evidence: Evidence = Evidence(),  # noqa: B008 - frozen
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._stream = stream
        self._meter = meter
        self._open: dict[int, Position] = {}
        self._left: set[int] = set()
        self._taken: set[int] = set()
        self._finished: deque[_Finished] = deque()
        self._evidence = evidence
        self._clock = clock
        # The inbox's thread alone has these: bodies without a durable mark, oldest first, the
        # segments that hold refused ones, and the last mark.
        self._unmarked: dict[int, Position] = {}
        self._refused: set[int] = set()
        self._cursor_seq = 0
        self._fence = Fence(stream.name, meter=meter)
        self.damage: tuple[Damage, ...] = ()
        """What the last recovery and the scan that followed it met."""
        self._commits: GroupCommit[_Arrived, tuple[int, Position]] = GroupCommit(
            stream.name,
            self._commit,
            bounds=bounds,
            done=self._tell,
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

    def give(
        self,
        body: bytes,
        received: Received,
        *,
        received_ns: int,
        told: Callable[[InboxFrame | Exception], None],
    ) -> None:
        """See ``ports.Inbox.give``."""
        self._commits.give(
            _Arrived(body, received, received_ns, told),
            size=len(body),
            turn=received.identified_tenant or "",
        )

    async def append(self, body: bytes, received: Received, *, received_ns: int) -> InboxFrame:
        """See ``ports.Inbox.append``."""
        logged: asyncio.Future[InboxFrame | Exception] = asyncio.get_running_loop().create_future()

        def told(end: InboxFrame | Exception) -> None:
            if not logged.done():
                logged.set_result(end)

        self.give(body, received, received_ns=received_ns, told=told)
        end = await logged
        if isinstance(end, Exception):
            raise end
        return end

    def finish(self, seq: int, *, is_refused: bool = False) -> None:
        """Note that a body was decided or refused. The mark is written with the next batch."""
        self._open.pop(seq, None)
        # A reopening may have found it before its handler came to its end.
        self._left.discard(seq)
        self._finished.append(_Finished(seq, is_refused))

    async def retain(self) -> None:
        """Remove segments of finished bodies that are no evidence; see ``ports.Inbox.retain``."""
        if self._fence.reason is not None:
            return
        try:
            await self._commits.call(self._retain)
        except DurabilityError as error:
            self._fence.put_up(error)

    def leave_open(self, seq: int) -> None:
        """Note that nobody handles an open body any longer."""
        self._left.add(seq)

    @property
    def left_open_count(self) -> int:
        """See ``ports.Inbox.left_open_count``."""
        return len(self._left) + len(self._taken)

    def left_open(self) -> list[int]:
        """Return the open bodies that nobody handles, oldest first."""
        return sorted(self._left)

    async def take(self, seq: int) -> InboxFrame:
        """Read an open body back to handle it again.

        Raises:
            CorruptionError: Its bytes do not verify; it stays open on disk, as evidence. Its
                segment is set aside once all the others in it are finished.
        """
        self._left.discard(seq)
        position = self._open.get(seq)
        if position is None:
            raise CorruptionError(f"inbox: expected the body {seq}, got none that is open")
        frame = await self._commits.call(lambda: self._read(seq, position))
        received = inbox_frame.decode_received(frame.meta)
        if frame.seq != seq or received is None:
            raise CorruptionError(f"inbox: expected the body {seq}, got another frame")
        # Counted on: what is tried again and fails again must not make room for more of its kind.
        self._taken.add(seq)
        return InboxFrame(
            seq=seq, received_ns=frame.received_ns, received=received, body=frame.payload
        )

    def give_back(self, seq: int) -> None:
        """Note that the handling of a body that was taken has come to its end, whatever end."""
        self._taken.discard(seq)

    async def reopen(self) -> None:
        """Recover a fenced log on fresh files.

        Bodies that the failed commit brought to the disk after all are open from now on.
        """
        if self._fence.is_for_room and not self._stream.is_fenced:
            await self._commits.call(lambda: look_for_room(self._stream))
            self._fence.lift()
            return
        recovery = await self._commits.call(self._stream.reopen)
        found = await self._commits.call(self._scan)
        self._meter.recovered(
            stream=self._stream.name,
            torn_bytes=recovery.torn_bytes,
            damaged_ranges=len(self.damage),
        )
        # What finished while the scan ran is gone from _open and must not come back; its mark is
        # still to be written.
        for each in tuple(self._finished):  # at once: the inbox's thread takes from it
            found.pop(each.seq, None)
        self._left |= found.keys() - self._open.keys()
        self._open = found
        self._fence.lift()

    async def close(self) -> None:
        """Commit what was taken, write the marks and the durable offset, release the stream."""
        await self._commits.close()
        self._stream.close()

    def _commit(self, batch: Sequence[_Arrived]) -> list[tuple[int, Position] | Exception]:
        finished, marks = self._take_marks()
        frames = [
            NewFrame(
                received_ns=arrived.received_ns,
                meta=inbox_frame.encode_received(arrived.received),
                payload=arrived.body,
            )
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
        self._note_marks(finished, placed[: len(marks)])
        bodies = placed[len(marks) :]
        self._unmarked.update((each.seq, each.position) for each in bodies)
        return [(each.seq, each.position) for each in bodies]

    def _tell(
        self, batch: Sequence[_Arrived], ends: Sequence[tuple[int, Position] | Exception]
    ) -> None:
        for (body, received, received_ns, told), end in zip(batch, ends, strict=True):
            if isinstance(end, Exception):
                if isinstance(end, DurabilityError):
                    self._fence.put_up(end)
                told(end)
                continue
            seq, position = end
            self._open[seq] = position
            told(InboxFrame(seq=seq, received_ns=received_ns, received=received, body=body))

    def _idle(self) -> None:
        finished, marks = self._take_marks()
        try:
            placed = self._stream.append(marks)
            self._note_marks(finished, placed)
            finished = []
            self._stream.mark()
        except BaseException:
            self._finished.extendleft(reversed(finished))
            raise

    def _take_marks(self) -> tuple[list[_Finished], list[NewFrame]]:
        """Take what was finished, and return the frames that say so."""
        finished: list[_Finished] = []
        while self._finished and len(finished) < FINISHED_IN_A_MARK_MAX:
            finished.append(self._finished.popleft())
        marks = []
        for is_refused in (False, True):
            seqs = [each.seq for each in finished if each.is_refused == is_refused]
            if seqs:
                meta, payload = inbox_frame.encode_finished(seqs, is_refused=is_refused)
                marks.append(NewFrame(received_ns=0, meta=meta, payload=payload))
        return finished, marks

    def _note_marks(self, finished: Sequence[_Finished], placed: PlacedFrames) -> None:
        """Note what is finished on disk from now on."""
        for each in finished:
            position = self._unmarked.pop(each.seq, None)
            if each.is_refused and position is not None:
                self._refused.add(position.segment)
        if placed:
            self._cursor_seq = placed[-1].seq

    def _read(self, seq: int, position: Position) -> Frame:
        try:
            return self._stream.read(position)
        except CorruptionError:
            # Nobody can ever finish it: it must not keep every body after it.
            self._unmarked.pop(seq, None)
            raise

    def _retain(self) -> None:
        self._stream.rotate_aged()
        seq = kept_from(
            self._stream.sealed,
            # The mark that says so stays with what it leaves.
            finished_before=min(next(iter(self._unmarked), self._cursor_seq), self._cursor_seq),
            refused=self._refused,
            evidence=self._evidence,
            now_ns=self._clock(),
        )
        if seq <= self._stream.first_seq:
            return
        retained = self._stream.retain_from(seq, cursor_seq=self._cursor_seq)
        if retained.removed:
            self._refused.intersection_update(each.ordinal for each in self._stream.sealed)
            _log.info(
                "finished bodies removed",
                extra={
                    "stream": self._stream.name,
                    "segments": retained.removed,
                    "bytes": retained.removed_bytes,
                    "set_aside": list(retained.set_aside),
                },
            )

    def _scan(self) -> dict[int, Position]:
        found: dict[int, Position] = {}
        refused: set[int] = set()
        cursor_seq = 0
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
            cursor_seq = frame.seq
            for seq in inbox_frame.decode_finished(frame.payload):
                body = found.pop(seq, None)
                if body is not None and inbox_frame.says_refused(frame.meta):
                    refused.add(body.segment)
        self.damage = tuple(damage)
        self._unmarked = dict(found)
        self._refused = refused
        self._cursor_seq = cursor_seq
        return found
