"""What was raised in one worker, said to another and raised there again."""

from typing import Final

from fractal_lba.protocol.errors import (
    CorruptionError,
    DurabilityError,
    FencedError,
    FractalError,
    FullError,
    Refusal,
    RefusalCode,
    UnavailableError,
)
from fractal_lba.server.peers.wire import Raised

_KINDS: Final[dict[str, type[FractalError]]] = {
    "corruption": CorruptionError,
    "full": FullError,
    "fenced": FencedError,
    "durability": DurabilityError,
    "unavailable": UnavailableError,
}
"""The narrowest first."""


def raised(error: Exception) -> Raised:
    """Return what was raised as a message; of a bug it says nothing."""
    if isinstance(error, Refusal):
        return Raised("refusal", str(error), error.code, error.reason, error.member)
    for kind, known in _KINDS.items():
        if isinstance(error, known):
            return Raised(kind, str(error), retry_after_s=getattr(error, "retry_after_s", None))
    return Raised("bug", "")


def error_of(told: Raised, *, worker: int) -> Exception:
    """Return what another worker raised, to be raised here."""
    if told.kind == "refusal":
        return Refusal(RefusalCode(told.code), told.reason, told.message, member=told.member)
    if told.kind == "unavailable":
        return UnavailableError(told.message, retry_after_s=told.retry_after_s)
    if (known := _KINDS.get(told.kind)) is not None:
        return known(told.message)
    return RuntimeError(f"worker {worker}: expected an answer, got a failure; it is logged there")
