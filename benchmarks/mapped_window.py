"""Summarise a mapped ``.npy`` file and print the MiB of anonymous memory it took at its highest.

A process of its own, so that nothing else is measured. Pages of the mapped file are the system's
and can be dropped; anonymous ones cannot. Linux alone.
"""

import sys
import threading
from pathlib import Path
from typing import Final

import numpy as np

from fractal_lba.signals import summarise_points

MIB: Final = 1 << 20
# A temporary that lives for less than this is taken from memory that was there before.
EVERY_S: Final = 0.002


def anonymous_bytes() -> int:
    """Return the anonymous memory of this process, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("RssAnon: expected it in /proc/self/status, got a system without it")


def main(path: str) -> None:
    """Measure."""
    window = np.load(path, mmap_mode="r")
    summarise_points(np.zeros((3, 4)))  # what the first call alone takes is no matter of size
    begin = highest = anonymous_bytes()
    is_done = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not is_done.wait(EVERY_S):
            highest = max(highest, anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    summarise_points(window)
    is_done.set()
    watcher.join()
    print((highest - begin) / MIB)


if __name__ == "__main__":
    main(*sys.argv[1:])
