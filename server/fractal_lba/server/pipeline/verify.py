"""Verify what was logged, and judge it: off the event loop, a thread for each lane, in pieces."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from fractal_lba.protocol.authenticate import LEGACY_TENANT, authenticate
from fractal_lba.protocol.errors import FractalError
from fractal_lba.protocol.judge import Params
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.server.core.judged import judged
from fractal_lba.server.core.run import Verified
from fractal_lba.server.core.tenant_policy import Policies
from fractal_lba.server.pipeline.pace import Pace
from fractal_lba.server.pipeline.quick import Quick
from fractal_lba.server.ports import InboxFrame
from fractal_lba.wal.group_commit import Bounds, GroupCommit

if TYPE_CHECKING:
    from fractal_lba.native._core import Fields

ResultT = TypeVar("ResultT")

VerifiedOrNot: TypeAlias = Verified | Exception


class Piece(NamedTuple):
    """Parts of a logged body, and how that came; a body may be its only part."""

    bodies: Sequence[bytes]
    frame: InboxFrame
    is_recovered: bool


_Lane = GroupCommit[Sequence[Piece], list[VerifiedOrNot]]


class Verifier:
    """The threads that verify.

    Args:
        keyring: Returns the ring of this moment.
        params: What records of each version are judged by.
        policies: Which tenants may send version 0.1.
        bounds: Of each thread's batches and queue.
        pace: Of what is done for unidentified callers.
    """

    def __init__(
        self,
        *,
        keyring: Callable[[], Keyring],
        params: Mapping[str, Params],
        policies: Policies,
        bounds: Bounds,
        pace: Pace,
    ) -> None:
        self._keyring = keyring
        self._params = params
        self._quick = Quick(params)
        self._policies = policies
        self._bounds = bounds
        # A thread for each lane: what nobody knows is verified beside the others, not before.
        self._lane: _Lane = GroupCommit(
            "verify", self._verify_all, bounds=bounds, is_for_its_submitter=True
        )
        self._pace = pace
        self._lane_unidentified: _Lane = GroupCommit(
            "verify-unidentified",
            lambda runs: self._pace.run(lambda: self._verify_all(runs)),
            bounds=bounds,
            is_for_its_submitter=True,
        )

    async def verify(self, pieces: Sequence[Piece]) -> list[VerifiedOrNot]:
        """Verify and judge parts of logged bodies; others have their turns meanwhile.

        Args:
            pieces: At least one; all of one identified tenant, or of one body of nobody known.

        Returns:
            For each part its record, or why there is none: its refusal, an ``UnavailableError``
            where too much waits, or a bug that it met.
        """
        frame = pieces[0].frame
        tenant = frame.received.identified_tenant
        lane = self._lane_unidentified if tenant is None else self._lane
        # Of senders nobody knows each body has its own turn: the lines of a batch must not keep
        # a single record waiting for all of them.
        turn = str(frame.seq) if tenant is None else tenant
        runs = list(_runs(pieces, self._bounds))
        ends = await asyncio.gather(
            *(lane.submit(run, count=count, size=size, turn=turn) for run, count, size in runs),
            return_exceptions=True,
        )
        results: list[VerifiedOrNot] = []
        for (_, count, _), end in zip(runs, ends, strict=True):
            if isinstance(end, list):
                results += end
            elif isinstance(end, Exception):
                results += [end] * count
            else:
                raise end
        return results

    async def run(self, work: Callable[[], ResultT], frame: InboxFrame) -> ResultT:
        """Run what a logged body needs to be read, at the cost of its lane."""
        if frame.received.identified_tenant is not None:
            return await asyncio.to_thread(work)
        return await self._lane_unidentified.call(lambda: self._pace.run(work))

    async def close(self) -> None:
        """Verify what was taken, then end the threads."""
        await self._lane.close()
        await self._lane_unidentified.close()

    def _verify_all(self, runs: Sequence[Sequence[Piece]]) -> list[list[VerifiedOrNot]]:
        keyring = self._keyring()
        checked = iter(
            self._quick.check(
                [body for run in runs for piece in run for body in piece.bodies], keyring
            )
        )
        return [
            [end for piece in run for end in self._verify(piece, keyring, checked)] for run in runs
        ]

    def _verify(
        self, piece: Piece, keyring: Keyring, checked: "Iterator[Fields | None]"
    ) -> list[VerifiedOrNot]:
        bodies, frame, is_recovered = piece
        tenant = frame.received.tenant_header or LEGACY_TENANT
        # Whose keys a record of version 0.1 is tried with; none where it is not taken.
        legacy_tenant = tenant if self._policies.of(tenant).accepts_legacy else None
        results: list[VerifiedOrNot] = []
        for body, fields in zip(bodies, checked, strict=False):
            if fields is not None:
                results.append(Verified(*fields, frame.received_ns, is_recovered))
                continue
            try:
                authenticated = authenticate(body, keyring, legacy_tenant=legacy_tenant)
                results.append(
                    judged(
                        authenticated,
                        self._params,
                        received_ns=frame.received_ns,
                        is_recovered=is_recovered,
                    )
                )
            except FractalError as error:
                results.append(_without_frames(error))
            except Exception as error:  # noqa: BLE001 - raised to the one whose body it is, not to the whole batch
                results.append(error)
        return results


def _runs(pieces: Sequence[Piece], bounds: Bounds) -> Iterator[tuple[list[Piece], int, int]]:
    """Yield what fits into one batch, but for a body that does not: how many parts, their bytes."""
    run: list[Piece] = []
    count, size = 0, 0
    for piece in pieces:
        bodies, start = piece.bodies, 0
        for at, body in enumerate(bodies):
            if count and (count >= bounds.items_max or size + len(body) > bounds.bytes_max):
                if at > start:
                    run.append(piece._replace(bodies=bodies[start:at]))
                yield run, count, size
                run, count, size, start = [], 0, 0, at
            count += 1
            size += len(body)
        if len(bodies) > start:
            run.append(piece._replace(bodies=bodies[start:]) if start else piece)
    if run:
        yield run, count, size


def _without_frames(error: FractalError) -> FractalError:
    # The frames of a refusal hold what was parsed before it, two megabytes for a line of empty
    # objects, and the refusals of a batch live until its lines are answered.
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
