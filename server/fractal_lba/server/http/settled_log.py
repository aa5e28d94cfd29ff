"""The log lines of what was settled: every decision, and of the rest no more than a disk bears.

What anyone can have for nothing (a refused body, one record sent over and over) is written a few
lines at a time for all unidentified callers together, and for each tenant whose caller sends what
does not verify; the rest is told as counts.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from contextvars import Context
from dataclasses import dataclass, field

from fractal_lba.server.http.caller import Caller
from fractal_lba.server.http.lanes import UNIDENTIFIED
from fractal_lba.server.pipeline.settled import Settled

INTERVAL_S = 10.0
"""What was not written in an interval is told at its end, as a count for each code."""
LINES_MAX = 10
"""Of each owner in each interval: enough to see what goes on, too few to fill a disk with."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Interval:
    lines: int = 0
    counts: Counter[str] = field(default_factory=Counter)


class SettledLog:
    """Write what was settled; construct it on the event loop."""

    def __init__(self) -> None:
        self._intervals: dict[str, _Interval] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_kept(self) -> bool:
        """Whether anything of it would be written."""
        return _log.isEnabledFor(logging.INFO)

    def note(self, settled: Settled, seconds: float, caller: Caller | None) -> None:
        """Write the line of a record or of a batch refused as a whole, or count it."""
        if not self.is_kept:
            return
        answer = settled.answer
        is_decided_now = answer.code is None and not answer.is_replayed
        fields = {
            "pcs_id": settled.pcs_id,
            "tenant": settled.tenant,
            "status": answer.status,
            "code": answer.code,
            "replayed": answer.is_replayed,
            "duration_ms": round(seconds * 1000, 3),
        }
        shown = {name: value for name, value in fields.items() if value is not None}
        if is_decided_now or (caller is not None and settled.tenant is not None):
            _log.info("settled", extra=shown)
        else:
            self._note("settled", shown, caller, counted_as=answer.code or "replayed")

    def note_batch(self, outcomes: Counter[str], seconds: float, caller: Caller | None) -> None:
        """Write the line of a whole batch whose lines have answers of their own, or count it."""
        if not self.is_kept:
            return
        fields = {
            "count": outcomes.total(),
            "outcomes": dict(outcomes),
            "duration_ms": round(seconds * 1000, 3),
        }
        if caller is not None:
            _log.info("batch settled", extra=fields)
        else:
            self._note("batch settled", fields, caller, counted_as="batch")

    def flush(self) -> None:
        """Write the counts of this interval and begin another; also said at the end."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for owner, interval in sorted(self._intervals.items()):
            who = {} if owner == UNIDENTIFIED else {"tenant": owner}
            for code, count in sorted(interval.counts.items()):
                _log.info("more of the same", extra={"code": code, "count": count, **who})
        self._intervals.clear()

    def _note(
        self, event: str, fields: Mapping[str, object], caller: Caller | None, *, counted_as: str
    ) -> None:
        if self._timer is None:
            # In a context of its own: what it tells belongs to no single request.
            self._timer = asyncio.get_running_loop().call_later(
                INTERVAL_S, self.flush, context=Context()
            )
        owner = UNIDENTIFIED if caller is None else caller.tenant
        interval = self._intervals.setdefault(owner, _Interval())
        interval.lines += 1
        if interval.lines <= LINES_MAX:
            _log.info(event, extra=dict(fields))
        else:
            interval.counts[counted_as] += 1
