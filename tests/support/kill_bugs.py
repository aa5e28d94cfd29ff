"""Known bugs that kills bring to light, each put into a process before it starts.

A kill takes from a process what it had in its memory alone; what it had given to the operating
system stays. So a forgotten sync is found by power cuts, and a forgotten write here.
"""

from collections.abc import Callable
from typing import Any, Final

import pytest
from tests.support.planted_bugs import note_an_answer_before_it_came

from fractal_lba.wal.disk import RealFile

_KEPT_BYTES: Final = 100_000


def keep_writes() -> None:
    """Write files through a buffer that nobody flushes before it is full."""
    kept: dict[int, list[tuple[int, bytes]]] = {}
    write = RealFile.write_at

    def flush(file: RealFile) -> None:
        for offset, data in kept.pop(id(file), []):
            write(file, offset, data)

    def write_at(self: RealFile, offset: int, data: bytes) -> None:
        kept.setdefault(id(self), []).append((offset, bytes(data)))
        if sum(len(each) for _, each in kept[id(self)]) >= _KEPT_BYTES:
            flush(self)

    def flushing(sound: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: RealFile, *given: object) -> object:
            flush(self)
            return sound(self, *given)

        return call

    patch = pytest.MonkeyPatch()  # for as long as the process lives
    patch.setattr(RealFile, "write_at", write_at)
    for name in ("read_at", "size", "truncate", "close"):
        patch.setattr(RealFile, name, flushing(getattr(RealFile, name)))


def note_answers_early() -> None:
    """Take a window for answered when it is sent."""
    note_an_answer_before_it_came(pytest.MonkeyPatch())
