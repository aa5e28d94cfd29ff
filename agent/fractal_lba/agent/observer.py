"""Observing: sources in, durable windows out.

Windows are cut here and kept by a ``Keeper``, those that are at hand at once together. Files are
observed one after the other in the order they were given, so that sources of one stream always get
the same epochs; what is followed and what comes by itself beside them.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from fractal_lba.agent.bounds import OutboxFullError
from fractal_lba.agent.cutting import Cutter, Units
from fractal_lba.agent.gathering import TOGETHER_MAX, Gathered, gather
from fractal_lba.agent.keeper import Keeper
from fractal_lba.agent.ports import Clock, Lane, Lanes, now_ms
from fractal_lba.agent.sources.streams import FileStream, FollowedStream, UnitStream
from fractal_lba.agent.stop import Stop, first_of
from fractal_lba.agent.tally import Tally
from fractal_lba.agent.window import UNITS_MIN, Window
from fractal_lba.protocol import ContractError, Profile

# Between two looks at a file that is followed: soon enough for people, and next to no work.
LOOK_INTERVAL_S = 0.5

_Waiting = asyncio.Queue[tuple[float, Units] | None]


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

    async def watch_followed(self, stream: FollowedStream, windows: Mapping[Profile, int]) -> None:
        """Observe a file as it grows until observing stops; what is no window then is left to it.

        Raises:
            DurabilityError: The outbox refused a window; nothing after it was observed.
        """
        source = stream.source
        after = self._outbox.contents.position(source.key, stream.shard_id)
        pieces = source.windows(after, windows[source.profile])
        try:
            while not await first_of(self._stop.observing, self._outbox.room()):
                gathered = await self._gather(pieces)
                for note in source.notes:
                    self._tally.left_over(note)
                source.notes.clear()
                if await self._keep(gathered, source.key, stream.shard_id):
                    continue
                await first_of(self._stop.observing, self._clock.sleep(LOOK_INTERVAL_S))
        except ContractError as error:
            self._tally.source_failed(str(error))
        finally:
            await self._lanes.run(Lane.FILES, pieces.close)

    async def watch_units(self, stream: UnitStream, cutter: Cutter) -> None:
        """Observe what comes by itself until observing stops or it ends, its rest included.

        Args:
            stream: What hands over units.
            cutter: Cuts them into windows.

        Raises:
            OutboxFullError: The outbox has no room for a window, and nobody waits; what came since
                the last one is gone, and the run says how much.
            DurabilityError: The outbox refused a window; what came behind it is gone.
        """
        waiting: _Waiting = asyncio.Queue(stream.source.waiting_max)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take(stream, waiting))
            group.create_task(self._cut(stream, waiting, cutter))

    async def _take(self, stream: UnitStream, waiting: "_Waiting") -> None:
        count = 0

        async def put(units: Units) -> None:
            nonlocal count
            await waiting.put((now_ms(self._clock) / 1000, units))
            count += len(units)

        try:
            is_stopped = await first_of(self._stop.observing, stream.source.run(put))
        except ContractError as error:
            self._tally.source_failed(str(error))
        else:
            if not is_stopped and count < UNITS_MIN:
                self._tally.source_failed(
                    f"{stream.source.name}: expected {UNITS_MIN} rows or bytes at least,"
                    f" got {count}"
                )
        await waiting.put(None)

    async def _cut(self, stream: UnitStream, waiting: "_Waiting", cutter: Cutter) -> None:
        try:
            await self._cut_all(stream, waiting, cutter)
        except OutboxFullError:
            gone = cutter.left
            while not waiting.empty():
                came = waiting.get_nowait()
                gone += 0 if came is None else len(came[1])
            self._tally.left_over(
                f"{stream.source.name}: the last {gone} that came are in no window: it was refused"
            )
            raise

    async def _cut_all(self, stream: UnitStream, waiting: "_Waiting", cutter: Cutter) -> None:
        is_end = False
        while True:
            now_s = now_ms(self._clock) / 1000
            came: tuple[float, Units] | None = None
            if not is_end:
                if not self._outbox.is_refusing:  # where it is, a window is refused and no unit
                    await first_of(self._stop.observing, self._outbox.room())
                try:
                    due_s = cutter.due_s()
                    async with asyncio.timeout(None if due_s is None else due_s - now_s):
                        came = await waiting.get()
                    is_end = came is None
                except TimeoutError:
                    pass
            at_s = now_ms(self._clock) / 1000 if came is None else came[0]
            # What ended by time ends before what comes now, what is full ends with it.
            await self._keep_cut(stream, cutter, at_s=at_s, is_end=is_end)
            if came is not None:
                cutter.add(came[1], now_s=at_s)
                await self._keep_cut(stream, cutter, at_s=at_s, is_end=False)
            elif is_end:
                if cutter.left:
                    self._tally.left_over(
                        f"{stream.source.name}: {cutter.left} at its end are in no window:"
                        " too few for one"
                    )
                return

    async def _keep_cut(
        self, stream: UnitStream, cutter: Cutter, *, at_s: float, is_end: bool
    ) -> None:
        is_more = True
        while is_more:
            gathered = Gathered()
            while is_more and not gathered.is_enough(TOGETHER_MAX):
                data = cutter.cut(now_s=at_s, is_end=is_end)
                is_more = data is not None
                if data is not None:
                    gathered.add(Window(data=data, after=None))
            if gathered.windows:
                await self._keeper.keep_all(
                    gathered.windows,
                    source=stream.source.key,
                    shard_id=stream.shard_id,
                    is_live=True,
                )

    async def _watch_file(self, stream: FileStream, window: int) -> None:
        key, shard_id = stream.source.key, stream.shard_id
        after = self._outbox.contents.position(key, shard_id)
        windows = stream.source.windows(after, window)
        try:
            while not await first_of(self._stop.observing, self._outbox.room()):
                gathered = await self._gather(windows)
                await self._keep(gathered, key, shard_id)
                if gathered.is_end:
                    if stream.source.left_over:
                        self._tally.left_over(stream.source.left_over)
                    return
        finally:
            # In its lane, behind a cut that may still be under way.
            await self._lanes.run(Lane.FILES, windows.close)

    async def _gather(self, pieces: Iterator[Window | None]) -> Gathered:
        room = max(1, self._outbox.room_for(TOGETHER_MAX))
        return await self._lanes.run(Lane.FILES, gather, pieces, room=room, clock=self._clock)

    async def _keep(self, gathered: Gathered, source: str, shard_id: str) -> bool:
        """Keep what was read of a file, if that is anything, and return whether it was.

        Raises:
            ContractError: The file cannot be read any further.
            DurabilityError: The outbox refused a window.
        """
        if gathered.windows:
            await self._keeper.keep_all(
                gathered.windows, source=source, shard_id=shard_id, is_live=False
            )
        if gathered.failure is not None:
            raise gathered.failure
        return bool(gathered.windows)
