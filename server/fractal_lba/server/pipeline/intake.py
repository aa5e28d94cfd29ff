"""Take a body in: inbox, authenticate, tenant, decide, finish.

One written order for live bodies and for those a crash left.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fractal_lba.protocol.authenticate import LEGACY_TENANT, Authenticated, authenticate
from fractal_lba.protocol.errors import (
    CorruptionError,
    DurabilityError,
    FractalError,
    Refusal,
    RefusalCode,
    UnavailableError,
)
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.server.core.answer import Answer, ServerCode, problem, refused
from fractal_lba.server.core.inbox_frame import Received
from fractal_lba.server.core.poison import SET_ASIDE, PoisonError
from fractal_lba.server.core.tenant_policy import Policies
from fractal_lba.server.pipeline.pace import Pace
from fractal_lba.server.ports import Clock, Decisions, Inbox, InboxFrame, Judging, Meter
from fractal_lba.wal.group_commit import Bounds, GroupCommit

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
        self._keyring = keyring
        self._policies = policies
        self._clock = clock
        self._meter = meter
        self._judging = judging
        self._left_open_beside_others_max = left_open_max // 2
        # A thread for each lane: what nobody knows is verified beside the others, not before.
        self._verify: GroupCommit[tuple[bytes, Received], Authenticated] = GroupCommit(
            "verify", self._authenticate_all, bounds=bounds, is_for_its_submitter=True
        )
        self._pace = pace
        self._verify_unidentified: GroupCommit[tuple[bytes, Received], Authenticated] = GroupCommit(
            "verify-unidentified",
            lambda bodies: self._pace.run(lambda: self._authenticate_all(bodies)),
            bounds=bounds,
            is_for_its_submitter=True,
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
        verified: Authenticated | Exception
        try:
            verified = await self._authenticated(frame.body, frame)
        except FractalError as error:
            verified = error
        settled = await self.conclude(verified, frame, is_recovered=is_recovered)
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
        self, bodies: Sequence[bytes], frame: InboxFrame
    ) -> list[Authenticated | Exception]:
        """Authenticate parts of a logged body; others have their turns meanwhile."""
        lane, turn = self._lane_of(frame)
        poison = [self.is_poison(body) for body in bodies]  # asked once: more may be known later
        sound = [body for body, is_poison in zip(bodies, poison, strict=True) if not is_poison]
        verified = await lane.submit_all(
            [(body, frame.received) for body in sound],
            sizes=[len(body) for body in sound],
            turn=turn,
        )
        ends = iter(verified)
        return [_poison() if is_poison else next(ends) for is_poison in poison]

    async def run(self, work: Callable[[], ResultT], frame: InboxFrame) -> ResultT:
        """Run what a logged body needs to be read, at the cost of its lane."""
        if frame.received.identified_tenant is not None:
            return await asyncio.to_thread(work)
        return await self._verify_unidentified.call(lambda: self._pace.run(work))

    async def conclude(
        self, verified: Authenticated | Exception, frame: InboxFrame, *, is_recovered: bool
    ) -> Settled:
        """Answer one record of a logged body, and count how it ended.

        Args:
            verified: The record, or why it was refused; any other exception is raised as it is.
            frame: The body; it is neither finished nor left open here.
            is_recovered: See ``settle``.
        """
        settled = await self._conclude(verified, frame, is_recovered=is_recovered)
        answer = settled.answer
        self._meter.answered(
            tenant=settled.tenant,
            status=answer.status,
            code=answer.code,
            is_replayed=answer.is_replayed,
        )
        return settled

    async def close(self) -> None:
        """Verify what was taken, then end the threads."""
        await self._verify.close()
        await self._verify_unidentified.close()

    async def _authenticated(self, body: bytes, frame: InboxFrame) -> Authenticated:
        if self.is_poison(body):
            raise _poison()
        lane, turn = self._lane_of(frame)
        return await lane.submit((body, frame.received), size=len(body), turn=turn)

    def _lane_of(
        self, frame: InboxFrame
    ) -> tuple[GroupCommit[tuple[bytes, Received], Authenticated], str]:
        """Return which thread verifies a body, and whose turn it has there."""
        tenant = frame.received.identified_tenant
        # Of senders nobody knows each body has its own turn: the lines of a batch must not keep
        # a single record waiting for all of them.
        if tenant is None:
            return self._verify_unidentified, str(frame.seq)
        return self._verify, tenant

    async def _conclude(
        self, verified: Authenticated | Exception, frame: InboxFrame, *, is_recovered: bool
    ) -> Settled:
        tenant: str | None = None
        pcs_id: str | None = None
        is_over, is_refused = True, False
        try:
            if isinstance(verified, Exception):
                raise verified
            tenant, pcs_id = verified.tenant, verified.record.pcs_id
            _agree_on_tenant(verified, frame.received)
            # Verified before it is remembered: a forged record must not occupy the pcs_id of an
            # honest one.
            answer = await self._decisions.decide(
                verified, received_ns=frame.received_ns, is_recovered=is_recovered
            )
        except Refusal as refusal:
            answer, is_refused = refused(refusal), True
        except PoisonError:
            answer, is_refused = SET_ASIDE, True
        except CorruptionError as error:
            # Only a person brings damaged bytes back. Left open, this body and each repeat of it
            # would be tried again for ever, and the inbox would take nothing more in the end.
            answer, is_refused = _unavailable(error), True
        except (DurabilityError, UnavailableError) as error:
            answer, is_over = _unavailable(error), False
        return Settled(
            answer=answer, is_over=is_over, is_refused=is_refused, tenant=tenant, pcs_id=pcs_id
        )

    def _authenticate_all(
        self, bodies: Sequence[tuple[bytes, Received]]
    ) -> list[Authenticated | Exception]:
        keyring = self._keyring()
        results: list[Authenticated | Exception] = []
        for body, received in bodies:
            try:
                tenant = self._legacy_tenant(received)
                results.append(authenticate(body, keyring, legacy_tenant=tenant))
            except FractalError as error:
                results.append(_without_frames(error))
            except Exception as error:  # noqa: BLE001 - raised to the one whose body it is, not to the whole batch
                results.append(error)
        return results

    def _legacy_tenant(self, received: Received) -> str | None:
        """Return whose keys a record of version 0.1 is tried with; none where it is not taken."""
        tenant = received.tenant_header or LEGACY_TENANT
        return tenant if self._policies.of(tenant).accepts_legacy else None


def _poison() -> PoisonError:
    return PoisonError("body: expected one that can be judged, got one set aside")


def _without_frames(error: FractalError) -> FractalError:
    # The frames of a refusal hold what was parsed before it, two megabytes for a line of empty
    # objects, and the refusals of a batch live until its lines are answered.
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _agree_on_tenant(authenticated: Authenticated, received: Received) -> None:
    for where, claimed in (
        ("identity", received.identified_tenant),
        ("X-Tenant-Id", received.tenant_header),
    ):
        if claimed is not None and claimed != authenticated.tenant:
            raise Refusal(
                RefusalCode.TENANT_MISMATCH,
                reason="tenant_mismatch",
                message=f"{where}: expected the tenant of the signing key, got another",
            )


def _unavailable(error: DurabilityError | UnavailableError) -> Answer:
    return problem(ServerCode.STORAGE_UNAVAILABLE, str(error), retry_after_s=RETRY_AFTER_S)
