"""Take a body in: inbox, verify, tenant, decide, finish.

One written order for live bodies and for those a crash left.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fractal_lba.protocol.errors import (
    CorruptionError,
    DurabilityError,
    Refusal,
    RefusalCode,
    UnavailableError,
)
from fractal_lba.protocol.judge import Params
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.server.core.answer import Answer, ServerCode, problem, refused
from fractal_lba.server.core.inbox_frame import Received
from fractal_lba.server.core.poison import SET_ASIDE, PoisonError
from fractal_lba.server.core.run import End, Verified
from fractal_lba.server.core.tenant_policy import Policies
from fractal_lba.server.pipeline.pace import Pace
from fractal_lba.server.pipeline.verify import VerifiedOrNot, Verifier
from fractal_lba.server.ports import Clock, Decisions, Inbox, InboxFrame, Judging, Meter
from fractal_lba.wal.group_commit import Bounds

ResultT = TypeVar("ResultT")

RETRY_AFTER_S = 1.0
"""What a 503 asks for: a fenced log is tried again every second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How a body ended, for the answer and for the log line.

    ``is_over`` where trying it again by itself is of no use, ``is_refused`` where nothing in a
    ledger came of it.
    """

    answer: Answer
    is_over: bool
    is_refused: bool = False
    tenant: str | None = None
    pcs_id: str | None = None


class Intake:
    """The way of a body through the server.

    Args:
        inbox: Where a body is before it is parsed.
        decisions: Where what verified is decided.
        keyring: Returns the ring of this moment.
        params: What new records of each version are judged by; what was decided is never judged
            again.
        policies: Which tenants may send version 0.1.
        clock: Nanoseconds since 1970; read once for each body, at its receipt.
        meter: Counts.
        judging: Knows what is poison.
        bounds: Of each verification thread's batches and queue.
        pace: Of what is done for unidentified callers.
        left_open_max: Bodies that a failure may leave undecided before nothing more is logged.
    """

    def __init__(  # noqa: PLR0913 - the ports of the pipeline, each named at the call
        self,
        *,
        inbox: Inbox,
        decisions: Decisions,
        keyring: Callable[[], Keyring],
        params: Mapping[str, Params],
        policies: Policies,
        clock: Clock,
        meter: Meter,
        judging: Judging,
        bounds: Bounds,
        pace: Pace,
        left_open_max: int,
    ) -> None:
        self._inbox = inbox
        self._decisions = decisions
        self._clock = clock
        self._meter = meter
        self._judging = judging
        self._left_open_beside_others_max = left_open_max // 2
        self._verifier = Verifier(
            keyring=keyring, params=params, policies=policies, bounds=bounds, pace=pace
        )

    async def receive(self, body: bytes, received: Received) -> Settled:
        """Log a body that has just arrived, then settle it."""
        frame = await self.log(body, received)
        if isinstance(frame, Settled):
            return frame
        self._meter.ingested()
        return await self.settle(frame)

    async def log(self, body: bytes, received: Received) -> InboxFrame | Settled:
        """Return the frame of a body that has just arrived, or how it ended without one."""
        if self.is_poison(body):
            return Settled(answer=SET_ASIDE, is_over=True, is_refused=True)
        try:
            return await self._inbox.append(body, received, received_ns=self._clock())
        except UnavailableError as error:
            overloaded = problem(ServerCode.OVERLOADED, str(error), retry_after_s=RETRY_AFTER_S)
            return Settled(answer=overloaded, is_over=False)
        except DurabilityError as error:
            return Settled(answer=_unavailable(error), is_over=False)

    def is_poison(self, body: bytes) -> bool:
        """Tell whether a body is set aside: it is not looked at again."""
        return self._judging.is_poison(body)

    async def settle(self, frame: InboxFrame, *, is_recovered: bool = False) -> Settled:
        """Answer a logged body, and finish it in the inbox unless it has to be tried again.

        ``is_recovered`` says that it was left open before (see ``Quotas``).

        Refusals and storage failures are answers. Anything else that is raised is a bug: the body
        then stays open on disk, and is not tried again before the next start.
        """
        (verified,) = await self.verify([frame.body], frame, is_recovered=is_recovered)
        (settled,) = await self.conclude([verified], frame)
        if isinstance(settled, Exception):
            raise settled
        if settled.is_over:
            self._inbox.finish(frame.seq, is_refused=settled.is_refused)
        else:
            self.put_back(frame, is_recovered=is_recovered)
        return settled

    def put_back(self, frame: InboxFrame, *, is_recovered: bool) -> None:
        """Leave a body open, to be tried again; or end it where too many wait for fenced shards.

        It was answered 503, which promises nothing. What was logged and never answered stays open.
        """
        is_beside_others = self._decisions.fences and self._decisions.fenced_by is None
        if (
            is_beside_others
            and not is_recovered
            and self._inbox.left_open_count >= self._left_open_beside_others_max
        ):
            # A shard that stays fenced must not end in nothing more being logged for the others.
            self._inbox.finish(frame.seq, is_refused=True)
        else:
            self._inbox.leave_open(frame.seq)

    async def verify(
        self, bodies: Sequence[bytes], frame: InboxFrame, *, is_recovered: bool
    ) -> list[VerifiedOrNot]:
        """Verify parts of a logged body that are no poison (see ``Verifier.verify``)."""
        poison = [self.is_poison(body) for body in bodies]  # asked once: more may be known later
        if True not in poison:
            return await self._verifier.verify(bodies, frame, is_recovered=is_recovered)
        sound = [body for body, is_poison in zip(bodies, poison, strict=True) if not is_poison]
        ends = iter(await self._verifier.verify(sound, frame, is_recovered=is_recovered))
        return [_poison() if is_poison else next(ends) for is_poison in poison]

    async def run(self, work: Callable[[], ResultT], frame: InboxFrame) -> ResultT:
        """Run what a logged body needs to be read, at the cost of its lane."""
        return await self._verifier.run(work, frame)

    async def conclude(
        self, run: Sequence[VerifiedOrNot | Answer], frame: InboxFrame
    ) -> list[Settled | Exception]:
        """Answer records of a logged body, and count how they ended.

        Args:
            run: Each record, why it was refused, or the answer to what is none.
            frame: The body; it is neither finished nor left open here.

        Returns:
            How each ended; an exception is a bug that it met.
        """
        ends: list[Settled | Exception | None] = [None] * len(run)
        places: list[int] = []
        agreed: list[Verified] = []
        for place, each in enumerate(run):
            if isinstance(each, Verified):
                refusal = _disagreement(each, frame.received)
                if refusal is None:
                    places.append(place)
                    agreed.append(each)
                else:
                    ends[place] = _settled(refusal, each)
            elif isinstance(each, Answer):
                ends[place] = Settled(answer=each, is_over=True, is_refused=True)
            else:
                ends[place] = _settled(each, None)
        # Verified before it is remembered: a forged record must not occupy the pcs_id of an
        # honest one.
        if agreed:
            decided = await self._decisions.decide(agreed)
            for place, verified, end in zip(places, agreed, decided, strict=True):
                ends[place] = _settled(end, verified)
        return self._counted(ends)

    async def close(self) -> None:
        """Verify what was taken, then end the threads."""
        await self._verifier.close()

    def _counted(self, ends: Sequence[Settled | Exception | None]) -> list[Settled | Exception]:
        counts: Counter[tuple[str | None, int, str | None, bool]] = Counter()
        told: list[Settled | Exception] = []
        for end in ends:
            assert end is not None  # noqa: S101 - each place was given one
            told.append(end)
            if isinstance(end, Settled):
                answer = end.answer
                counts[end.tenant, answer.status, answer.code, answer.is_replayed] += 1
        for (tenant, status, code, is_replayed), records in counts.items():
            self._meter.answered(
                tenant=tenant, status=status, code=code, is_replayed=is_replayed, records=records
            )
        return told


def _settled(end: End, verified: Verified | None) -> Settled | Exception:
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


def _poison() -> PoisonError:
    return PoisonError("body: expected one that can be judged, got one set aside")


def _disagreement(verified: Verified, received: Received) -> Refusal | None:
    """Return the refusal of a record that is not of the tenant that its sender claims."""
    for where, claimed in (
        ("identity", received.identified_tenant),
        ("X-Tenant-Id", received.tenant_header),
    ):
        if claimed is not None and claimed != verified.tenant:
            return Refusal(
                RefusalCode.TENANT_MISMATCH,
                reason="tenant_mismatch",
                message=f"{where}: expected the tenant of the signing key, got another",
            )
    return None


def _unavailable(error: DurabilityError | UnavailableError) -> Answer:
    return problem(ServerCode.STORAGE_UNAVAILABLE, str(error), retry_after_s=RETRY_AFTER_S)
