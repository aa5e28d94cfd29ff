"""A package that is not installed: which one, and the extra that brings it; exit code 2."""

import sys
from types import TracebackType
from typing import Final

_UNUSABLE: Final = 2


class Extra:
    """Stands around the imports of a command, the first of what its extra installs.

    Args:
        program: The command that is started.
        extra: What of ``fractal-lba`` to install for it.
    """

    def __init__(self, program: str, extra: str) -> None:
        self._program = program
        self._extra = extra

    def __enter__(self) -> None:
        """Do nothing yet."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process with a line instead of a traceback where a package was missing."""
        if not isinstance(error, ModuleNotFoundError):
            return
        name = (error.name or "").partition(".")[0]
        # A module of this project, or of Python, is in no extra: its absence is a defect.
        if name in {"", "fractal_lba", *sys.stdlib_module_names}:
            return
        sys.stderr.write(
            f"{self._program}: {name} is not installed;"
            f" run: pip install 'fractal-lba[{self._extra}]'\n"
        )
        sys.exit(_UNUSABLE)
