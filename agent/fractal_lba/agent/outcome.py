"""Outcomes: what a caller is told when a window has its final answer.

Pure. Ids, statuses and codes only: neither the window nor the record travels with it.
"""

from dataclasses import dataclass

from fractal_lba.agent.verdict import Fate, fate_of
from fractal_lba.client import Answer
from fractal_lba.protocol import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The final answer to one window.

    Attributes:
        fate: Accepted, escalated (accepted, and a person should look) or dead (not accepted; it is
            in the dead letters).
        pcs_id: The record's id.
        shard_id: Its stream.
        epoch: Its number there.
        outbox_seq: Its number in the outbox.
        status: Of the answer.
        code: A problem document's code; None for a decision.
        is_replayed: The server had decided this content before.
    """

    fate: Fate
    pcs_id: str
    shard_id: str
    epoch: int
    outbox_seq: int
    status: int
    code: str | None
    is_replayed: bool


def outcome_of(record: Record, answer: Answer, *, outbox_seq: int) -> Outcome:
    """Return what a final answer means for a record."""
    return Outcome(
        fate=fate_of(answer.status),
        pcs_id=record.pcs_id,
        shard_id=record.shard_id,
        epoch=record.epoch,
        outbox_seq=outbox_seq,
        status=answer.status,
        code=answer.code,
        is_replayed=answer.replayed,
    )
