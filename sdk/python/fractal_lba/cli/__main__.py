"""Where ``fractal-lba`` starts: says what to install when the extra is missing, then runs."""

import sys

from fractal_lba.command.extras import Extra
from fractal_lba.command.interrupts import Interruptible


def main() -> None:
    """Run the command line and exit with its code."""
    with Interruptible("fractal-lba") as command:
        with Extra("fractal-lba", "cli"):
            from fractal_lba.cli.app import run  # noqa: PLC0415  # click may be missing
        command.work()
        sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
