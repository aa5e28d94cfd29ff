"""How every command's help shows its examples and its exit codes."""

from collections.abc import Mapping, Sequence

_VERBATIM = "\b"  # click does not rewrap a paragraph that begins with this
_INTERRUPTED = "interrupted (SIGINT, Ctrl-C)"


def epilog(*, examples: Sequence[str], exit_codes: Mapping[int, str]) -> str:
    """Return the end of a command's help; every command can be interrupted."""
    shown = [f"  {line}" for line in examples]
    meanings = {**exit_codes, 130: exit_codes.get(130, _INTERRUPTED)}
    codes = [f"  {code:<3}  {text}" for code, text in meanings.items()]
    title = "Examples:" if len(examples) > 1 else "Example:"
    return "\n".join([_VERBATIM, title, *shown, "", _VERBATIM, "Exit codes:", *codes])
