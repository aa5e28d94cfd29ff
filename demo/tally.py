"""The demo's count: three places that know what was stored, and whether they agree.

The agent's outbox says what was acknowledged, ``fsck`` reads the server's files, and a ``GET`` of
every id asks the running server. None of them reads another one's files, so a record that one of
them forgot or counted twice shows as a difference.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What ``fractal-server fsck`` counted in the files of the stopped server."""

    records: int
    stored_twice: int
    is_sound: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The three counts side by side.

    ``lost`` are ids the agent holds an acknowledgement for and the server does not give back.
    """

    windows: int
    acknowledged: int
    readable: int
    stored: int
    lost: tuple[str, ...]
    stored_twice: int
    disagreements: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing was lost, nothing stored twice, and the three places agree."""
        return not self.lost and self.stored_twice == 0 and not self.disagreements


def compare(outbox: Mapping[str, str], readable: Mapping[str, str], ledger: Ledger) -> Tally:
    """Return the tally of the three places.

    Args:
        outbox: pcs_id → state (``acknowledged``, ``pending`` or ``dead``), from the agent's files.
        readable: pcs_id → the pcs_id inside the record that a ``GET`` of it gave.
        ledger: What ``fsck`` counted.
    """
    acknowledged = {pcs_id for pcs_id, state in outbox.items() if state == "acknowledged"}
    others = len(outbox) - len(acknowledged)
    lost = tuple(sorted(acknowledged - readable.keys()))
    strangers = sum(1 for asked, given in readable.items() if asked != given)
    disagreements = []
    if not outbox:
        disagreements.append("the outbox holds no window: nothing was shown")
    if others:
        disagreements.append(f"{others} windows of the outbox were never acknowledged")
    if strangers:
        disagreements.append(f"{strangers} answers to GET held another record than was asked for")
    if unasked := len(readable.keys() - acknowledged):
        disagreements.append(f"{unasked} readable records were never acknowledged to the outbox")
    if ledger.records != len(acknowledged):
        disagreements.append(
            f"fsck counts {ledger.records} records, the outbox {len(acknowledged)} acknowledged"
        )
    if not ledger.is_sound:
        disagreements.append("fsck found something wrong")
    return Tally(
        windows=len(outbox),
        acknowledged=len(acknowledged),
        readable=len(readable),
        stored=ledger.records,
        lost=lost,
        stored_twice=ledger.stored_twice,
        disagreements=tuple(disagreements),
    )
