"""The pace of refusals: a refusal is cheap and not free, and a flood of them slows everybody.

Who is refused before its body is read and asks again at once, whatever ``Retry-After`` says, waits
for the next refusal. So few connections may wait that they do not take those of others.
"""

import asyncio

from fractal_lba.server.core import admission
from fractal_lba.server.core.admission import Bucket, Rate
from fractal_lba.server.ports import Clock

WAITING_MAX = 256
"""Refusals that wait at once; one more is answered now, and its connection is closed."""


class Refusals:
    """The refusals of each owner (see ``lanes``).

    Args:
        per_s: Refusals a second of one owner, as many at once; 0 is no limit.
        monotonic: Nanoseconds of a clock that no one sets.
    """

    def __init__(self, per_s: float, *, monotonic: Clock) -> None:
        self._rate = Rate(per_s=per_s, burst=max(1.0, per_s))
        self._monotonic = monotonic
        self._buckets: dict[str, Bucket] = {}
        self._waiting = 0
        self._is_over = asyncio.Event()

    async def pace(self, owner: str) -> bool:
        """Return when the next refusal of an owner may be answered; false to hang up after it."""
        now_ns = self._monotonic()
        bucket = self._buckets.get(owner) or admission.full(self._rate, now_ns)
        bucket, wait_s = admission.take(bucket, self._rate, now_ns)
        if wait_s and self._waiting >= WAITING_MAX:
            return False
        # Who waits has taken what is not there yet: the next one waits for longer.
        self._buckets[owner] = admission.owe(bucket, self._rate, 1) if wait_s else bucket
        if not wait_s:
            return True
        self._waiting += 1
        try:
            async with asyncio.timeout(wait_s):
                await self._is_over.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting -= 1
        return True

    def end(self) -> None:
        """Let nobody wait any longer: the server drains."""
        self._is_over.set()
