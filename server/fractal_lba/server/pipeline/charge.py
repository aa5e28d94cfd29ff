"""Append what is new to one ledger, charged to its tenant before and settled after.

What is on its way into the ledger, and what may be there since an append failed, is added to what
the index holds: a tenant's day is never taken for emptier than it may be.
"""

import asyncio
from collections.abc import Sequence

from fractal_lba.protocol.errors import UnavailableError
from fractal_lba.server.charging import ChargeEnd, Quotas, Settle
from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.entry import Decision
from fractal_lba.server.core.known import Known
from fractal_lba.server.core.run import NewEntry
from fractal_lba.server.core.usage import NO_USAGE, Held, Usage, day_of, usage_of
from fractal_lba.server.ports import Shard

_Days = dict[tuple[str, int], Usage]


class Charged:
    """One ledger, whose new records cost their tenants something.

    Args:
        shard: The ledger.
        quotas: What each tenant may still send, over all shards.
    """

    def __init__(self, shard: Shard, *, quotas: Quotas) -> None:
        self._shard = shard
        self._quotas = quotas
        self._under_way: _Days = {}
        self._in_doubt: _Days = {}

    async def append(self, entries: Sequence[NewEntry]) -> list[Answer | Exception | None]:
        """Write entries, each decision within its tenant's quotas.

        Returns:
            For each ``None`` where it is on disk, the 429 of one that is over a quota, or what
            failed: an ``UnavailableError`` where the queue is full or the quotas cannot be told,
            and nothing was written; a ``DurabilityError`` where it may or may not be on disk.
        """
        tenants = {each.key.tenant for each in entries}
        concerned = {tenant for tenant in tenants if self._quotas.concerns(tenant)}
        charges = {
            at: usage_of(each.entry)
            for at, each in enumerate(entries if concerned else ())
            if isinstance(each.entry, Decision) and each.key.tenant in concerned
        }
        if not charges:
            return [_failure(end) for end in await self._shard.append(entries)]
        reserved = dict(
            zip(
                charges,
                await asyncio.gather(
                    *(self._reserve(entries[at], charge) for at, charge in charges.items()),
                    return_exceptions=True,
                ),
                strict=True,
            )
        )
        over = {at: end for at, end in reserved.items() if not callable(end)}
        within = [at for at in range(len(entries)) if at not in over]
        written: list[Known | Exception | None] = [None] * len(within)  # whatever ends it: in doubt
        try:
            written[:] = await self._shard.append([entries[at] for at in within])
        finally:
            for at, end in zip(within, written, strict=True):
                settle = reserved.get(at)
                if callable(settle):
                    self._settle(entries[at], charges[at], settle, end)
        ends = dict(zip(within, map(_failure, written), strict=True))
        return [ends[at] if at in ends else _end_of(over[at]) for at in range(len(entries))]

    async def _reserve(self, entry: NewEntry, charge: Usage) -> Answer | Settle:
        settle = await self._quotas.reserve(
            entry.key.tenant,
            charge,
            received_ns=entry.received_ns,
            is_recovered=entry.is_recovered,
        )
        if not isinstance(settle, Answer):
            _add(self._under_way, _day(entry), charge)
        return settle

    def _settle(
        self, entry: NewEntry, charge: Usage, settle: Settle, written: Known | Exception | None
    ) -> None:
        match written:
            case Known():
                end = ChargeEnd.KEPT
            case UnavailableError():
                end = ChargeEnd.NOT_WRITTEN
            case _:
                end = ChargeEnd.IN_DOUBT
                _add(self._in_doubt, _day(entry), charge)
        _add(self._under_way, _day(entry), NO_USAGE - charge)
        settle(end)

    def usage(self, tenant: str, day: int) -> Held:
        """Return what a tenant sent in a day: what is there, on its way there, or in doubt.

        Raises:
            DurabilityError: That cannot be told.
        """
        is_sound = self._shard.fenced_by is None
        if is_sound:
            self._in_doubt.clear()  # mended: the index holds what the ledger does
        used = sum(
            (each.get((tenant, day), NO_USAGE) for each in (self._under_way, self._in_doubt)),
            start=self._shard.usage(tenant, day),
        )
        return Held(used=used, is_exact=is_sound and (tenant, day) not in self._under_way)


def _day(entry: NewEntry) -> tuple[str, int]:
    return entry.key.tenant, day_of(entry.received_ns)


def _failure(end: Known | Exception | None) -> Exception | None:
    return end if isinstance(end, Exception) else None


def _end_of(over: Answer | BaseException) -> Answer | Exception:
    if isinstance(over, BaseException) and not isinstance(over, Exception):
        raise over
    return over


def _add(days: _Days, day: tuple[str, int], charge: Usage) -> None:
    days[day] = days.get(day, NO_USAGE) + charge
    if not days[day].records:
        del days[day]
