"""Load what was built, or say why it is left aside."""

import importlib
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, cast

if TYPE_CHECKING:
    from fractal_lba.native._core import Checker

INTERFACE: Final = 1
"""What is asked of native code and what it gives, as in ``sdk/python/native/src/lib.rs``."""

_OFF: Final = "0"
_REQUIRED: Final = "1"


class Native(Protocol):
    """What was built: see ``_core.pyi``."""

    PARAMS: tuple[str, float, float]
    Checker: "type[Checker]"


class Loaded(NamedTuple):
    """The native module; or None, and why it is left aside."""

    native: Native | None
    why_not: str | None


def load(switch: str, name: str = "fractal_lba.native._core") -> Loaded:
    """Return the native module of a name, as a switch says.

    Args:
        switch: ``0``: left aside; ``1``: required; anything else: taken where it is.
        name: Of the module.

    Raises:
        ImportError: It is required and was not built, cannot be loaded, or is another version's.
    """
    if switch == _OFF:
        return Loaded(None, "FLBA_NATIVE=0")
    try:
        found = importlib.import_module(name)
        interface = getattr(found, "INTERFACE", None)
        if interface != INTERFACE:
            message = f"native code: expected interface {INTERFACE}, got {interface}"
            raise ImportError(message)  # noqa: TRY301 - what is another's is as good as absent
    except ImportError as error:
        if switch == _REQUIRED:
            message = "FLBA_NATIVE=1: expected native code of this version, got none: make native"
            raise ImportError(message) from error
        return Loaded(None, "not built" if isinstance(error, ModuleNotFoundError) else str(error))
    return Loaded(cast("Native", found), None)
