"""The outbox: every window's signed record, on disk before anything of it is sent.

One stream of segments in ``DIR/outbox``; ``frames`` says what is in it. The rules:

- ``append`` returns when the record, the stream's next epoch and the source's position are durable,
  in one batch; only then does the record appear in ``take``, so nothing is ever sent that is not on
  disk;
- an acknowledgement waits for the next append, for ``ACKS_WAITING_MAX`` of them or for a quiet
  moment, and is durable after ``close``; one that is lost leads to a repeat, which the server
  answers as it did the first time;
- bodies are read back from disk when they are sent; in memory is one place for each pending window.

All methods are called from one event loop; the disk is touched on its lanes only.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from fractal_lba.agent.frames import AckMeta, Contents, WindowMeta, ack_frame, window_frame
from fractal_lba.agent.ports import Clock, Lane, Lanes
from fractal_lba.protocol import Record, parse_record, stored_bytes
from fractal_lba.wal import Disk, NewFrame, Placed, Stream

FOLDER = "outbox"
STREAM = "outbox"

# Each is repeated after a crash: few enough that this is soon done, enough that a sync for them
# alone is rare.
ACKS_WAITING_MAX = 256

# The segment format's own: what is on disk is marked as such this long after the last write.
QUIET_S = 0.1

# A place takes about 250 bytes of memory. At a quarter of a gigabyte observing waits for the
# server.
PENDING_MAX = 1_000_000


class Outbox:
    """The windows of one agent, kept until they are answered."""

    def __init__(self, stream: Stream, contents: Contents, *, clock: Clock, lanes: Lanes) -> None:
        """Take over an open stream and what it holds; ``open`` is the usual way."""
        self.contents = contents
        self._stream = stream
        self._clock = clock
        self._lanes = lanes
        self._unsent = deque(contents.pending)
        self._acks: list[NewFrame] = []
        self._is_ended = False
        self._changed = asyncio.Event()
        self._writing = asyncio.Lock()
        self._writes = 0
        self._written = asyncio.Event()

    @classmethod
    async def open(cls, disk: Disk, folder: Path, *, clock: Clock, lanes: Lanes) -> "Outbox":
        """Open, recover and read the outbox of a data folder, made if it is not there.

        Raises:
            LockedError: Another agent uses it; nothing was changed.
            DurabilityError: The disk refused; the folder is as a crash would leave it.
            ContractError: A newer program wrote it; nothing was added.
        """
        stream = await lanes.run(Lane.OUTBOX, Stream.open, disk, folder / FOLDER, STREAM)
        try:
            contents = await lanes.run(
                Lane.OUTBOX, lambda: Contents.read(stream.scan(), next_seq=stream.next_seq)
            )
        except BaseException:
            await lanes.run(Lane.OUTBOX, stream.close)
            raise
        return cls(stream, contents, clock=clock, lanes=lanes)

    @property
    def is_fenced(self) -> bool:
        """Whether a failed write ended the writing; what is on disk can still be sent."""
        return self._stream.is_fenced

    async def append(self, meta: WindowMeta, record: Record) -> int:
        """Make a window durable and ready to be sent, and return its number.

        Raises:
            DurabilityError: It may or may not be on disk, and is not sent; the outbox is fenced.
        """
        frame = window_frame(meta, stored_bytes(record), received_ns=self._clock.now_ns())
        placed = (await self._write(frame))[-1]
        self.contents.observe(placed.position, placed.seq, meta)
        self._unsent.append(placed.seq)
        self._signal()
        return placed.seq

    def end(self) -> None:
        """Note that no more windows will come."""
        self._is_ended = True
        self._signal()

    async def take(self) -> int | None:
        """Return the oldest window nobody took yet; None when there is none and none will come."""
        while not self._unsent:
            if self._is_ended:
                return None
            await self._change()
        return self._unsent.popleft()

    def take_waiting(self) -> int | None:
        """Return the oldest window nobody took yet; None when none waits at this moment."""
        return self._unsent.popleft() if self._unsent else None

    def give_back(self, seqs: Sequence[int]) -> None:
        """Let others take these, before anything else that waits."""
        self._unsent.extendleft(reversed(seqs))
        self._signal()

    async def read(self, seq: int) -> Record:
        """Return the record of a pending window, from disk.

        Raises:
            CorruptionError: It does not verify; it stays pending.
        """
        position = self.contents.pending[seq]
        frame = await self._lanes.run(Lane.READ, self._stream.read, position)
        return parse_record(frame.payload)

    async def acknowledge(self, seq: int, *, status: int, replayed: bool) -> None:
        """Note the final answer of a window.

        Raises:
            DurabilityError: It was noted in memory but not on disk: the window will be sent again.
        """
        meta = AckMeta(seq=seq, status=status, replayed=replayed)
        self.contents.acknowledge(meta)
        self._acks.append(ack_frame(meta, received_ns=self._clock.now_ns()))
        self._signal()
        self._written.set()
        if len(self._acks) >= ACKS_WAITING_MAX and not self.is_fenced:
            await self._write()

    async def room(self) -> None:
        """Return when another window may be observed."""
        while len(self.contents.pending) >= PENDING_MAX:
            await self._change()

    async def tend(self) -> None:
        """Use quiet moments to write waiting acknowledgements and to mark what is durable.

        Ends by being cancelled, and when the outbox is fenced.

        Raises:
            DurabilityError: The outbox is fenced; what was appended is on disk.
        """
        while True:
            await self._written.wait()
            seen = self._writes
            await self._clock.sleep(QUIET_S)
            if self.is_fenced:
                return  # whoever met the failure reports it
            if seen != self._writes:
                continue
            if self._acks:
                await self._write()
                continue
            async with self._writing:
                self._written.clear()
                await self._lanes.run(Lane.OUTBOX, self._stream.mark)

    async def close(self) -> None:
        """Make the acknowledgements durable and release the folder.

        Raises:
            DurabilityError: Acknowledgements were not written: their windows will be sent again.
                The folder is released all the same.
        """
        try:
            if self._acks and not self.is_fenced:
                await self._write()
        finally:
            await self._lanes.run(Lane.OUTBOX, self._stream.close)

    async def _write(self, window: NewFrame | None = None) -> Sequence[Placed]:
        """Append the waiting acknowledgements, and a window behind them.

        There may be none any more: who had the turn before took them all.
        """
        async with self._writing:
            acks, self._acks = self._acks, []
            frames = acks if window is None else [*acks, window]
            # Who waits may be cancelled; what was taken is written all the same.
            writing = asyncio.ensure_future(
                self._lanes.run(Lane.OUTBOX, self._stream.append, frames)
            )
            placed = await asyncio.shield(writing)
            self._writes += 1
            self._written.set()
        return placed

    def _signal(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _change(self) -> None:
        await self._changed.wait()
