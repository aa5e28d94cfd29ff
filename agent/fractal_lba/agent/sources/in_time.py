"""Windows of time over a feed of rows, of a table or of an array."""

from collections.abc import Generator

import numpy as np

from fractal_lba.agent.sources.base import check_length
from fractal_lba.agent.sources.row import Feed
from fractal_lba.agent.sources.timed import TimedCut, TimedCutter, Timing, time_ms
from fractal_lba.agent.window import SourcePosition, Window, check_points
from fractal_lba.protocol import ContractError, format_timestamp


def windows_in_time(  # noqa: PLR0913 - each by name
    feed: Feed,
    after: SourcePosition | None,
    timing: Timing,
    *,
    name: str,
    is_repairing: bool,
    is_growing: bool,
) -> Generator[Window, None, None]:
    """Yield the windows of time of the rows behind a position.

    Args:
        feed: Their rows, from there on.
        after: The position; None for the beginning.
        timing: How to cut.
        name: The source's, for messages.
        is_repairing: What is not finite stays, for whoever repairs it.
        is_growing: More rows may come: what has not ended stays.

    Raises:
        ContractError: A row cannot be read or summarised, a window has too many, or there are fewer
            than 3 in all; windows yielded until then stand.
    """
    cutter = TimedCutter(timing, after, start=feed.start, name=name)
    for row in feed.rows():
        for cut in cutter.add(row):
            yield _window_of(cut, feed, name=name, is_repairing=is_repairing)
    if is_growing:
        return
    for cut in cutter.end():
        yield _window_of(cut, feed, name=name, is_repairing=is_repairing)
    if after is None and cutter.is_fresh:
        check_length(name, cutter.left, unit="rows")


def check_counted(name: str, after: SourcePosition | None) -> None:
    """Check that a source was not read in windows of time.

    Raises:
        ContractError: It was; nothing was read.
    """
    if after is not None and after.closed_until_ms is not None:
        raise ContractError(
            f"{name}: was read in windows of time: expected them again, got a count of"
            " rows; use another data folder"
        )


def time_of(value: object, *, name: str, row: int) -> int:
    """Return a row's time in ms since 1970.

    Args:
        value: Seconds since 1970, or RFC 3339 with an offset.
        name: The source's, for the message.
        row: Its number, counted from 1.

    Raises:
        ContractError: It is none.
    """
    found = None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        found = time_ms(value)
    if found is None:
        raise ContractError(
            f"{name}: row {row}: expected a time, in seconds since 1970 or as"
            " 2026-11-21T20:00:00Z, got something else"
        )
    return found


def _window_of(cut: TimedCut, feed: Feed, *, name: str, is_repairing: bool) -> Window:
    points = np.array([row.values for row in cut.rows], dtype=np.float64)
    if not is_repairing:
        check_points(points, where=name, first_row=cut.first, columns=feed.columns)
    after = SourcePosition(
        offset=cut.low,
        units=cut.low_units,
        mark=feed.mark(cut.low),
        closed_until_ms=cut.closed_until_ms,
        read_to=cut.read_to,
    )
    meta: dict[str, str | int] = {
        "window_start": format_timestamp(cut.start_ms),
        "window_end": format_timestamp(cut.end_ms),
    }
    if cut.late:
        meta["window_late"] = cut.late
    return Window(data=points, after=after, meta=meta, late=cut.late)
