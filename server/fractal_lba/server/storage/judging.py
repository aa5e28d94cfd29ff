"""The note beside an inbox: which bodies are being judged, and what is known to be poison.

A small file that is replaced whole. It is the server's own: without it the next start judges what
is open once more, and poison ends a process again before it is known. The notes beside other
inboxes are read and not written: what ended one worker twice ends no other.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from fractal_lba.keyfile import write_private
from fractal_lba.protocol.errors import ContractError, CorruptionError, DurabilityError
from fractal_lba.server.core import names
from fractal_lba.server.core.answer import timestamp
from fractal_lba.server.core.poison import (
    POISON_MAX,
    Note,
    Poison,
    decode_note,
    digest_of,
    encode_note,
)
from fractal_lba.server.ports import Meter
from fractal_lba.wal import Disk

_log = logging.getLogger(__name__)


def read_note(disk: Disk, path: Path) -> Note:
    """Return what stands in a note, an empty one where there is none.

    Raises:
        ContractError: A newer program wrote it.
        CorruptionError: It is none.
        OSError: It cannot be read.
    """
    if path.name not in disk.names(path.parent):
        return Note()
    file = disk.open(path)
    try:
        return decode_note(file.read_at(0, file.size()))
    finally:
        file.close()


class Judging:
    """What is being judged and what is poison; see ``suspects.Judging``.

    Args:
        disk: Where the note is.
        path: Of the note.
        meter: Counts.
        clock: Nanoseconds since 1970.
    """

    def __init__(
        self,
        disk: Disk,
        path: Path,
        *,
        meter: Meter,
        clock: Callable[[], int],
    ) -> None:
        self._disk = disk
        self._path = path
        self._meter = meter
        self._clock = clock
        self._note = Note()
        self._digests: frozenset[str] = frozenset()
        self._of_others: frozenset[str] = frozenset()
        self.suspects: frozenset[int] = frozenset()

    async def load(self) -> None:
        """Read the note.

        Raises:
            ContractError: A newer program wrote it.
            DurabilityError: It cannot be read.
        """
        try:
            self._note = await asyncio.to_thread(read_note, self._disk, self._path)
        except CorruptionError as error:
            _log.error("note is damaged, and begun anew", extra={"error": str(error)})
        except OSError as error:
            raise DurabilityError(f"{self._path}: expected to read it, got {error}") from error
        self.suspects = frozenset(self._note.run)
        self._know()

    def is_poison(self, body: bytes) -> bool:
        """See ``suspects.Judging``."""
        if not self._digests and not self._of_others:
            return False
        digest = digest_of(body)
        return digest in self._digests or digest in self._of_others

    async def look_around(self) -> None:
        """Learn what the notes of other inboxes say to be poison.

        What cannot be read of them says nothing: their own processes tell of it.
        """
        with suppress(OSError):
            self._of_others = await asyncio.to_thread(self._noted_by_others)

    async def follow(self, *, interval_s: float) -> None:
        """Look around every ``interval_s`` seconds until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            await self.look_around()

    async def begin(self, seqs: Sequence[int]) -> None:
        """See ``suspects.Judging``."""
        await self._write(Note(run=tuple(seqs), poison=self._note.poison))

    async def end(self) -> None:
        """See ``suspects.Judging``."""
        if self._note.run:
            await self._write(Note(poison=self._note.poison))

    async def clear(self, bodies: Sequence[bytes]) -> None:
        """See ``suspects.Judging``."""
        noted_at = timestamp(self._clock())
        new = [
            Poison(sha256=digest_of(body), bytes=len(body), noted_at=noted_at)
            for body in bodies
            if not self.is_poison(body)
        ]
        if new:
            known = (*self._note.poison, *new)[-POISON_MAX:]
            await self._write(Note(run=self._note.run, poison=known))
            self._know()
        self.suspects = frozenset()
        for each in new:
            _log.error(
                "a body ended two processes and is set aside",
                extra={"sha256": each.sha256, "path": self._path.name},
            )

    def _noted_by_others(self) -> frozenset[str]:
        found: set[str] = set()
        folder = self._path.parent
        for name in self._disk.names(folder):
            if names.is_judging(name) and name != self._path.name:
                with suppress(ContractError, CorruptionError):
                    note = read_note(self._disk, folder / name)
                    found.update(each.sha256 for each in note.poison)
        return frozenset(found)

    def _know(self) -> None:
        self._digests = frozenset(each.sha256 for each in self._note.poison)
        self._meter.poison_known(len(self._digests))

    async def _write(self, note: Note) -> None:
        data = encode_note(note)
        try:
            await asyncio.to_thread(write_private, self._path, data, files=self._disk)
        except OSError as error:
            raise DurabilityError(f"{self._path}: expected to write it, got {error}") from error
        self._note = note
