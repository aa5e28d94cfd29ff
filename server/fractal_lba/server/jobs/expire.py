"""Forget what is due, now and then, and let go of what nobody remembers any more.

Only beside the requests, never in a recovery, and not while anything is open or fenced: a body that
was received before a deadline is settled as if it had come in time. A look forgets in steps, each
of which keeps the ledger busy for some tens of milliseconds, and waits as long between them.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.server.ports import Clock

_PAUSE_S_MIN: Final = 0.01

_log = logging.getLogger(__name__)


class Forgetful(Protocol):
    """A shard that forgets; see ``storage.shard``."""

    async def forget(self, *, now_ns: int, at_s: float, records_max: int) -> tuple[int, float]:
        """Forget what is due, at most so many; return how many, and how far behind it is."""
        ...

    async def let_go(self) -> int:
        """Remove what holds only what was forgotten by the last look; return its bytes."""
        ...


class ForgettingMeter(Protocol):
    """Counts what is forgotten."""

    def forgot(self, records: int) -> None:
        """Count records that were forgotten."""
        ...

    def forgetting_is_behind(self, seconds: float) -> None:
        """Note by how much forgetting is behind the clock."""
        ...

    def ledger_removed(self, size: int) -> None:
        """Count bytes of a ledger that were removed."""
        ...


class Expirer:
    """Forgets in the shards of one process.

    Args:
        shards: Those, by name.
        may_forget: Whether nothing is open or fenced.
        clock: Read at each step.
        interval_s: Between two looks; the first is that long after the start.
        records_max: Forgotten in one step.
        meter: Counts.
        monotonic: Seconds.
    """

    def __init__(  # noqa: PLR0913 - each is a setting or a port of its own, named at the call
        self,
        shards: Mapping[str, Forgetful],
        *,
        may_forget: Callable[[], bool],
        clock: Clock,
        interval_s: float,
        records_max: int,
        meter: ForgettingMeter,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shards = shards
        self._may_forget = may_forget
        self._clock = clock
        self._interval_s = interval_s
        self._records_max = records_max
        self._meter = meter
        self._monotonic = monotonic

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.look()

    async def look(self) -> int:
        """Forget everything that is due, and return how many records that were."""
        count = 0
        behind_s = 0.0
        for name, shard in tuple(self._shards.items()):  # one may be opened meanwhile
            try:
                of_shard, shard_behind_s = await self._forget(shard)
                removed_bytes = await shard.let_go() if self._may_forget() else 0
            except DurabilityError as error:
                _log.warning("not forgotten", extra={"stream": name, "error": str(error)})
                continue
            count += of_shard
            behind_s = max(behind_s, shard_behind_s)
            if of_shard or removed_bytes:
                _log.info(
                    "forgotten", extra={"stream": name, "count": of_shard, "bytes": removed_bytes}
                )
            self._meter.ledger_removed(removed_bytes)
        self._meter.forgetting_is_behind(behind_s)
        return count

    async def _forget(self, shard: Forgetful) -> tuple[int, float]:
        count = 0
        behind_s = 0.0
        while self._may_forget():
            started_s = self._monotonic()
            step, behind_s = await shard.forget(
                now_ns=self._clock(), at_s=started_s, records_max=self._records_max
            )
            self._meter.forgot(step)
            count += step
            if step < self._records_max:
                break
            await asyncio.sleep(max(_PAUSE_S_MIN, self._monotonic() - started_s))
        return count, behind_s
