"""What tells a changed file from the one that was loaded, without reading it."""

from pathlib import Path


def fingerprint(path: Path) -> tuple[int, int, int, int] | None:
    """Return what changes with a file's content, its mode or its owner; ``None`` of no file.

    A file refused for its mode is another one, by its change time, once the mode is right.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size
