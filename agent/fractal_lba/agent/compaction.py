"""Compaction: old segments are given up when what still waits in them has been copied behind.

A window may wait for weeks among millions that were answered. The rule: when the sealed segments
hold at least two segments' worth that nothing waits for, and at least as much as waits in all, the
oldest of them go; so the outbox takes at most twice what waits, and four segments. Segments that
were closed by their age may be small and many: where there are more than ``SEGMENTS_MAX``, and at
most half of the oldest has to be copied, that is enough, too. Each pass, in
this order:

1. the windows that wait in those segments are copied, under their own numbers;
2. the streams that nothing behind those segments tells of are stated again;
3. the totals are written, which say what is given up: the cursor;
4. the segments are removed.

A crash before 4 leaves both, and reading them gives the same as either. Producers go on meanwhile:
a piece waits in the queue like a window, and is no larger than a few of them. What a piece says is
true where it stands in the log, because everything that was noted before was written before.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from fractal_lba.agent.contents import Contents
from fractal_lba.agent.entry import Entry, entry_of, frame_size
from fractal_lba.agent.frames import WindowMeta, bare_frame, carried_frame
from fractal_lba.agent.pending import Place
from fractal_lba.agent.segments import Front
from fractal_lba.protocol import CorruptionError
from fractal_lba.protocol.errors import FullError
from fractal_lba.wal import Frame, PlacedFrames, Position

# Of what a segment holds at the most. Below, a compaction saves less than its syncs cost.
DEAD_SEGMENTS_MIN = 2

# Opening reads the header of each, which takes milliseconds.
SEGMENTS_MAX = 1_024

# Windows leave some room on a full disk (``log``): so much of it is copied to, to free a segment.
FULL_CARRY_BYTES_MAX = 256 << 10
FULL_DEAD_BYTES_MIN = 512 << 10

# What one append of a compaction holds: producers wait for it as for a batch of their own.
PIECE_BYTES_MAX = 256 << 10
PIECE_STREAMS_MAX = 512


class CompactedLog(Protocol):
    """What a compaction does with the log; see ``Log``."""

    @property
    def is_full(self) -> bool:
        """Whether windows are held until the disk has room."""

    @property
    def refusals(self) -> int:
        """How often something found no room."""

    @property
    def held(self) -> Sequence[WindowMeta]:
        """What is held."""

    async def write(self, entry: Entry) -> PlacedFrames:
        """Make an entry durable and return where its frames went."""

    async def read(self, positions: Sequence[Position]) -> list[Frame]:
        """Return the frames at these positions."""

    async def retain(self, seq: int, cursor_seq: int) -> None:
        """Give up the segments before a frame."""


class Compactor:
    """Compacts one outbox.

    Args:
        log: Of the outbox.
        contents: Of the outbox.
        segment_bytes_max: What a segment of the log holds at the most, and what one pass copies:
            a second's work on a slow disk, after which the rule is asked again.
        now_ns: Tells the time.
        flush_acks: Gives the log the acknowledgements that were noted and not written yet, ahead
            of what takes them for known.

    Attributes:
        compactions: Passes made.
    """

    def __init__(
        self,
        log: CompactedLog,
        contents: Contents,
        *,
        segment_bytes_max: int,
        now_ns: Callable[[], int],
        flush_acks: Callable[[], object],
    ) -> None:
        self._log = log
        self._contents = contents
        self._segment_bytes_max = segment_bytes_max
        self._now_ns = now_ns
        self._flush_acks = flush_acks
        self._is_off = False
        self._written: tuple[Front, int] | None = None  # what the last totals gave up, and theirs
        self._turn = asyncio.Lock()
        self.compactions = 0

    @property
    def is_worth_it(self) -> bool:
        """Whether enough is dead; of a full disk less is enough, if little has to be copied."""
        segments = self._contents.segments
        if self._is_off:
            return False
        if self._log.is_full:
            front = segments.front(FULL_CARRY_BYTES_MAX)
            return (
                front is not None
                and front.live <= FULL_CARRY_BYTES_MAX
                and front.size - front.live >= FULL_DEAD_BYTES_MIN
            )
        dead_min = DEAD_SEGMENTS_MIN * self._segment_bytes_max
        if segments.dead() >= max(dead_min, self._contents.pending.size):
            return True
        if len(segments) <= SEGMENTS_MAX:
            return False
        front = segments.front(self._segment_bytes_max)
        return front is not None and 2 * front.live <= front.size

    async def run(self) -> None:
        """Make one pass, or end one that found no room for its last step.

        Raises:
            DurabilityError: The log is fenced; nothing that is needed is gone.
        """
        try:
            async with self._turn:
                await self._pass()
        except CorruptionError:
            # A window that waits cannot be read: whoever sends it says so, and its segment is
            # evidence. The next run counts it as lost, and compacts again.
            self._is_off = True
        except FullError:
            pass  # what was copied is there twice; another pass follows when there is room

    async def _pass(self) -> None:
        if self._written is None:
            self._written = await self._write()
        if self._written is None:
            return
        front, cursor = self._written
        await self._log.retain(front.kept_from, cursor)
        self._written = None
        self._contents.segments.drop(front)
        self._contents.compactions += 1
        self.compactions += 1

    async def _write(self) -> tuple[Front, int] | None:
        """Write what a pass writes; return the segments that nothing needs then, and the cursor."""
        carry_bytes_max = FULL_CARRY_BYTES_MAX if self._log.is_full else self._segment_bytes_max
        front = self._contents.segments.front(carry_bytes_max)
        if front is None:
            return None
        await self._carry(front)
        await self._restate(front)
        return front, await self._write_totals(front)

    async def _write_totals(self, front: Front) -> int:
        """Write the cursor and return its number."""
        self._flush_acks()
        totals = self._contents.totals(front.kept_from, unwritten=len(self._log.held))
        frame = bare_frame(totals, received_ns=self._now_ns())
        return (await self._log.write(entry_of([frame], after=self._log.refusals)))[-1].seq

    async def _carry(self, front: Front) -> None:
        """Copy what waits in these segments."""
        ordinals = frozenset(front.ordinals)
        pending = self._contents.pending
        piece: list[tuple[int, Place]] = []
        size = 0
        for seq in self._contents.segments.numbers(front):
            if seq not in pending:
                continue
            place = pending[seq]
            if place.position.segment in ordinals:
                piece.append((seq, place))
                size += place.size
            if size >= PIECE_BYTES_MAX:
                await self._carry_piece(piece)
                piece, size = [], 0
        await self._carry_piece(piece)

    async def _carry_piece(self, piece: Sequence[tuple[int, Place]]) -> None:
        frames = await self._log.read([place.position for _, place in piece])
        # What was answered meanwhile must not stand behind its acknowledgement.
        carried = [
            (seq, carried_frame(seq, frame))
            for (seq, _), frame in zip(piece, frames, strict=True)
            if seq in self._contents.pending
        ]
        if not carried:
            return
        placed = await self._log.write(entry_of([frame for _, frame in carried]))
        for (seq, frame), at in zip(carried, placed, strict=True):
            if seq in self._contents.pending:
                before = self._contents.pending[seq]
                place = before._replace(position=at.position, size=frame_size(frame))
                self._contents.carry(seq, place)

    async def _restate(self, front: Front) -> None:
        """Say again of each stream how it goes on, where only these segments do."""
        stale = self._contents.stated_before(front.kept_from)
        held = {(window.source, window.shard_id) for window in self._log.held}
        if held.intersection(stale):
            raise FullError("outbox: expected room on the disk to go on with a stream, got none")
        for start in range(0, len(stale), PIECE_STREAMS_MAX):
            piece = stale[start : start + PIECE_STREAMS_MAX]
            now_ns = self._now_ns()
            frames = [
                bare_frame(self._contents.stream(*each), received_ns=now_ns) for each in piece
            ]
            placed = await self._log.write(entry_of(frames, after=self._log.refusals))
            for (source, shard_id), at in zip(piece, placed, strict=True):
                self._contents.restate(source, shard_id, at.seq)
