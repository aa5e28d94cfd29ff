"""``fractal-agent``: the command's entry."""

from fractal_lba.agent.cli import cli


def main() -> None:
    """Run the command line."""
    cli(prog_name="fractal-agent")


if __name__ == "__main__":
    main()
