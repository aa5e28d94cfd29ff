"""Whose a folder is: files that another user leaves in it end the program it belongs to."""

import os
from pathlib import Path

from fractal_lba.protocol.errors import ContractError


def check_writer(folder: Path) -> None:
    """Check that a folder is of the user who is about to write to it.

    Raises:
        ContractError: It is somebody else's, who could not read what would be written.
    """
    owner, writer = folder.stat().st_uid, os.geteuid()
    if owner != writer:
        raise ContractError(
            f"{folder}: expected to be run by its owner, user {owner}, got user {writer}"
            " (runuser -u NAME -- ...)"
        )
