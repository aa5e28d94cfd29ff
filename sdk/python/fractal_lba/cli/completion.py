"""``completion``: the script that lets a shell complete the three commands."""

from typing import Final

import click
from click.shell_completion import get_completion_class

from fractal_lba.cli.streams import write_output
from fractal_lba.command.usage import epilog

PROGRAMS: Final = ("fractal-lba", "fractal-agent", "fractal-server")


@click.command(
    "completion",
    short_help="Print a script that completes the commands in a shell.",
    epilog=epilog(
        examples=[
            'eval "$(fractal-lba completion bash)"        # in ~/.bashrc; bash 4.4 or newer',
            'eval "$(fractal-lba completion zsh)"         # in ~/.zshrc, after compinit',
            "fractal-lba completion fish | source         # in ~/.config/fish/config.fish",
        ],
        exit_codes={0: "printed", 2: "SHELL is another one, or the output cannot be written"},
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print a script for SHELL that completes fractal-lba, fractal-agent and fractal-server.

    The script asks the commands themselves, so it is the same for every version.
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click knows all three
    for program in PROGRAMS:
        variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
        script = kind(click.Group(program), {}, program, variable).source()
        write_output(script.encode() + b"\n")
