"""How a body, or a record in it, ended: the answer, and what becomes of the body."""

import msgspec

from fractal_lba.protocol.errors import (
    CorruptionError,
    DurabilityError,
    Refusal,
    UnavailableError,
)
from fractal_lba.server.core.answer import Answer, ServerCode, problem, refused
from fractal_lba.server.core.poison import SET_ASIDE, PoisonError
from fractal_lba.server.core.run import End, Verified

RETRY_AFTER_S = 1.0
"""What a 503 asks for: a fenced log is tried again every second."""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """How a body ended, for the answer and for the log line.

    ``is_over`` where trying it again by itself is of no use, ``is_refused`` where nothing in a
    ledger came of it.
    """

    answer: Answer
    is_over: bool
    is_refused: bool = False
    tenant: str | None = None
    pcs_id: str | None = None


def settled(end: End, verified: Verified | None) -> Settled | Exception:
    """Return how a record ended, or the bug that it met."""
    tenant = pcs_id = None
    if verified is not None:
        tenant, pcs_id = verified.tenant, verified.pcs_id
    is_over, is_refused = True, False
    match end:
        case Answer():
            answer = end
        case Refusal():
            answer, is_refused = refused(end), True
        case PoisonError():
            answer, is_refused = SET_ASIDE, True
        case CorruptionError():
            # Only a person brings damaged bytes back. Left open, this body and each repeat of it
            # would be tried again for ever, and the inbox would take nothing more in the end.
            answer, is_refused = _unavailable(end), True
        case DurabilityError() | UnavailableError():
            answer, is_over = _unavailable(end), False
        case _:
            return end
    return Settled(
        answer=answer, is_over=is_over, is_refused=is_refused, tenant=tenant, pcs_id=pcs_id
    )


def not_logged(error: DurabilityError | UnavailableError) -> Settled:
    """Return how a body ended that is not, or may not be, in the inbox."""
    if isinstance(error, DurabilityError):
        return Settled(answer=_unavailable(error), is_over=False)
    overloaded = problem(ServerCode.OVERLOADED, str(error), retry_after_s=RETRY_AFTER_S)
    return Settled(answer=overloaded, is_over=False)


def _unavailable(error: DurabilityError | UnavailableError) -> Answer:
    return problem(ServerCode.STORAGE_UNAVAILABLE, str(error), retry_after_s=RETRY_AFTER_S)
