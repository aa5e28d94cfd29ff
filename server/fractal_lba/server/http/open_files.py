"""The files that a process may have open: every connection is one of them."""

import resource
from contextlib import suppress

from fractal_lba.protocol.errors import ContractError

OTHERS_MAX = 256
"""Segments, index, log, libraries: what the server has open beside its connections."""


def allow_open_files(connections_max: int) -> None:
    """Raise the soft limit of this process to what so many connections need.

    A log that cannot open its next segment is fenced: without this, idle connections could do that.

    Raises:
        ContractError: The hard limit is lower; nothing was changed.
    """
    needed = connections_max + OTHERS_MAX
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard == resource.RLIM_INFINITY or hard >= needed:
        with suppress(ValueError, OSError):  # a system may have a lower limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
            return
    raise ContractError(
        f"connections_max: expected at most {max(0, hard - OTHERS_MAX)}, which {hard} open files"
        f" allow (ulimit -Hn), got {connections_max}"
    )
