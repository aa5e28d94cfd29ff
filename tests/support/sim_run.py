"""One worker of a simulated server, open, and what its answers are to a client."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tests.support.memory_index import MemoryIndex
from tests.support.sim_process import Process
from tests.support.sim_watch import WatchedInbox, WatchedShard

from fractal_lba.client import Answer as ClientAnswer
from fractal_lba.protocol.judge import CURRENT_PARAMS, Params
from fractal_lba.server.core.answer import Answer, timestamp
from fractal_lba.server.pipeline.way import Way
from fractal_lba.server.ports import Decisions, InboxFrame

STRICT_PARAMS: Final = replace(CURRENT_PARAMS, version="strict", tol_d=-1.0)
"""Accept nothing that the current ones accept: what is judged again shows."""

JUDGED_BY: Final[tuple[Params, ...]] = (CURRENT_PARAMS, STRICT_PARAMS)


@dataclass(frozen=True, slots=True)
class Run:
    """One process, open."""

    process: Process
    inboxes: Sequence[WatchedInbox]
    shards: Mapping[str, WatchedShard]
    decisions: Mapping[str, Decisions]
    indexes: Mapping[str, MemoryIndex]
    way: Way
    is_taking: Callable[[], bool]

    @property
    def is_settled(self) -> bool:
        """Whether nothing is open or fenced."""
        fences = [
            *(inbox.fenced_by for inbox in self.inboxes),
            *(each.fenced_by for each in self.decisions.values()),
        ]
        return not any(fences) and not any(inbox.has_open for inbox in self.inboxes)


async def survived(_frames: Sequence[InboxFrame]) -> list[bytes]:
    """Find no poison: here processes end by themselves."""
    return []


def client_answer(answer: Answer) -> ClientAnswer:
    return ClientAnswer(
        status=answer.status,
        body=answer.body,
        replayed=answer.is_replayed,
        received_at=None if answer.received_ns is None else timestamp(answer.received_ns),
        retry_after_s=answer.retry_after_s,
        code=answer.code,
    )
