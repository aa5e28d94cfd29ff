"""Folders in memory, for tests that lose nothing without a device: its syncs cost nothing."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FREE_BYTES_MIN: Final = 1 << 30
"""A server takes nothing where less than its ``disk_free_bytes_min`` is free."""


def memory_folder() -> Path | None:
    """Return where files live in memory, if anywhere."""
    shared = Path("/dev/shm")  # noqa: S108  # only the place; folders in it get unguessable names
    if not os.access(shared, os.W_OK):
        return None
    return shared if shutil.disk_usage(shared).free >= FREE_BYTES_MIN else None


@contextlib.contextmanager
def folder_in_memory() -> Iterator[Path]:
    """Give a folder that is removed afterwards; in memory where the machine has such a place."""
    with tempfile.TemporaryDirectory(prefix="flba-", dir=memory_folder()) as name:
        yield Path(name)
