"""Observing: sources in, durable windows out.

Each window is cut here and kept by a ``Keeper``. Files are observed
one after the other in the order they were given, so that sources of one stream always get the same
epochs; the live source beside them.
"""

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np

from fractal_lba.agent.keeper import Keeper
from fractal_lba.agent.ports import Clock, Lane, Lanes
from fractal_lba.agent.sources import live
from fractal_lba.agent.sources.choose import FileStream, LiveStream
from fractal_lba.agent.stop import Stop, first_of
from fractal_lba.agent.tally import Tally
from fractal_lba.agent.window import UNITS_MAX, Window, next_cut
from fractal_lba.protocol import ContractError, Profile

# Samples that wait while a window is summarised or the disk is slow; sampling pauses beyond it.
SAMPLES_WAITING_MAX = UNITS_MAX

_Row = tuple[float, ...]


class Observer:
    """Observes what a run was given."""

    def __init__(
        self, *, keeper: Keeper, tally: Tally, stop: Stop, clock: Clock, lanes: Lanes
    ) -> None:
        self._keeper = keeper
        self._outbox = keeper.outbox
        self._tally = tally
        self._stop = stop
        self._clock = clock
        self._lanes = lanes

    async def watch_files(
        self, streams: Sequence[FileStream], windows: Mapping[Profile, int]
    ) -> None:
        """Observe files to their ends; one that cannot be read is noted and passed over.

        Args:
            streams: In the order in which they are observed.
            windows: Units of a window for each profile.

        Raises:
            DurabilityError: The outbox refused a window; nothing after it was observed.
        """
        for stream in streams:
            try:
                await self._watch_file(stream, windows[stream.source.profile])
            except ContractError as error:
                self._tally.source_failed(str(error))

    async def watch_live(self, stream: LiveStream, window: int, *, interval_s: float) -> None:
        """Observe the live source until observing stops, the rest of its samples included.

        Args:
            stream: The live source.
            window: Rows of a window.
            interval_s: Seconds between two samples.

        Raises:
            DurabilityError: The outbox refused a window; samples behind it are gone.
        """
        rows: asyncio.Queue[_Row | None] = asyncio.Queue(SAMPLES_WAITING_MAX)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sample(stream, rows, interval_s))
            group.create_task(self._cut_rows(stream, rows, window))

    async def _watch_file(self, stream: FileStream, window: int) -> None:
        key, shard_id = stream.source.key, stream.shard_id
        after = self._outbox.contents.position(key, shard_id)
        windows = stream.source.windows(after, window)
        try:
            while not await first_of(self._stop.observing, self._outbox.room()):
                piece = await self._lanes.run(Lane.FILES, next, windows, None)
                if piece is None:
                    if stream.source.left_over:
                        self._tally.left_over(stream.source.left_over)
                    return
                await self._keeper.keep(piece, source=key, shard_id=shard_id, is_live=False)
        finally:
            # In its lane, behind a cut that may still be under way.
            await self._lanes.run(Lane.FILES, windows.close)

    async def _sample(
        self, stream: LiveStream, rows: asyncio.Queue[_Row | None], interval_s: float
    ) -> None:
        try:
            # The first sample has nothing to be an increase of.
            await self._lanes.run(Lane.LIVE, stream.source.sample)
            due_s = self._clock.monotonic_s()
            while True:
                # A sample that came late does not make the next ones come early.
                due_s = max(due_s + interval_s, self._clock.monotonic_s())
                wait_s = due_s - self._clock.monotonic_s()
                if await first_of(self._stop.observing, self._clock.sleep(wait_s)):
                    break
                await rows.put(await self._lanes.run(Lane.LIVE, stream.source.sample))
        except ContractError as error:
            self._tally.source_failed(str(error))
        await rows.put(None)

    async def _cut_rows(
        self, stream: LiveStream, rows: asyncio.Queue[_Row | None], window: int
    ) -> None:
        held: list[_Row] = []
        is_end = False
        while True:
            taken = next_cut(len(held), window, is_end=is_end)
            if taken:
                piece = Window(data=np.array(held[:taken], dtype=np.float64), after=None)
                del held[:taken]
                await self._keeper.keep(
                    piece, source=live.KEY, shard_id=stream.shard_id, is_live=True
                )
            elif is_end:
                return
            else:
                await first_of(self._stop.observing, self._outbox.room())
                row = await rows.get()
                if row is None:
                    is_end = True
                else:
                    held.append(row)
