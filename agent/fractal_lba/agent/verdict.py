"""Verdicts: what an answer means for the record that was sent.

Pure. The rule: a record leaves the outbox only by an answer that cannot change any more, and a
success counts only when it speaks of that very record, so that a proxy's friendly page is no
acknowledgement, and a refusal only when it is the server's own, so that its error page is none
either.
"""

from enum import StrEnum

import msgspec

from fractal_lba.client import Answer
from fractal_lba.protocol.described import described
from fractal_lba.protocol.undecodable import UNDECODABLE


class Fate(StrEnum):
    """Where a record ends."""

    ACCEPTED = "accepted"  # 200
    ESCALATED = "escalated"  # 202: accepted, and a person should look
    DEAD = "dead"  # 409, 422 and every other final 4xx of the server: kept in the dead letters


_SUCCESS = 2
_ESCALATED_STATUS = 202

# A server never answers a record so: the path in `--url` is wrong.
_ABOUT_THE_ADDRESS = (404, 405)


# Codes under which a server refuses one record for the moment and goes on deciding others.
_ABOUT_ONE = frozenset({"storage_unavailable", "quota_exceeded"})

_INTERNAL_ERROR = 500


@described
class _Named(msgspec.Struct):
    """The member of a decision, and of a conflict's problem, that tells whose it is."""

    pcs_id: str | None = None


def fate_of(status: int) -> Fate:
    """Return what a final status means."""
    if status == _ESCALATED_STATUS:
        return Fate.ESCALATED
    return Fate.ACCEPTED if status // 100 == _SUCCESS else Fate.DEAD


def is_about(answer: Answer, pcs_id: str) -> bool:
    """Return whether an answer may be taken as one about this record.

    A success must carry the decision with the record's id; a refusal that decision or a problem
    document with a ``code``, which names no other record. Anything else comes from something in
    between or from another address, and the record's fate is open; so is a 404 or 405 by whomever,
    which speaks of the address. An answer that is not final is taken as it is.
    """
    if not answer.is_final:
        return True
    if answer.status in _ABOUT_THE_ADDRESS:
        return False
    try:
        named = msgspec.json.decode(answer.body, type=_Named).pcs_id
    except UNDECODABLE:
        return False
    is_problem = fate_of(answer.status) is Fate.DEAD and answer.code is not None
    return named == pcs_id or (is_problem and named is None)


def may_be_its_own(answer: Answer) -> bool:
    """Return whether an open answer to one record may be about that record, or its stream, alone.

    A fault that a record brings out (500), a part of the server's disk, a tenant's quota: the
    server may be answering others. The same answer to a batch of several speaks of the server.
    """
    return answer.status == _INTERNAL_ERROR or answer.code in _ABOUT_ONE


def in_words(answer: Answer) -> str:
    """Return status and code, for people."""
    return f"{answer.status} {answer.code or ''}".rstrip()
