"""What is needed to find the bodies that end the processes which judge them."""

from collections.abc import Sequence
from typing import Protocol

from fractal_lba.server.ports import InboxFrame


class Judging(Protocol):
    """Which bodies of an inbox are being judged, noted on disk, and what is known to be poison."""

    @property
    def suspects(self) -> frozenset[int]:
        """The bodies of the run that an earlier process did not come to the end of."""
        ...

    def is_poison(self, body: bytes) -> bool:
        """Tell whether a body, or a record in a batch, ended processes before."""
        ...

    async def begin(self, seqs: Sequence[int]) -> None:
        """Note a run of bodies, in place of the last one, before it is judged.

        Raises:
            DurabilityError: The note may or may not be on disk.
        """
        ...

    async def end(self) -> None:
        """Note that nothing is being judged.

        Raises:
            DurabilityError: As ``begin``.
        """
        ...

    async def clear(self, bodies: Sequence[bytes]) -> None:
        """Note what was found to be poison among the suspects; the others are none any more.

        Raises:
            DurabilityError: As ``begin``; nothing is cleared.
        """
        ...


class Trial(Protocol):
    """A process that may end."""

    async def __call__(self, frames: Sequence[InboxFrame], /) -> list[bytes]:
        """Return those bodies, or records in batches, that end a process that judges them."""
        ...
