"""The files that a process may have open: every connection is one of them."""

import resource
from contextlib import suppress

from fractal_lba.protocol.errors import ContractError

OTHERS_MAX = 256
"""Inbox, log, other workers, libraries: what the server has open beside connections and shards."""
SHARD_MAX = 8
"""Its segment, its lock, its index with that one's lock, and what a reader or a recovery opens."""


def allow_open_files(connections_max: int, *, shards: int) -> None:
    """Raise the soft limit of this process to what so many connections and shards need.

    A log that cannot open its next segment is fenced: without this, idle connections could do that.

    Raises:
        ContractError: The hard limit is lower; nothing was changed.
    """
    others = OTHERS_MAX + shards * SHARD_MAX
    needed = connections_max + others
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard == resource.RLIM_INFINITY or hard >= needed:
        with suppress(ValueError, OSError):  # a system may have a lower limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
            return
    raise ContractError(
        f"connections_max: expected at most {max(0, hard - others)}, which {hard} open files"
        f" allow (ulimit -Hn), got {connections_max}"
    )
