"""How every command shows its examples and exit codes, and what a bare group does."""

from collections.abc import Mapping, Sequence

import click

_VERBATIM = "\b"  # click does not rewrap a paragraph that begins with this


def epilog(*, examples: Sequence[str], exit_codes: Mapping[int, str]) -> str:
    """Return the end of a command's help."""
    shown = [f"  {line}" for line in examples]
    codes = [f"  {code}  {meaning}" for code, meaning in exit_codes.items()]
    title = "Examples:" if len(examples) > 1 else "Example:"
    return "\n".join([_VERBATIM, title, *shown, "", _VERBATIM, "Exit codes:", *codes])


def require_command(context: click.Context) -> None:
    """Print the group's help as an error where no command was given."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)
