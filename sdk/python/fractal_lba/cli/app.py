"""The command tree of ``fractal-lba``, and what each ending means to a shell."""

import os
import sys
from collections.abc import Sequence
from typing import Final

import click
from click.shell_completion import shell_complete

from fractal_lba.cli import streams
from fractal_lba.cli.completion import completion_command
from fractal_lba.cli.doctor import doctor_command
from fractal_lba.cli.keys import keys
from fractal_lba.cli.merkle import merkle
from fractal_lba.cli.records import canonical_command, sign_command, verify_command
from fractal_lba.cli.signals import signals_command
from fractal_lba.cli.usage import require_command
from fractal_lba.cli.wal import wal_command
from fractal_lba.command.usage import epilog

_COMPLETE: Final = "_FRACTAL_LBA_COMPLETE"
"""Set by the shell that asks what could come next."""


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=epilog(
        examples=[
            "fractal-lba keys generate --keyring agent-keyring.json --tenant acme --kid acme-1",
            "fractal-lba verify --keyring keyring.json record.json",
            "fractal-lba doctor --folder . --url http://127.0.0.1:8080",
        ],
        exit_codes={
            0: "done, or valid",
            1: "the input was read and is refused; for doctor: something fails",
            2: "it could not be used: usage, a missing file, an unreadable keyring, a missing "
            "extra, a closed pipe",
        },
    ),
)
@click.version_option(
    package_name="fractal-lba", prog_name="fractal-lba", message="%(prog)s %(version)s"
)
@click.pass_context
def fractal_lba(context: click.Context) -> None:
    """Make keys, sign and verify records, and compute what records are made of."""
    require_command(context)


fractal_lba.add_command(keys)
fractal_lba.add_command(sign_command)
fractal_lba.add_command(verify_command)
fractal_lba.add_command(canonical_command)
fractal_lba.add_command(signals_command)
fractal_lba.add_command(merkle)
fractal_lba.add_command(doctor_command)
fractal_lba.add_command(wal_command)
fractal_lba.add_command(completion_command)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; messages are one line on standard error."""
    if asked := os.environ.get(_COMPLETE):
        return shell_complete(fractal_lba, {}, "fractal-lba", _COMPLETE, asked)
    try:
        # Not click's own main(): it would turn a closed pipe into exit 1.
        with fractal_lba.make_context("fractal-lba", list(arguments)) as context:
            fractal_lba.invoke(context)
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.UsageError as error:
        path = "fractal-lba" if error.ctx is None else error.ctx.command_path
        message, code = f"{error.format_message()} (see {path} --help)", streams.EXIT_UNUSABLE
    except streams.CommandError as error:
        message, code = str(error), error.exit_code
    except BrokenPipeError as error:  # from click's own printing of --help
        streams.abandon_output()
        message = f"standard output: cannot be written: {streams.what(error)}"
        code = streams.EXIT_UNUSABLE
    else:
        return 0
    click.echo(f"fractal-lba: {' '.join(message.split())}", file=sys.stderr)
    return code
