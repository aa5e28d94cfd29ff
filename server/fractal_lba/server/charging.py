"""What a tenant may still send, as whoever decides asks for it.

What is asked of a tenant is asked over all its shards, so one place counts for all of them: in this
process, or in the worker that keeps the tenant's quotas.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.usage import Usage


class ChargeEnd(StrEnum):
    """What became of a record that was charged."""

    KEPT = "kept"
    NOT_WRITTEN = "not_written"
    IN_DOUBT = "in_doubt"
    """It may or may not be in a ledger; its shard says so once it is mended."""


Settle = Callable[[ChargeEnd], None]
"""Says what became of a charge; it is called once."""


class Quotas(Protocol):
    """What each tenant may still send: one place for all shards, in this process or another."""

    def concerns(self, tenant: str) -> bool:
        """Tell whether anything is asked of a tenant; else nothing of it is reserved."""
        ...

    async def reserve(
        self, tenant: str, charge: Usage, *, received_ns: int, is_recovered: bool
    ) -> Answer | Settle:
        """Return the 429 of a new record that is over a quota, or charge it until it is settled.

        A body that was left open and is settled later is charged to the day of its receipt, and is
        not asked for the rate, which it met when it was received.

        Raises:
            DurabilityError: What was sent before cannot be told.
            UnavailableError: Nor can it be told now; nothing was charged.
        """
        ...
