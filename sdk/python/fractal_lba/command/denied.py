"""Where a file is refused to a process: who asks, and whose the file is."""

import os
import pwd
from pathlib import Path


def denied(error: OSError, *paths: Path) -> str:
    """Return what the system said; of ``Permission denied`` with both users, never with a path.

    ``paths`` are asked for their owner, the first that can be.
    """
    said = error.strerror or "an error"
    if not isinstance(error, PermissionError):
        return said
    for path in paths:
        try:
            owner = path.stat().st_uid
        except (OSError, ValueError):  # the folder may be closed, too
            continue
        return f"{said}: runs as {user(os.geteuid())}, the file is of {user(owner)}"
    return f"{said}: runs as {user(os.geteuid())}"


def user(uid: int) -> str:
    """Return a user as ``name (uid 0)``, or as ``uid 0`` where this machine has no name for it."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"
