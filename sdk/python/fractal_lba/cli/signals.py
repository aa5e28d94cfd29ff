"""``signals``: one window in a file, and what a record would say of it."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from fractal_lba.cli.streams import Refused, Unusable, read_input, shown, what, write_json
from fractal_lba.command.usage import epilog
from fractal_lba.protocol import ContractError, Profile

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from fractal_lba.signals import Summary

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
            "fractal-lba signals window.npy --profile points/1 --plot window.png",
        ],
        exit_codes={
            0: "printed",
            1: "FILE was read and is no window: a NaN, too short, a cell that is no number",
            2: "FILE, PNG or an option cannot be used, or numpy or matplotlib is not installed",
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
@click.option(
    "--plot",
    "picture_path",
    type=click.Path(path_type=Path),
    metavar="PNG",
    help="Also draw it into this file, whose name ends in .png: cells against scales with the "
    "fitted slope, the best direction's histogram, the cloud. Needs the extra plot.",
)
def signals_command(  # noqa: PLR0913 - one parameter for each option
    *,
    file: str,
    profile: str,
    seed: int | None,
    scales: tuple[int, ...] | None,
    columns: tuple[str, ...] | None,
    picture_path: Path | None,
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
        from fractal_lba.signals.summary import cube_of_bytes, cube_of_points  # noqa: PLC0415
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
    draw = None if picture_path is None else _drawing(picture_path)
    data = read_input(file, _WINDOW_BYTES_MAX)
    try:
        if profile == Profile.BYTES:
            summary = signals.summarise_bytes(data, seed=checked_seed, scales=checked_scales)
            if draw is not None:
                draw(summary, cube_of_bytes(data, seed=checked_seed))
        else:
            table = read_table(data, columns=columns)
            summary = signals.summarise_points(table, seed=checked_seed, scales=checked_scales)
            if draw is not None:
                draw(summary, cube_of_points(table, seed=checked_seed))
    except ContractError as error:
        raise Refused(f"{shown(file)}: {error}") from error
    write_json(summary.members())


def _drawing(path: Path) -> "Callable[[Summary, NDArray[np.float64]], None]":
    """Return what draws a window into a file, once the file's name is one that can be used.

    Raises:
        Unusable: It is no name for a picture, or matplotlib is not installed.
    """
    if path.suffix.lower() != ".png":
        raise Unusable(f"--plot: expected a name that ends in .png, got {shown(str(path))}")
    if path.is_dir():
        raise Unusable(f"--plot: {shown(str(path))}: expected a file to write, got a folder")
    # It warns where its cache cannot be written or takes a moment to fill; neither matters here.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        from fractal_lba import plot  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise Unusable(
            "matplotlib is not installed; run: pip install 'fractal-lba[plot]'"
        ) from error

    def draw(summary: "Summary", cube: "NDArray[np.float64]") -> None:
        picture = plot.png(plot.draw(summary, cube))
        try:
            path.write_bytes(picture)
        except OSError as error:
            raise Unusable(
                f"--plot: {shown(str(path))}: cannot be written: {what(error)}"
            ) from error

    return draw
