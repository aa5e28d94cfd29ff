"""The options that say how an agent reads its sources."""

import functools
from collections.abc import Callable
from typing import Any

import click

from fractal_lba.agent.seconds import Seconds
from fractal_lba.agent.sources.choose import Choice
from fractal_lba.agent.sources.text_pieces import TextPiece
from fractal_lba.protocol import Profile


def source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options, which come to it as one ``choice``."""

    @functools.wraps(command)
    def choosing(  # noqa: PLR0913 - one argument for each option
        *args: Any,  # noqa: ANN401 - the command's own
        profile: str | None,
        columns: str | None,
        shard_id: str | None,
        text: str | None,
        is_followed: bool,
        is_repairing: bool,
        period_s: float | None,
        time_column: str | None,
        lateness_s: float,
        **given: Any,  # noqa: ANN401 - the command's own
    ) -> None:
        choice = Choice(
            profile=None if profile is None else Profile(profile),
            columns=None if columns is None else columns.split(","),
            shard_id=shard_id,
            text=None if text is None else TextPiece(text),
            is_followed=is_followed,
            is_repairing=is_repairing,
            period_s=period_s,
            time_column=time_column,
            lateness_s=lateness_s,
        )
        command(*args, choice=choice, **given)

    for option in (
        click.option(
            "--lateness",
            "lateness_s",
            type=Seconds(min=0, max=86_400),
            default=0.0,
            show_default=True,
            metavar="SECONDS",
            help="With --time-column: how long a window waits for rows of its period.",
        ),
        click.option(
            "--time-column",
            metavar="NAME",
            help="When each row of a table was, seconds since 1970 or RFC 3339; it is no column of"
            " the window unless --columns names it. Of .npy a column's number from 0; of .npz that,"
            " or the array of that name.",
        ),
        click.option(
            "--window-seconds",
            "period_s",
            type=float,
            metavar="SECONDS",
            help="Windows of time instead of --window, 0.001 … 86,400: of files by --time-column,"
            " of live: and standard input as they arrive.",
        ),
        click.option(
            "--degraded",
            "is_repairing",
            is_flag=True,
            help="Replace lost columns, and values that are missing, no numbers or out of range,"
            " instead of refusing them; the record names it and is escalated (specs/agent.md).",
        ),
        click.option(
            "--follow",
            "is_followed",
            is_flag=True,
            help="Read CSV, NDJSON, texts and bytes as they grow, through rotation, until stopped.",
        ),
        click.option(
            "--text",
            type=click.Choice([piece.value for piece in TextPiece]),
            help="Each line, paragraph or file is a window of its own (bytes/1); for answers of a"
            " model. --window does not apply.",
        ),
        click.option(
            "--shard-id",
            help="Name of the stream of all sources; by default each file's name, live:HOST and"
            " stdin. Sources of one stream share its epochs.",
        ),
        click.option(
            "--columns", help="Columns of CSV, NDJSON and Parquet, a,b,…; all by default."
        ),
        click.option(
            "--profile",
            type=click.Choice([profile.value for profile in Profile]),
            help="How to read the sources; by default tables, arrays (.csv, .ndjson, .jsonl,"
            " .parquet, .npy, .npz) and live: as points/1, others as bytes/1.",
        ),
    ):
        choosing = option(choosing)
    return choosing
