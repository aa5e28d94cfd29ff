"""Keeping: a window in, its signed record in the outbox, on disk.

The one way a window takes, whoever observed it: summarise, give it its epoch, sign, append. The
rule: an epoch is given once. From the outbox's room to its taking the window it is one window's
turn, so that the room and the epoch are still that window's when its copy has been kept; what is
summarised before and synced behind may be many windows'. A window that cannot be summarised or
signed, finds no room or is cancelled before its copy is begun takes none of these.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass

from fractal_lba.agent.frames import WindowMeta
from fractal_lba.agent.hooks import Event, Hooks, span
from fractal_lba.agent.kept import KeptWindows
from fractal_lba.agent.outbox import Outbox
from fractal_lba.agent.ports import Clock, Lane, Lanes, now_ms
from fractal_lba.agent.record import Recipe, sign, summarise
from fractal_lba.agent.repair import ClockWatch
from fractal_lba.agent.tally import Tally
from fractal_lba.agent.window import Window
from fractal_lba.protocol import JsonValue, format_timestamp


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
        with span(self._hooks, Event.OBSERVE, {"shard_id": shard_id, "source": source}) as found:
            summarised = await self._lanes.run(Lane.COMPUTE, summarise, window, self._recipe)
            async with self._turn:
                await self.outbox.room()
                epoch = self.outbox.contents.next_epoch(shard_id, is_live=is_live)
                at_ms = now_ms(self._clock)
                skew_ms, is_jump = self._watch.skew_ms(at_ms, self._clock.monotonic_s())
                record = sign(
                    summarised,
                    self._recipe,
                    epoch=epoch,
                    shard_id=shard_id,
                    created_at=format_timestamp(at_ms),
                    skew_ms=skew_ms,
                    is_jump=is_jump,
                    meta={**summarised.window.meta, **(meta or {})},
                )
                if self._kept is not None:
                    await _to_its_end(
                        self._lanes.run(Lane.KEPT, self._kept.keep, summarised.window, record)
                    )
            # Nothing runs between the turn and the queue.
            found |= {"pcs_id": record.pcs_id, "epoch": epoch, "n": record.n, "d": record.d}
            told = WindowMeta(
                source=source, shard_id=shard_id, next_epoch=epoch + 1, position=window.after
            )
            with span(self._hooks, Event.APPEND, {"pcs_id": record.pcs_id}) as appended:
                seq = await self.outbox.append(told, record, has_room=True)
                appended["outbox_seq"] = seq
            self._tally.observed(record)
            self._tally.late_rows += window.late
        return Observed(
            pcs_id=record.pcs_id, shard_id=shard_id, epoch=epoch, outbox_seq=seq, n=record.n
        )


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
