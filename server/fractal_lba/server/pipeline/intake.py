"""Take bodies in: inbox, verify, tenant, decide, finish.

One written order for live bodies and for those a crash left; all that come together go it together.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

from fractal_lba.protocol.errors import (
    DurabilityError,
    Refusal,
    RefusalCode,
    UnavailableError,
)
from fractal_lba.protocol.judge import Params
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.inbox_frame import Received
from fractal_lba.server.core.poison import SET_ASIDE, PoisonError
from fractal_lba.server.core.run import End, Verified
from fractal_lba.server.core.tenant_policy import Policies
from fractal_lba.server.pipeline.arrivals import Arrivals
from fractal_lba.server.pipeline.pace import Pace
from fractal_lba.server.pipeline.settled import Settled, not_logged, settled
from fractal_lba.server.pipeline.verify import Piece, VerifiedOrNot, Verifier
from fractal_lba.server.ports import Clock, Decisions, Inbox, InboxFrame, Meter
from fractal_lba.server.suspects import Judging
from fractal_lba.wal.group_commit import Bounds

ResultT = TypeVar("ResultT")


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
        self._arrivals = Arrivals(inbox, meter=meter, settle=self._settle_new)

    async def receive(self, body: bytes, received: Received) -> Settled:
        """Log a body that has just arrived, then settle it, with those that came with it.

        It is settled whether anyone still waits or not.
        """
        if self.is_poison(body):
            return Settled(answer=SET_ASIDE, is_over=True, is_refused=True)
        try:
            return await self._arrivals.receive(body, received, received_ns=self._clock())
        except (DurabilityError, UnavailableError) as error:
            return not_logged(error)

    async def log(self, body: bytes, received: Received) -> InboxFrame | Settled:
        """Return the frame of a body that has just arrived, or how it ended without one."""
        if self.is_poison(body):
            return Settled(answer=SET_ASIDE, is_over=True, is_refused=True)
        try:
            return await self._inbox.append(body, received, received_ns=self._clock())
        except (DurabilityError, UnavailableError) as error:
            return not_logged(error)

    def is_poison(self, body: bytes) -> bool:
        """Tell whether a body is set aside: it is not looked at again."""
        return self._judging.is_poison(body)

    async def settle(self, frames: Sequence[InboxFrame]) -> list[Settled | Exception]:
        """Settle logged bodies again that were left open (see ``Quotas``); nobody waits for them.

        They are of one lane (see ``Verifier.verify``). Of each the end is returned; an exception
        is a bug: that body stays open on disk, and is not tried again before the next start.
        """
        return await self._settle(frames, is_recovered=True)

    async def _settle_new(
        self, frames: Sequence[InboxFrame], verified: Callable[[], None]
    ) -> list[Settled | Exception]:
        return await self._settle(frames, is_recovered=False, verified=verified)

    async def _settle(
        self,
        frames: Sequence[InboxFrame],
        *,
        is_recovered: bool,
        verified: Callable[[], None] = lambda: None,
    ) -> list[Settled | Exception]:
        """Answer logged bodies, and finish each in the inbox unless it has to be tried again.

        Refusals and storage failures are answers; ``verified`` is called once they are verified.
        """
        try:
            run = await self.verify([Piece([each.body], each, is_recovered) for each in frames])
        finally:
            verified()
        ends = await self.conclude(run, frames)
        for frame, end in zip(frames, ends, strict=True):
            if isinstance(end, Exception):
                continue
            if end.is_over:
                self._inbox.finish(frame.seq, is_refused=end.is_refused)
            else:
                self.put_back(frame, is_recovered=is_recovered)
        return ends

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

    async def verify(self, pieces: Sequence[Piece]) -> list[VerifiedOrNot]:
        """Verify parts of logged bodies that are no poison (see ``Verifier.verify``)."""
        # Asked once: more may be known later.
        poison = [[self.is_poison(body) for body in piece.bodies] for piece in pieces]
        if not any(map(any, poison)):
            return await self._verifier.verify(pieces)
        sound = [
            piece._replace(
                bodies=[body for body, bad in zip(piece.bodies, known, strict=True) if not bad]
            )
            for piece, known in zip(pieces, poison, strict=True)
        ]
        ends = iter(await self._verifier.verify(sound))
        return [_poison() if bad else next(ends) for known in poison for bad in known]

    async def run(self, work: Callable[[], ResultT], frame: InboxFrame) -> ResultT:
        """Run what a logged body needs to be read, at the cost of its lane."""
        return await self._verifier.run(work, frame)

    async def conclude(
        self, run: Sequence[VerifiedOrNot | Answer], frames: Sequence[InboxFrame]
    ) -> list[Settled | Exception]:
        """Answer records of logged bodies, and count how they ended.

        Args:
            run: Each record, why it was refused, or the answer to what is none.
            frames: The body of each; it is neither finished nor left open here.

        Returns:
            How each ended; an exception is a bug that it met.
        """
        ends: list[Settled | Exception | None] = [None] * len(run)
        places: list[int] = []
        agreed: list[Verified] = []
        for place, (each, frame) in enumerate(zip(run, frames, strict=True)):
            if isinstance(each, Verified):
                refusal = _disagreement(each, frame.received)
                if refusal is None:
                    places.append(place)
                    agreed.append(each)
                else:
                    ends[place] = settled(refusal, each)
            elif isinstance(each, Answer):
                ends[place] = Settled(answer=each, is_over=True, is_refused=True)
            else:
                ends[place] = settled(each, None)
        # Verified before it is remembered: a forged record must not occupy the pcs_id of an
        # honest one.
        if agreed:
            decided = await self._decide(agreed)
            for place, verified, end in zip(places, agreed, decided, strict=True):
                ends[place] = settled(end, verified)
        self._count(ends)
        return cast("list[Settled | Exception]", ends)  # each place was given one

    async def close(self) -> None:
        """End what is under way, verify what was taken, then end the threads."""
        await self._arrivals.close()
        await self._verifier.close()

    async def _decide(self, run: Sequence[Verified]) -> list[End]:
        try:
            return await self._decisions.decide(run)
        except Exception as error:  # noqa: BLE001 - a bug that one of them met: the end of that one alone
            if len(run) == 1:
                return [error]
        return [end for each in run for end in await self._decide([each])]

    def _count(self, ends: Sequence[Settled | Exception | None]) -> None:
        counts: dict[tuple[str | None, int, str | None, bool], int] = {}
        for end in ends:
            if isinstance(end, Settled):
                answer = end.answer
                how = (end.tenant, answer.status, answer.code, answer.is_replayed)
                counts[how] = counts.get(how, 0) + 1
        for (tenant, status, code, is_replayed), records in counts.items():
            self._meter.answered(
                tenant=tenant, status=status, code=code, is_replayed=is_replayed, records=records
            )


def _poison() -> PoisonError:
    return PoisonError("body: expected one that can be judged, got one set aside")


def _disagreement(verified: Verified, received: Received) -> Refusal | None:
    """Return the refusal of a record that is not of the tenant that its sender claims."""
    tenant, identified, named = verified.tenant, received.identified_tenant, received.tenant_header
    if identified is not None and identified != tenant:
        where = "identity"
    elif named is not None and named != tenant:
        where = "X-Tenant-Id"
    else:
        return None
    return Refusal(
        RefusalCode.TENANT_MISMATCH,
        reason="tenant_mismatch",
        message=f"{where}: expected the tenant of the signing key, got another",
    )
