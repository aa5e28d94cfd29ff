"""Gathering: the windows that a source has at hand, so that they are kept together.

What one read brings may be many small windows. They are as many as one append takes, of so many
bytes, and no longer in coming than a moment: a window that is large or slow to read is kept when it
is cut.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from fractal_lba.agent.bounds import CALL_RECORDS_MAX
from fractal_lba.agent.ports import Clock
from fractal_lba.agent.window import Window
from fractal_lba.protocol import ContractError

TOGETHER_MAX = CALL_RECORDS_MAX
TOGETHER_BYTES_MAX = 1 << 20
TOGETHER_S_MAX = 0.1


@dataclass(slots=True)
class Gathered:
    """What was at hand.

    Attributes:
        windows: In their order.
        size: Bytes of their data.
        is_end: The source has no more.
        failure: Why nothing more can be read; what was read before stands.
    """

    windows: list[Window] = field(default_factory=list)
    size: int = 0
    is_end: bool = False
    failure: ContractError | None = None

    def add(self, window: Window) -> None:
        """Take another one."""
        data = window.data
        self.windows.append(window)
        self.size += len(data) if isinstance(data, bytes) else data.nbytes

    def is_enough(self, count_max: int) -> bool:
        """Tell whether these are to be kept before another is cut."""
        return len(self.windows) >= count_max or self.size >= TOGETHER_BYTES_MAX


def gather(pieces: Iterator[Window | None], *, room: int, clock: Clock) -> Gathered:
    """Read the windows that are at hand; blocks for at least one piece.

    Args:
        pieces: Where they come from; None says that there is nothing yet.
        room: How many the outbox has room for, 1 where it may have none.
        clock: Tells when a moment is over.
    """
    gathered = Gathered()
    due_s = clock.monotonic_s() + TOGETHER_S_MAX
    try:
        while not gathered.is_enough(room):
            piece = next(pieces)
            if piece is None:
                break
            gathered.add(piece)
            if clock.monotonic_s() >= due_s:
                break
    except StopIteration:
        gathered.is_end = True
    except ContractError as error:
        gathered.failure = error
    return gathered
