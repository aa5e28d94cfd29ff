"""Append what is new to one ledger, charged to its tenant before and settled after.

What is on its way into the ledger, and what may be there since an append failed, is added to what
the index holds: a tenant's day is never taken for emptier than it may be.
"""

from fractal_lba.protocol.errors import UnavailableError
from fractal_lba.server.charging import ChargeEnd, Quotas
from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.entry import Decision
from fractal_lba.server.core.known import RecordKey
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

    async def append(
        self, key: RecordKey, decision: Decision, *, received_ns: int, is_recovered: bool
    ) -> Answer | None:
        """Write a decision within its tenant's quotas, or return the 429 of one that is over them.

        Raises:
            UnavailableError: The queue is full, or the quotas cannot be told; nothing was written.
            DurabilityError: It may or may not be on disk.
        """
        if not self._quotas.concerns(key.tenant):
            await self._shard.append(key, decision, received_ns=received_ns)
            return None
        charge = usage_of(decision)
        settle = await self._quotas.reserve(
            key.tenant, charge, received_ns=received_ns, is_recovered=is_recovered
        )
        if isinstance(settle, Answer):
            return settle
        day = (key.tenant, day_of(received_ns))
        end = ChargeEnd.IN_DOUBT  # whatever ends it but what follows
        _add(self._under_way, day, charge)
        try:
            await self._shard.append(key, decision, received_ns=received_ns)
            end = ChargeEnd.KEPT
        except UnavailableError:
            end = ChargeEnd.NOT_WRITTEN
            raise
        finally:
            _add(self._under_way, day, NO_USAGE - charge)
            if end is ChargeEnd.IN_DOUBT:
                _add(self._in_doubt, day, charge)
            settle(end)
        return None

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


def _add(days: _Days, day: tuple[str, int], charge: Usage) -> None:
    days[day] = days.get(day, NO_USAGE) + charge
    if not days[day].records:
        del days[day]
