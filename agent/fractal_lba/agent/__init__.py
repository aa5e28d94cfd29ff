"""The agent: observe, summarise, sign, keep, ship.

A window of a source becomes a signed record; the record is on disk before anything is sent; it is
sent until its answer is final. Decisions are pure (``window``, ``record``, ``verdict``,
``frames``), effects happen in a written order (``keeper``, ``shipper``) through ports, and
``session`` puts them together, for the command (``run``) and for programs.

Public surface, for programs: ``Agent`` (asyncio) and ``SyncAgent`` (threads), what they return
(``Observed``, ``Pending``) and tell (``Outcome`` with its ``Fate``; ``Hooks`` of an ``Event``), and
``OutboxBounds`` (``WhenFull``) with the error of a full one, and ``Keeping`` (``WhenKept``) for
what is kept of windows.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractal_lba.agent.api import Agent, Pending
    from fractal_lba.agent.blocking import SyncAgent
    from fractal_lba.agent.bounds import OutboxBounds, OutboxFullError, WhenFull
    from fractal_lba.agent.hooks import Event, Hooks
    from fractal_lba.agent.keeper import Observed
    from fractal_lba.agent.kept import Keeping, WhenKept
    from fractal_lba.agent.outcome import Outcome
    from fractal_lba.agent.verdict import Fate

__all__ = [
    "Agent",
    "Event",
    "Fate",
    "Hooks",
    "Keeping",
    "Observed",
    "OutboxBounds",
    "OutboxFullError",
    "Outcome",
    "Pending",
    "SyncAgent",
    "WhenFull",
    "WhenKept",
]

_HOMES = {
    "Agent": "api",
    "Event": "hooks",
    "Fate": "verdict",
    "Hooks": "hooks",
    "Keeping": "kept",
    "Observed": "keeper",
    "Outcome": "outcome",
    "OutboxBounds": "bounds",
    "OutboxFullError": "bounds",
    "Pending": "api",
    "SyncAgent": "blocking",
    "WhenFull": "bounds",
    "WhenKept": "kept",
}


def __getattr__(name: str) -> object:
    """Import what is asked for.

    Not before: the command says in words which extra is missing, and must be loaded without it.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - a rare path, and no name of this module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
