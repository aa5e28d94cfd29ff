"""A server behind the agent's port, on virtual time: decides each record once and notes requests.

It keeps the promises an agent stands on: a record is verified before it is remembered, the same
content gets its first answer again, another under the same id is a conflict.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.support.agent_world import KEY
from tests.support.scripted_server import decision

from fractal_lba.client import Answer, BatchAnswer, UnavailableError
from fractal_lba.protocol import Keyring, Record, authenticate

RING = Keyring(keys={KEY.kid: KEY}, tokens={})


@dataclass(frozen=True)
class Request:
    """What came: when, how many windows, and whether as a batch."""

    at_s: float
    windows: int
    is_batch: bool
    streams: frozenset[str]


def no_answer() -> UnavailableError:
    return UnavailableError("expected an answer, got none")


def _verified(body: bytes) -> tuple[Record, str]:
    """Return a record and the digest of its content."""
    found = authenticate(body, RING)
    assert isinstance(found.record, Record)
    return found.record, found.content_digest


class PortServer:
    """One server.

    Attributes:
        requests: Every one that came.
        decided: pcs_id → content and first answer.
        conflicts: Records that came under an id with another content.
        line: What a new record is answered, None for 200.
        whole: What a request as a whole is answered before anything is read, None for nothing.
        is_down: Nothing comes back, and nothing is decided.
        room: Requests at once; the ones above it are refused.
        latency_s: Of each answer.
        most: Requests that were under way at once.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.decided: dict[str, tuple[str, Answer]] = {}
        self.conflicts = 0
        self.line: Callable[[Record], Answer | None] = lambda _record: None
        self.whole: Callable[[], Answer | None] = lambda: None
        self.is_down = False
        self.room = 1_000
        self.latency_s = 0.01
        self.most = 0
        self._now = 0

    @property
    def carried(self) -> int:
        """Windows in all requests together."""
        return sum(request.windows for request in self.requests)

    def between(self, from_s: float, to_s: float = 1e9) -> list[Request]:
        return [request for request in self.requests if from_s <= request.at_s < to_s]

    def come_up(self) -> None:
        self.is_down = False

    async def submit(self, body: bytes) -> Answer:
        answers = await self._answer([body], is_batch=False)
        return answers[0] if isinstance(answers, list) else answers

    async def batch(self, bodies: Sequence[bytes]) -> BatchAnswer:
        answers = await self._answer(bodies, is_batch=True)
        if isinstance(answers, Answer):
            return BatchAnswer(refusal=answers)
        return BatchAnswer(lines=tuple(answers))

    async def _answer(self, bodies: Sequence[bytes], *, is_batch: bool) -> list[Answer] | Answer:
        records = [_verified(body) for body in bodies]
        at_s = asyncio.get_running_loop().time()
        streams = frozenset(record.shard_id for record, _ in records)
        self.requests.append(Request(at_s, len(records), is_batch, streams))
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            if self._now > self.room:
                return Answer(status=429, body=b"{}", code="rate_limited", retry_after_s=1.0)
            await asyncio.sleep(self.latency_s)
            if self.is_down:
                raise no_answer()
            return self.whole() or [self.decide(*each) for each in records]
        finally:
            self._now -= 1

    def decide(self, record: Record, digest: str) -> Answer:
        """Answer one record, as the first time."""
        pcs_id = record.pcs_id
        if pcs_id in self.decided:
            known, first = self.decided[pcs_id]
            if known == digest:
                return Answer(status=first.status, body=first.body, replayed=True)
            self.conflicts += 1
            body = b'{"code":"pcs_id_conflict","pcs_id":"' + pcs_id.encode() + b'"}'
            return Answer(status=409, body=body, code="pcs_id_conflict")
        answer = self.line(record) or Answer(status=200, body=decision(pcs_id))
        if answer.is_final:
            self.decided[pcs_id] = (digest, answer)
        return answer
