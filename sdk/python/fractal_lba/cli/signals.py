"""``signals``: one window in a file, and what a record would say of it."""

from typing import Final

import click

from fractal_lba.cli.streams import Refused, Unusable, read_input, shown, write_json
from fractal_lba.cli.usage import epilog
from fractal_lba.protocol import ContractError, Profile

# 65,536 rows of 4,096 doubles, and a header.
_WINDOW_BYTES_MAX: Final = 65_536 * 4_096 * 8 + 65_536


def _comma_list(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    del context, parameter
    return None if value is None else tuple(part.strip() for part in value.split(","))


def _integers(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    parts = _comma_list(context, parameter, value)
    try:
        return None if parts is None else tuple(int(part) for part in parts)
    except ValueError as error:
        raise click.BadParameter("expected integers with commas between them") from error


@click.command(
    "signals",
    short_help="Print the signals of the window in a file.",
    epilog=epilog(
        examples=[
            "fractal-lba signals window.npy --profile points/1",
            "fractal-lba signals table.csv --profile points/1 --columns x,y --seed 7",
            "fractal-lba signals - --profile bytes/1 --scales 2,4,8 < answer.txt",
        ],
        exit_codes={
            0: "printed",
            1: "FILE was read and is no window: a NaN, too short, a cell that is no number",
            2: "FILE or an option cannot be used, or numpy is not installed",
        },
    ),
)
@click.argument("file")
@click.option(
    "--profile",
    required=True,
    type=click.Choice([profile.value for profile in Profile]),
    help="points/1: a table of numbers. bytes/1: the file as it is, 3 to 65,536 bytes.",
)
@click.option("--seed", type=int, help="Chooses signs and directions.  [default: 42]")
@click.option(
    "--scales",
    callback=_integers,
    metavar="N,N,…",
    help="Cells along each axis, each at least twice the one before.  [default: 2,4,8,16,32]",
)
@click.option(
    "--columns",
    callback=_comma_list,
    metavar="NAME,…",
    help="points/1 from CSV: the columns to read, by the names in its first line.  [default: all]",
)
def signals_command(
    *,
    file: str,
    profile: str,
    seed: int | None,
    scales: tuple[int, ...] | None,
    columns: tuple[str, ...] | None,
) -> None:
    """Print the signals of the window in FILE as one JSON object, under a record's member names.

    FILE is one window (or - for standard input). points/1 reads .npy (one or two dimensions) or
    CSV in UTF-8 with commas, numbers only, with or without a first line of names; rows are counted
    from 0, without that line. The signals describe structure; they do not tell true from false.
    """
    try:
        # numpy may be missing where the SDK was installed bare.
        from fractal_lba import signals  # noqa: PLC0415
        from fractal_lba.cli.tables import read_table  # noqa: PLC0415
        from fractal_lba.signals.window import check_scales, check_seed  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        raise Unusable("numpy is not installed; run: pip install 'fractal-lba[cli]'") from error
    if columns is not None and profile != Profile.POINTS:
        raise click.UsageError("--columns: expected with points/1 only, got it with bytes/1")
    try:
        checked_seed = check_seed(signals.DEFAULT_SEED if seed is None else seed)
        checked_scales = check_scales(signals.DEFAULT_SCALES if scales is None else scales)
    except ContractError as error:
        raise click.UsageError(f"--{error}") from error
    data = read_input(file, _WINDOW_BYTES_MAX)
    try:
        if profile == Profile.BYTES:
            summary = signals.summarise_bytes(data, seed=checked_seed, scales=checked_scales)
        else:
            table = read_table(data, columns=columns)
            summary = signals.summarise_points(table, seed=checked_seed, scales=checked_scales)
    except ContractError as error:
        raise Refused(f"{shown(file)}: {error}") from error
    write_json(summary.members())
