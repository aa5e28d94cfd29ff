"""numpy's buffers, out of the way.

Where an operand is stretched over an axis (a row's smallest value over the row), numpy copies it
into a buffer as long as the rows are short enough, and works from there: two to three times the
time of the operation itself. No result depends on it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np

# The smallest there is: no row worth the name fits.
_BUFFER_VALUES: Final = 16


@contextmanager
def without_buffers() -> Iterator[None]:
    """Let numpy stretch operands in place inside the block; the caller's setting comes back."""
    with np.errstate():  # its scope holds the size of the buffer too
        np.setbufsize(_BUFFER_VALUES)
        yield
