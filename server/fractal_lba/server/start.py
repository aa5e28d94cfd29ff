"""``fractal-server``: the command's entry."""

from fractal_lba.command.extras import Extra
from fractal_lba.command.interrupts import Interruptible


def start() -> None:
    """Run the command line."""
    with Interruptible("fractal-server") as command:
        with Extra("fractal-server", "server"):
            from fractal_lba.server.__main__ import main  # noqa: PLC0415 - an interrupt may come meanwhile

        command.work()
        main(prog_name="fractal-server")
