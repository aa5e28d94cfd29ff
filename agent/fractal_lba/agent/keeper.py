"""Keeping: a window in, its signed record in the outbox, on disk.

The one way a window takes, whoever observed it: summarise, give it its epoch, sign, append. The
rule: an epoch is given once. From the outbox's room to its taking the window it is one window's
turn, so that the room and the epoch are still that window's when its copy has been kept; what is
summarised before and synced behind may be many windows'. A window that cannot be summarised or
signed, finds no room or is cancelled before its copy is begun takes none of these.

Windows that are at hand together take their turn together, as many as there is room for, and share
an append. Where their copies are kept each has a turn of its own: its copy has syncs of its own.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass

from fractal_lba.agent.frames import WindowMeta
from fractal_lba.agent.hooks import Event, Hooks, span
from fractal_lba.agent.kept import KeptWindows
from fractal_lba.agent.outbox import Outbox
from fractal_lba.agent.ports import Clock, Lane, Lanes, now_ms
from fractal_lba.agent.record import Recipe, Summarised, sign, summarise
from fractal_lba.agent.repair import ClockWatch
from fractal_lba.agent.tally import Tally
from fractal_lba.agent.window import Window
from fractal_lba.protocol import ContractError, JsonValue, Record, format_timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A window that is on disk.

    Attributes:
        pcs_id: Its record's id.
        shard_id: Its stream.
        epoch: Its number there, from 0.
        outbox_seq: Its number in the outbox.
        n: Its rows or bytes.
    """

    pcs_id: str
    shard_id: str
    epoch: int
    outbox_seq: int
    n: int


class Keeper:
    """Keeps the windows of one run; called from one event loop."""

    def __init__(  # noqa: PLR0913 - everything a run shares, each by name
        self,
        *,
        outbox: Outbox,
        kept: KeptWindows | None,
        recipe: Recipe,
        tally: Tally,
        clock: Clock,
        lanes: Lanes,
        hooks: Hooks,
    ) -> None:
        self.outbox = outbox
        self._kept = kept
        self._turn = asyncio.Lock()
        self._watch = ClockWatch()
        self._recipe = recipe
        self._tally = tally
        self._clock = clock
        self._lanes = lanes
        self._hooks = hooks

    async def keep(
        self,
        window: Window,
        *,
        source: str,
        shard_id: str,
        is_live: bool,
        meta: Mapping[str, JsonValue] | None = None,
    ) -> Observed:
        """Make a window's record durable: the last step of observing and the first of sending.

        Args:
            window: What was observed.
            source: Its source's key in the outbox.
            shard_id: Its stream.
            is_live: Whether it can never be cut again (``Contents.next_epoch``).
            meta: Members of this record's ``meta``, in place of the recipe's of the same names.

        Raises:
            ContractError: The window or the meta breaks a rule; nothing was kept, and no epoch was
                taken.
            OutboxFullError: The outbox, or the folder of kept windows, is full and refuses;
                nothing was taken, and no epoch.
            DurabilityError: It may or may not be on disk; the outbox is fenced.
        """
        (observed,) = await self.keep_all(
            (window,), source=source, shard_id=shard_id, is_live=is_live, meta=meta
        )
        return observed

    async def keep_all(
        self,
        windows: Sequence[Window],
        *,
        source: str,
        shard_id: str,
        is_live: bool,
        meta: Mapping[str, JsonValue] | None = None,
    ) -> list[Observed]:
        """Make the records of windows durable, in their order: as ``keep`` of each, for less.

        What it raises is about one of them: those before it were kept, those behind it were not.

        Args:
            windows: One or more, of one source and one stream.
            source: As ``keep``, like the others.
            shard_id: Their stream.
            is_live: Whether they can never be cut again.
            meta: Of each.

        Raises:
            ContractError: As ``keep``.
            OutboxFullError: As ``keep``.
            DurabilityError: As ``keep``.
        """
        observed: list[Observed] = []
        with span(self._hooks, Event.OBSERVE, {"shard_id": shard_id, "source": source}) as found:
            ready, failure = await self._lanes.run(
                Lane.COMPUTE, _summarise_all, windows, self._recipe
            )
            rest = deque(ready)
            while rest:
                signed: list[tuple[Summarised, Record]] = []
                async with self._turn:
                    await self.outbox.room()
                    epoch = self.outbox.contents.next_epoch(shard_id, is_live=is_live)
                    count = 1 if self._kept is not None else self.outbox.room_for(len(rest))
                    try:
                        while rest and len(signed) < count:
                            record = self._sign(rest[0], epoch + len(signed), shard_id, meta)
                            signed.append((rest.popleft(), record))
                    except ContractError as error:
                        failure = error
                        rest.clear()
                    if self._kept is not None and signed:
                        ((summarised, record),) = signed
                        await _to_its_end(
                            self._lanes.run(Lane.KEPT, self._kept.keep, summarised.window, record)
                        )
                # Nothing runs between the turn and the queue.
                observed += await self._append(signed, source)
                if observed:
                    found |= {
                        "pcs_id": observed[0].pcs_id,
                        "epoch": observed[0].epoch,
                        "windows": len(observed),
                        "n": sum(each.n for each in observed),
                        "d": ready[0].summary.d,
                    }
            if failure is not None:
                raise failure
        return observed

    def _sign(
        self,
        summarised: Summarised,
        epoch: int,
        shard_id: str,
        meta: Mapping[str, JsonValue] | None,
    ) -> Record:
        at_ms = now_ms(self._clock)
        skew_ms, is_jump = self._watch.skew_ms(at_ms, self._clock.monotonic_s())
        return sign(
            summarised,
            self._recipe,
            epoch=epoch,
            shard_id=shard_id,
            created_at=format_timestamp(at_ms),
            skew_ms=skew_ms,
            is_jump=is_jump,
            meta={**summarised.window.meta, **(meta or {})},
        )

    async def _append(
        self, signed: Sequence[tuple[Summarised, Record]], source: str
    ) -> list[Observed]:
        """Append what has room, and count it; the first step is the queue's."""
        if not signed:
            return []
        told = [
            (
                WindowMeta(
                    source=source,
                    shard_id=record.shard_id,
                    next_epoch=record.epoch + 1,
                    position=summarised.window.after,
                ),
                record,
            )
            for summarised, record in signed
        ]
        with span(
            self._hooks, Event.APPEND, {"pcs_id": signed[0][1].pcs_id, "windows": len(signed)}
        ) as appended:
            if len(told) == 1:
                seqs = [await self.outbox.append(*told[0], has_room=True)]
            else:
                seqs = await self.outbox.append_all(told, has_room=True)
            appended["outbox_seq"] = seqs[0]
        observed: list[Observed] = []
        for (summarised, record), seq in zip(signed, seqs, strict=True):
            self._tally.observed(record)
            self._tally.late_rows += summarised.window.late
            observed.append(
                Observed(
                    pcs_id=record.pcs_id,
                    shard_id=record.shard_id,
                    epoch=record.epoch,
                    outbox_seq=seq,
                    n=record.n,
                )
            )
        return observed


def _summarise_all(
    windows: Sequence[Window], recipe: Recipe
) -> tuple[list[Summarised], ContractError | None]:
    """Summarise windows up to one that cannot be, and return why it cannot."""
    found: list[Summarised] = []
    for window in windows:
        try:
            found.append(summarise(window, recipe))
        except ContractError as error:
            return found, error
    return found, None


async def _to_its_end(work: Awaitable[None]) -> None:
    """Do some work; where the caller is cancelled meanwhile, it is at its next wait behind it."""
    task = asyncio.ensure_future(work)
    is_cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            is_cancelled = True
    me = asyncio.current_task()
    if is_cancelled and me is not None:
        me.uncancel()  # counted once
        me.cancel()
    task.result()
