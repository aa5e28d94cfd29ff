"""Decide each id once: lookup, judge, ledger, answer.

While the first record of an id is on its way to the disk the id is occupied in memory: what repeats
it waits and shares its fate. Between the lookup and the occupation nothing is awaited, so that two
bodies cannot both be first.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import assert_never

from fractal_lba.protocol.authenticate import Authenticated
from fractal_lba.protocol.errors import (
    CorruptionError,
    DurabilityError,
    FractalError,
    UnavailableError,
)
from fractal_lba.protocol.judge import Params, decision_body
from fractal_lba.protocol.versions import is_remembered, judge_any, stored_bytes_of
from fractal_lba.server.charging import Quotas
from fractal_lba.server.core.answer import Answer, conflicting
from fractal_lba.server.core.entry import Conflict, Decision
from fractal_lba.server.core.known import Known, RecordKey, Standing, admit_new, key_of, standing
from fractal_lba.server.core.tenant_policy import Policies
from fractal_lba.server.core.usage import Held
from fractal_lba.server.pipeline.charge import Charged
from fractal_lba.server.ports import Shard


class Decider:
    """The one that decides for a shard.

    Args:
        shard: Where decisions are kept.
        params: What new records of each version are judged by; what was decided is never judged
            again.
        region: Kept with each decision.
        policies: What is asked of each tenant.
        quotas: What each tenant may still send.
    """

    def __init__(
        self,
        shard: Shard,
        *,
        params: Mapping[str, Params],
        region: str,
        policies: Policies,
        quotas: Quotas,
    ) -> None:
        self._shard = shard
        self._params = params
        self._region = region
        self._policies = policies
        self._charged = Charged(shard, quotas=quotas)
        self._occupied: dict[RecordKey, asyncio.Future[FractalError | None]] = {}

    async def decide(
        self, authenticated: Authenticated, *, received_ns: int, is_recovered: bool = False
    ) -> Answer:
        """Return a verified record's answer: its own, that of the first like it, or a conflict.

        Args:
            authenticated: Verified, and its tenant agreed on.
            received_ns: When its body was first received.
            is_recovered: Whether the body was left open then, and is settled only now.

        Raises:
            Refusal: A new record that came too late, or a copy of one of version 0.1 that something
                unsigned spoils; nothing is remembered.
            UnavailableError: Too much is under way; nothing was decided.
            DurabilityError: The ledger failed; the record may or may not have been decided.
        """
        key = key_of(authenticated)
        while (first := self._occupied.get(key)) is not None:
            failure = await asyncio.shield(first)
            if failure is not None:
                raise failure
        known = self._shard.lookup(key)
        match standing(authenticated, known):
            case Standing.NEW:
                return await self._decide_first(
                    key, authenticated, received_ns, is_recovered=is_recovered
                )
            case Standing.REPEAT:
                assert known is not None  # noqa: S101 - a repeat of nothing is a bug
                return await self._first_answer(key, known)
            case Standing.CONFLICT:
                assert known is not None  # noqa: S101 - a conflict with nothing is a bug
                await self._keep_evidence(key, authenticated, received_ns)
                return _conflict_answer(authenticated, known)
            case Standing.CONFLICT_SEEN:
                assert known is not None  # noqa: S101 - a conflict with nothing is a bug
                return _conflict_answer(authenticated, known)
            case unreachable:
                assert_never(unreachable)

    def usage(self, tenant: str, day: int) -> Held:
        """Return what a tenant sent in a day (see ``Charged.usage``).

        Raises:
            DurabilityError: That cannot be told.
        """
        return self._charged.usage(tenant, day)

    async def _decide_first(
        self,
        key: RecordKey,
        authenticated: Authenticated,
        received_ns: int,
        *,
        is_recovered: bool,
    ) -> Answer:
        policy = self._policies.of(key.tenant)
        admit_new(authenticated, received_ns=received_ns, horizon_days=policy.horizon_days)
        outcome = judge_any(authenticated.record, self._params)
        answer = decision_body(
            pcs_id=key.pcs_id, record_digest=authenticated.record_digest, outcome=outcome
        )
        # Not charged either: whoever relays an old record could spend its tenant's quota on copies.
        if not is_remembered(authenticated.record, outcome):
            return Answer(status=outcome.status, body=answer, received_ns=received_ns)
        decision = Decision(
            tenant=key.tenant,
            family=key.family,
            pcs_id=key.pcs_id,
            record_digest=authenticated.record_digest,
            content_digest=authenticated.content_digest,
            kid=authenticated.key.kid,
            params_version=outcome.params_version,
            region=self._region,
            status=outcome.status,
            answer=answer,
            record=stored_bytes_of(authenticated.record),
        )
        async with self._occupy(key):
            over = await self._charged.append(
                key, decision, received_ns=received_ns, is_recovered=is_recovered
            )
        if over is not None:
            return over
        return Answer(status=decision.status, body=decision.answer, received_ns=received_ns)

    async def _keep_evidence(
        self, key: RecordKey, authenticated: Authenticated, received_ns: int
    ) -> None:
        evidence = Conflict(
            tenant=key.tenant,
            family=key.family,
            pcs_id=key.pcs_id,
            record_digest=authenticated.record_digest,
            content_digest=authenticated.content_digest,
            kid=authenticated.key.kid,
            record=stored_bytes_of(authenticated.record),
        )
        async with self._occupy(key):
            await self._shard.append(key, evidence, received_ns=received_ns)

    async def _first_answer(self, key: RecordKey, known: Known) -> Answer:
        entry = await self._shard.read(known.place)
        # The index is derived: where it and the ledger disagree no answer is better than another
        # record's.
        if (
            not isinstance(entry, Decision)
            or RecordKey(entry.tenant, entry.family, entry.pcs_id) != key
            or entry.content_digest != known.content_digest
        ):
            raise CorruptionError(
                f"index: expected the decision of {key.pcs_id}, got another entry"
            )
        return Answer(
            status=entry.status, body=entry.answer, is_replayed=True, received_ns=known.received_ns
        )

    @asynccontextmanager
    async def _occupy(self, key: RecordKey) -> AsyncIterator[None]:
        first: asyncio.Future[FractalError | None] = asyncio.get_running_loop().create_future()
        self._occupied[key] = first
        failure: FractalError | None = UnavailableError(
            "decide: expected an end, got a cancellation"
        )
        try:
            yield
            failure = None
        except (DurabilityError, UnavailableError) as error:
            failure = error
            raise
        finally:
            del self._occupied[key]
            first.set_result(failure)


def _conflict_answer(authenticated: Authenticated, known: Known) -> Answer:
    return conflicting(
        pcs_id=authenticated.record.pcs_id,
        first_content_digest=known.content_digest,
        content_digest=authenticated.content_digest,
        first_received_ns=known.received_ns,
    )
