"""What simulated worlds came to: events, and faults by kind."""

import errno
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Self

from tests.support.power_cut import KINDS as DISK_KINDS
from tests.support.troubled_network import Trouble

ERRORS: Final = (errno.EIO, errno.ENOSPC, errno.EDQUOT)
"""What a call of a disk may fail with."""

OFTEN: Final = (
    *(errno.errorcode[error] for error in ERRORS),
    "server killed",
    "server at an effect",
    "server at an await",
    "server drained",
    "server restarted while it drains",
    "server started beside another",
    "server's clock jumped",
    "number of workers changed",
    "worker killed alone",
    "worker at an effect",
    "worker at an await",
    "worker stopped",
    "worker killed for it hung",
    "workers replaced",
    "supervisor killed alone",
    "worker ended by the kernel",
    "peers: connection lost",
    "peers: slow",
    "power cut of the server",
    "index of an earlier commit",
    "index gone",
    "agent killed",
    "agent at an effect",
    "agent at an await",
    "agent's clock jumped",
    "power cut of an agent",
    "folder of an agent lost",
    "key rotated",
    "tenant over its day",
    "parameters changed",
    "a day passed over an open body",
    "record forgotten",
    "ledger let go of a segment",
    "sent: again, days later",
    "write lost",
    "write torn at a byte",
    "write torn by sectors",
    "later change kept, earlier one lost",
    *(f"network: {trouble}" for trouble in Trouble),
    *(f"sent: {kind}" for kind in ("new", "conflict", "forged", "forged alone", "short")),
)
"""What a hundred seeds meet."""

KINDS: Final = (
    *OFTEN,
    "a day passed",
    "the day had not passed",
    *DISK_KINDS,
    "request doubled",
    "request late",
    "answer cut",
    "peers: bytes lost",
    "peers: writer paused",
)
"""What a thousand do."""


@dataclass
class Lived:
    """What a seed came to, or several.

    Attributes:
        trace: Every event of one, with its time.
        events: How many in all.
        happened: Faults by kind.
    """

    trace: list[str] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)
    events: int = 0

    def __iadd__(self, other: "Lived") -> Self:
        """Add what another came to, but for its trace."""
        self.happened += other.happened
        self.events += other.events
        return self

    @property
    def digest(self) -> str:
        """What two runs of a seed have in common."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()


def kinds_missing(happened: Counter[str]) -> list[str]:
    """Return the kinds of faults that never came to anything."""
    return [kind for kind in KINDS if not happened[kind]]


def summary(lived: Lived) -> str:
    """Say in one line what seeds came to."""
    counts = ", ".join(f"{name} {count}" for name, count in sorted(lived.happened.items()))
    return f"{lived.events} events: {counts}"
