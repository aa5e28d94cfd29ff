"""Somebody who calls, as the keyring knows them."""

from dataclasses import dataclass
from typing import NamedTuple

from fractal_lba.protocol.keyring import Keyring, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody the keyring knows: whose records they may touch, and what they may do.

    ``name`` tells callers of one tenant apart and gives no secret away.
    """

    name: str
    tenant: str
    scopes: frozenset[Scope]


class Identified(NamedTuple):
    """Who one connection's requests are of, as long as they and the keyring say the same."""

    keyring: Keyring | None
    header: str | None
    caller: Caller | None


NOBODY = Identified(None, None, None)
"""Of a connection on which no one was identified yet."""
