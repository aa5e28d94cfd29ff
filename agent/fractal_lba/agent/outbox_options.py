"""The options that bound an agent's outbox."""

import functools
from collections.abc import Callable
from typing import Any

import click

from fractal_lba.agent.bounds import (
    BYTES_MAX,
    OUTBOX_BYTES_MIN,
    RECORDS_MAX,
    OutboxBounds,
    WhenFull,
)


def outbox_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options, which come to it as one ``outbox``."""

    @functools.wraps(command)
    def bounded(
        *args: Any,  # noqa: ANN401 - the command's own
        outbox_bytes_max: int,
        outbox_records_max: int,
        outbox_full: str,
        **given: Any,  # noqa: ANN401 - the command's own
    ) -> None:
        bounds = OutboxBounds(
            records_max=outbox_records_max,
            bytes_max=outbox_bytes_max,
            when_full=WhenFull(outbox_full),
        )
        command(*args, outbox=bounds, **given)

    for option in (
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
