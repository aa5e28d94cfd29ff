"""What a bare group does."""

import click


def require_command(context: click.Context) -> None:
    """Print the group's help as an error where no command was given."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)
