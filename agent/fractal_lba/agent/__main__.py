"""``fractal-agent``: the command's entry."""

from fractal_lba.command.extras import Extra
from fractal_lba.command.interrupts import Interruptible


def main() -> None:
    """Run the command line."""
    with Interruptible("fractal-agent") as command:
        with Extra("fractal-agent", "agent"):
            from fractal_lba.agent.cli import cli  # noqa: PLC0415 - an interrupt may come meanwhile

        command.work()
        cli(prog_name="fractal-agent")


if __name__ == "__main__":
    main()
