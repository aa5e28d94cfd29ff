"""The shards of this process: opened at the start, and those that could not be, again and again.

One that cannot be opened (its disk is gone, its ledger unreadable) is fenced like one whose disk
failed later: its records answer 503, and the others are served. It is taken up without a restart.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NoReturn, TypeVar

from fractal_lba.protocol.errors import DurabilityError, LockedError
from fractal_lba.server.core.entry import Entry
from fractal_lba.server.core.known import Known, NotResolved, Place, RecordKey
from fractal_lba.server.core.listing import Bookmark, Page, Query
from fractal_lba.server.core.run import End, Verified
from fractal_lba.server.core.usage import Held
from fractal_lba.server.ports import Decisions, Listed, Loss, Meter

_StoreT = TypeVar("_StoreT")

_log = logging.getLogger(__name__)


class ClosedShard:
    """Fulfils ``ports.Decisions`` with a shard that could not be opened: nothing can be told.

    Args:
        name: The shard's.
        why: What opening it failed with.
    """

    losses: tuple[Loss, ...] = ()

    def __init__(self, name: str, why: str) -> None:
        self._why = f"{name}: expected to be opened, got {why}"

    @property
    def fenced_by(self) -> str | None:
        """See ``ports.Decisions.fenced_by``."""
        return self._why

    @property
    def fences(self) -> tuple[str, ...]:
        """See ``ports.Decisions.fences``."""
        return (self._why,)

    async def decide(self, run: Sequence[Verified]) -> list[End]:
        """See ``ports.Decisions.decide``."""
        return [DurabilityError(self._why) for _ in run]

    async def known(self, key: RecordKey) -> Known | None:  # noqa: ARG002 - as the port has it, here and below
        """See ``ports.Decisions.known``."""
        self._refuse()

    async def entry(self, key: RecordKey, place: Place) -> Entry:  # noqa: ARG002
        """See ``ports.Decisions.entry``."""
        self._refuse()

    async def list_records(
        self,
        tenant: str,  # noqa: ARG002
        query: Query,  # noqa: ARG002
        after: Bookmark,  # noqa: ARG002
        *,
        records_max: int,  # noqa: ARG002
    ) -> Page[Listed, Bookmark]:
        """See ``ports.Decisions.list_records``."""
        self._refuse()

    async def append_resolution(
        self,
        key: RecordKey,  # noqa: ARG002
        *,
        note: str,  # noqa: ARG002
        who: str,  # noqa: ARG002
    ) -> Known | NotResolved:
        """See ``ports.Decisions.append_resolution``."""
        self._refuse()

    async def usage(self, tenant: str, day: int) -> Held:  # noqa: ARG002
        """See ``ports.Decisions.usage``."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise DurabilityError(self._why)


class OwnShards(Generic[_StoreT]):
    """Those that this process decides for.

    Args:
        names: Theirs.
        opened: Opens one.
        decided: Returns what decides for one that is open.
        meter: Counts what cannot be opened, each time it is tried.

    Attributes:
        stores: Those that are open, by name.
        decisions: What decides for each, open or not, by name.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        opened: Callable[[str], Awaitable[_StoreT]],
        decided: Callable[[str, _StoreT], Decisions],
        meter: Meter,
    ) -> None:
        self._names = names
        self._opened = opened
        self._decided = decided
        self._meter = meter
        self._failed: dict[str, str] = {}
        self.stores: dict[str, _StoreT] = {}
        self.decisions: dict[str, Decisions] = {}

    async def open(self, *, is_alone: bool) -> None:
        """Open what can be opened.

        Args:
            is_alone: Whether there is no other process that has shards.

        Raises:
            LockedError: Another process has one.
            DurabilityError: Not one can be opened, and nobody else has any.
            OSError: As above.
        """
        first: DurabilityError | OSError | None = None
        for name in self._names:
            failure = await self._open(name)
            first = first or failure
        if is_alone and first is not None and not self.stores:
            raise first

    async def run(self, replaced: Callable[[str, Decisions], object], *, interval_s: float) -> None:
        """Try what is not open every ``interval_s`` seconds, until all are.

        Args:
            replaced: Takes each that is open by then.
            interval_s: Between two tries.
        """
        while self._failed:
            await asyncio.sleep(interval_s)
            for name in tuple(self._failed):
                if await self._open(name) is None:
                    _log.info("shard opened", extra={"stream": name})
                    replaced(name, self.decisions[name])

    async def _open(self, name: str) -> DurabilityError | OSError | None:
        """Open a shard; return what it failed with."""
        try:
            store = await self._opened(name)
        except (DurabilityError, OSError) as error:
            if isinstance(error, LockedError) and name not in self._failed:
                raise
            self._meter.wal_failed(stream=f"{name}/ledger")
            if self._failed.get(name) != str(error):  # said once, not with each try
                _log.error("shard not opened", extra={"stream": name, "error": str(error)})
                self._failed[name] = str(error)
                self.decisions[name] = ClosedShard(name, str(error))
            return error.with_traceback(None)  # its frames hold what was opened before it failed
        self._failed.pop(name, None)
        self.stores[name] = store
        self.decisions[name] = self._decided(name, store)
        return None
