"""The options that bound an agent's outbox."""

import functools
from collections.abc import Callable
from typing import Any

import click

from fractal_lba.agent.bounds import (
    BYTES_MAX,
    OUTBOX_BYTES_MIN,
    RECORDS_MAX,
    RESERVE_BYTES,
    RESERVE_BYTES_LIMIT,
    SEGMENT_AGE_MIN_S,
    SEGMENT_AGE_S,
    SEGMENT_BYTES_LIMIT,
    SEGMENT_BYTES_MAX,
    SEGMENT_BYTES_MIN,
    OutboxBounds,
    WhenFull,
)


def outbox_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options, which come to it as one ``outbox``."""

    @functools.wraps(command)
    def bounded(  # noqa: PLR0913 - one argument for each option
        *args: Any,  # noqa: ANN401 - the command's own
        outbox_bytes_max: int,
        outbox_records_max: int,
        outbox_full: str,
        outbox_segment_bytes_max: int,
        outbox_segment_age_s: float,
        outbox_reserve_bytes: int,
        **given: Any,  # noqa: ANN401 - the command's own
    ) -> None:
        bounds = OutboxBounds(
            records_max=outbox_records_max,
            bytes_max=outbox_bytes_max,
            when_full=WhenFull(outbox_full),
            segment_bytes_max=outbox_segment_bytes_max,
            segment_age_s=outbox_segment_age_s,
            reserve_bytes=outbox_reserve_bytes,
        )
        command(*args, outbox=bounds, **given)

    for option in (
        click.option(
            "--outbox-reserve-bytes",
            type=click.IntRange(0, RESERVE_BYTES_LIMIT),
            default=RESERVE_BYTES,
            show_default=True,
            metavar="BYTES",
            help="Disk taken ahead of what is written, so that a full one is met before a window"
            " is taken; 0 for none.",
        ),
        click.option(
            "--outbox-segment-age",
            "outbox_segment_age_s",
            type=click.FloatRange(min=SEGMENT_AGE_MIN_S),
            default=SEGMENT_AGE_S,
            show_default=True,
            metavar="SECONDS",
            help="A segment of the outbox that holds something is closed at this age.",
        ),
        click.option(
            "--outbox-segment-bytes-max",
            type=click.IntRange(SEGMENT_BYTES_MIN, SEGMENT_BYTES_LIMIT),
            default=SEGMENT_BYTES_MAX,
            show_default=True,
            metavar="BYTES",
            help="A segment is closed at this size; beside what waits the outbox takes up to four.",
        ),
        click.option(
            "--outbox-full",
            type=click.Choice([policy.value for policy in WhenFull]),
            default=WhenFull.BLOCK.value,
            show_default=True,
            help="A full outbox: block waits until windows are answered, refuse ends observing with"
            " an error. Nothing is ever dropped.",
        ),
        click.option(
            "--outbox-records-max",
            type=click.IntRange(min=1),
            default=RECORDS_MAX,
            show_default=True,
            metavar="N",
            help="Windows that may wait for an answer; each takes about 150 bytes of memory.",
        ),
        click.option(
            "--outbox-bytes-max",
            type=click.IntRange(min=OUTBOX_BYTES_MIN),
            default=BYTES_MAX,
            show_default=True,
            metavar="BYTES",
            help="Bytes on disk that may wait for an answer.",
        ),
    ):
        bounded = option(bounded)
    return bounded
