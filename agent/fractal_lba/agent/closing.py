"""Closing at the end of a block: what the block raised comes out, what closing met is a note."""

import contextlib
from collections.abc import Iterator

from fractal_lba.protocol import FractalError


@contextlib.contextmanager
def noted_on(error: BaseException | None, *failures: type[FractalError]) -> Iterator[None]:
    """Add a failure of the block as a note to an error that is on its way out, if there is one.

    Args:
        error: What leaves the block that is closed behind; None where nothing does.
        failures: Which ones; any other comes out by itself.
    """
    try:
        yield
    except failures as ours:
        if error is None:
            raise
        error.add_note(str(ours))
