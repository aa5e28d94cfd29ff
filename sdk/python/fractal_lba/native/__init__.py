"""Native code of our own, where it was built: the Rust SDK's core, asked for a run at a time.

`make native` builds it. Without it everything is done in Python, with the same values and the same
bytes. ``FLBA_NATIVE`` in the environment: ``0`` leaves it aside, ``1`` makes its absence an error;
anything else takes it where it is.
"""

import os

from fractal_lba.native.loading import load

NATIVE, WHY_NOT = load(os.environ.get("FLBA_NATIVE", ""))
"""What was built, or None and why not."""

__all__ = ["NATIVE", "WHY_NOT"]
