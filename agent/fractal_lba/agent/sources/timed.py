"""Windows of time over rows that say when they were: tumbling, with late rows counted.

A window holds the rows of one period, the periods being multiples of their length since 1970. It
ends when a row is read that is later than its end by the allowed lateness, and 3 rows or more are
in windows behind it, so that whatever comes next, the end too, can be summarised. Pure, but for
what it remembers. The rules:

- a row whose window has ended is late: it is put into the one behind the last that ended, whose
  record counts it, so that no row is dropped and none is in two windows;
- a window of fewer than 3 rows goes on into the next one that has rows; at the end of a file the
  last one goes into the one before it;
- a window of more than 65,536 rows is refused.

A position behind a window says how far was read and up to which time windows have ended: of what
is read again, the rows before both are in windows already.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from fractal_lba.agent.sources.row import Row
from fractal_lba.agent.window import UNITS_MAX, UNITS_MIN, SourcePosition
from fractal_lba.protocol import ContractError, format_timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How rows are cut by their times.

    Attributes:
        column: Holds them: seconds since 1970, or RFC 3339 with an offset.
        period_ms: Milliseconds of a window.
        lateness_ms: A window waits for so long for rows of its period, in the time of the rows.
    """

    column: str
    period_ms: int
    lateness_ms: int


class _Held(NamedTuple):
    row: Row
    number: int
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedCut:
    """A window that ended.

    Attributes:
        rows: In the order in which they were read.
        first: Number of its first row in the file, from 1.
        start_ms: Its first period's beginning.
        end_ms: Its last period's end.
        late: Rows that belong to windows before it.
        low: Where the first row begins that no window holds.
        low_units: Rows before that.
        read_to: Where reading is.
        closed_until_ms: Windows before that have ended.
    """

    rows: list[Row]
    first: int
    start_ms: int
    end_ms: int
    late: int
    low: int
    low_units: int
    read_to: int
    closed_until_ms: int


class TimedCutter:
    """The windows that have not ended."""

    def __init__(
        self, timing: Timing, after: SourcePosition | None, *, start: int, name: str
    ) -> None:
        """Go on behind a position.

        Args:
            timing: How to cut.
            after: The position; None for the beginning.
            start: Where the next row begins.
            name: The source's, for messages.
        """
        self._timing = timing
        self._name = name
        self._open: dict[int, list[_Held]] = {}
        self._late: dict[int, int] = {}
        self._since: dict[int, int] = {}
        self._until: dict[int, int] = {}
        self._closed: int | None = None
        self._read_to = 0
        self._number = 0
        self._at = start
        self._watermark_ms = 0
        if after is not None:
            self._number = after.units
            if after.closed_until_ms is not None:
                self._closed = -(-after.closed_until_ms // timing.period_ms)
                self._read_to = after.read_to or 0

    @property
    def is_fresh(self) -> bool:
        """Whether no window has ended yet."""
        return self._closed is None

    @property
    def left(self) -> int:
        """Rows that no window holds."""
        return sum(map(len, self._open.values()))

    def add(self, row: Row) -> Iterator[TimedCut]:
        """Take a row, and yield the windows that end with it.

        Raises:
            ContractError: Its window has too many rows; the windows yielded before stand.
        """
        self._number += 1
        held = _Held(row, self._number, self._at)
        self._at = row.end
        period = row.time_ms // self._timing.period_ms
        if self._closed is not None and period < self._closed:
            if row.end <= self._read_to:
                return  # in a window already
            # Not the oldest that has rows: one before it may get some yet, and end first.
            period = self._closed
            self._late[period] = self._late.get(period, 0) + 1
        rows = self._open.setdefault(period, [])
        rows.append(held)
        if len(rows) > UNITS_MAX:
            raise ContractError(
                f"{self._name}: window of {self._time(period)}: expected at most {UNITS_MAX} rows,"
                " got more: choose a shorter --window-seconds"
            )
        self._watermark_ms = max(self._watermark_ms, row.time_ms - self._timing.lateness_ms)
        ended = self._watermark_ms // self._timing.period_ms
        while self._open and min(self._open) < ended and self._are_enough_behind():
            if (cut := self._end(min(self._open), max(self._open))) is not None:
                yield cut

    def end(self) -> Iterator[TimedCut]:
        """End every window, as the file ends: nothing of fewer than 3 rows but in the only one."""
        periods = sorted(self._open)
        while len(periods) > 1 and len(self._open[periods[-1]]) < UNITS_MIN:
            last = periods.pop()
            self._until[periods[-1]] = self._until.pop(last, last)
            self._carry(last, periods[-1])
        while self._open and self.left >= UNITS_MIN:
            if (cut := self._end(min(self._open), max(self._open))) is not None:
                yield cut

    def _are_enough_behind(self) -> bool:
        """Return whether what is left behind the oldest window makes a window by itself."""
        return self.left - len(self._open[min(self._open)]) >= UNITS_MIN

    def _end(self, period: int, last: int) -> TimedCut | None:
        until = self._until.pop(period, period)
        self._closed = until + 1
        if len(self._open[period]) < UNITS_MIN and period < last:
            following = min(each for each in self._open if each > period)
            # No window between them may get rows and end first: these would be read over then.
            self._closed = following
            self._since[following] = self._since.pop(period, period)
            self._carry(period, following)
            return None
        rows = self._open.pop(period)
        rows.sort(key=lambda held: held.number)
        low = min(
            (held for each in self._open.values() for held in each),
            key=lambda held: held.number,
            default=None,
        )
        return TimedCut(
            rows=[held.row for held in rows],
            first=rows[0].number,
            start_ms=self._since.pop(period, period) * self._timing.period_ms,
            end_ms=(until + 1) * self._timing.period_ms,
            late=self._late.pop(period, 0),
            low=self._at if low is None else low.start,
            low_units=self._number if low is None else low.number - 1,
            read_to=self._at,
            closed_until_ms=self._closed * self._timing.period_ms,
        )

    def _carry(self, period: int, to: int) -> None:
        self._open[to] = self._open.pop(period) + self._open[to]
        if late := self._late.pop(period, 0):
            self._late[to] = self._late.get(to, 0) + late

    def _time(self, period: int) -> str:
        return format_timestamp(period * self._timing.period_ms)


def time_ms(value: str | float) -> int | None:
    """Return a time in milliseconds since 1970; None where it is none.

    Args:
        value: Seconds since 1970, or RFC 3339 with an offset.
    """
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value.strip())
            if at.tzinfo is None:
                return None
            found = round((at.astimezone(UTC) - _EPOCH).total_seconds() * 1000)
        else:
            found = round(value * 1000)
    except (ValueError, OverflowError):
        return None
    return found if 0 <= found <= _TIME_MS_MAX else None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The end of the year 9999, as in a record.
_TIME_MS_MAX = 253_402_300_799_999
