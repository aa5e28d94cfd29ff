"""The agent: observe, summarise, sign, keep, ship.

A window of a source becomes a signed record; the record is on disk before anything is sent; it is
sent until its answer is final. Decisions are pure (``window``, ``record``, ``verdict``,
``frames``), effects happen in a written order (``keeper``, ``shipper``) through ports, and
``session`` puts them together, for the command (``run``) and for programs.

Public surface, for programs: ``Agent`` (asyncio) and ``SyncAgent`` (threads) with their
``AgentOptions``; what they return (``Observed``, ``Pending``, ``RowStream``, ``SyncRowStream``),
take (``Rows``) and tell (``Outcome`` with its ``Fate`` to a ``Callback``; ``Hooks`` of an ``Event``
and each ``Attribute``); ``OutboxBounds`` (``WhenFull``) and ``Keeping`` (``WhenKept``) for how much
is kept; and what they raise, each a ``FractalError``: ``ContractError``, ``DurabilityError``,
``LockedError``, ``OutboxFullError``, ``KeptFullError``, ``GaveUpError``.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractal_lba.agent.api import Agent, Pending
    from fractal_lba.agent.blocking import SyncAgent, SyncRowStream
    from fractal_lba.agent.bounds import OutboxBounds, OutboxFullError, WhenFull
    from fractal_lba.agent.feeding import Rows, RowStream
    from fractal_lba.agent.hooks import Attribute, Event, Hooks
    from fractal_lba.agent.keeper import Observed
    from fractal_lba.agent.kept import Keeping, KeptFullError, WhenKept
    from fractal_lba.agent.options import AgentOptions, Callback
    from fractal_lba.agent.outcome import Outcome
    from fractal_lba.agent.session import GaveUpError
    from fractal_lba.agent.verdict import Fate
    from fractal_lba.protocol import ContractError, DurabilityError, FractalError, LockedError

__all__ = [
    "Agent",
    "AgentOptions",
    "Attribute",
    "Callback",
    "ContractError",
    "DurabilityError",
    "Event",
    "Fate",
    "FractalError",
    "GaveUpError",
    "Hooks",
    "Keeping",
    "KeptFullError",
    "LockedError",
    "Observed",
    "OutboxBounds",
    "OutboxFullError",
    "Outcome",
    "Pending",
    "RowStream",
    "Rows",
    "SyncAgent",
    "SyncRowStream",
    "WhenFull",
    "WhenKept",
]

_PROTOCOL = "fractal_lba.protocol"

_HOMES = {
    "Agent": f"{__name__}.api",
    "AgentOptions": f"{__name__}.options",
    "Attribute": f"{__name__}.hooks",
    "Callback": f"{__name__}.options",
    "ContractError": _PROTOCOL,
    "DurabilityError": _PROTOCOL,
    "Event": f"{__name__}.hooks",
    "Fate": f"{__name__}.verdict",
    "FractalError": _PROTOCOL,
    "GaveUpError": f"{__name__}.session",
    "Hooks": f"{__name__}.hooks",
    "Keeping": f"{__name__}.kept",
    "KeptFullError": f"{__name__}.kept",
    "LockedError": _PROTOCOL,
    "Observed": f"{__name__}.keeper",
    "OutboxBounds": f"{__name__}.bounds",
    "OutboxFullError": f"{__name__}.bounds",
    "Outcome": f"{__name__}.outcome",
    "Pending": f"{__name__}.api",
    "RowStream": f"{__name__}.feeding",
    "Rows": f"{__name__}.feeding",
    "SyncAgent": f"{__name__}.blocking",
    "SyncRowStream": f"{__name__}.blocking",
    "WhenFull": f"{__name__}.bounds",
    "WhenKept": f"{__name__}.kept",
}


def __getattr__(name: str) -> object:
    """Import what is asked for.

    Not before: the command says in words which extra is missing, and must be loaded without it.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - a rare path, and no name of this module

    return getattr(import_module(_HOMES[name]), name)
