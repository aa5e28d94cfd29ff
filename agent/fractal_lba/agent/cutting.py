"""Cutting: units that come one after the other and cannot be read again, into windows.

By count the rules are those of ``window``. By time a window holds what arrived in one period, the
periods being multiples of their length since 1970; one that holds fewer than 3 units goes on into
the next, and one that holds 65,536 ends there. Pure: the time is an argument.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fractal_lba.agent.window import UNITS_MAX, UNITS_MIN, next_cut
from fractal_lba.protocol import Profile

Units = Sequence[Sequence[float]] | bytes


class Cutter:
    """Units at hand that no window holds yet."""

    def __init__(self, profile: Profile, window: int, *, period_s: float | None = None) -> None:
        """Begin with none.

        Args:
            profile: ``points/1`` takes rows, ``bytes/1`` bytes.
            window: Units of a window.
            period_s: Seconds of a window, which then takes up to 65,536 units; None to count.
        """
        self._rows: list[Sequence[float]] | bytearray = (
            bytearray() if profile is Profile.BYTES else []
        )
        self._window = window
        self._period_s = period_s
        self._period = 0

    def add(self, units: Units, *, now_s: float) -> None:
        """Take units that arrived now, seconds since 1970; ``cut`` was called until it gave None.

        With a period they belong to the one that is now.
        """
        if self._period_s is not None and not self._rows:
            self._period = int(now_s // self._period_s)
        if isinstance(self._rows, list):
            self._rows += [row for row in units if not isinstance(row, int)]
        elif isinstance(units, bytes):
            self._rows += units

    def cut(self, *, now_s: float, is_end: bool) -> NDArray[np.float64] | bytes | None:
        """Return the next window, None where there is none yet.

        Args:
            now_s: Seconds since 1970, those of the units that are added next.
            is_end: Nothing will be added.
        """
        data = self.ready(now_s=now_s, is_end=is_end)
        if data is not None:
            self.drop(len(data), now_s=now_s)
        return data

    def ready(self, *, now_s: float, is_end: bool) -> NDArray[np.float64] | bytes | None:
        """Return what ``cut`` would, and leave it here."""
        taken = self._cut_at(now_s, is_end=is_end)
        if not taken:
            return None
        units = self._rows[:taken]
        return bytes(units) if isinstance(units, bytearray) else np.array(units, dtype=np.float64)

    def drop(self, count: int, *, now_s: float) -> None:
        """Let go of the first units, which a window holds since ``now_s``."""
        del self._rows[:count]
        if self._period_s is not None:
            self._period = int(now_s // self._period_s)

    def take_back(self) -> None:
        """Let go of the unit that was added last."""
        del self._rows[-1]

    def due_s(self) -> float | None:
        """Return when a window ends by time alone; None where none does."""
        if self._period_s is None or len(self._rows) < UNITS_MIN:
            return None
        return (self._period + 1) * self._period_s

    @property
    def left(self) -> int:
        """How many units no window holds."""
        return len(self._rows)

    def _cut_at(self, now_s: float, *, is_end: bool) -> int:
        count = len(self._rows)
        if self._period_s is None:
            return next_cut(count, self._window, is_end=is_end)
        if count >= UNITS_MAX + UNITS_MIN:
            return UNITS_MAX
        is_over = is_end or int(now_s // self._period_s) > self._period
        return next_cut(count, UNITS_MAX, is_end=is_over)
