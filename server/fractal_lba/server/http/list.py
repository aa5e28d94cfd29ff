"""``GET /v1/pcs`` and ``GET /v1/escalations``: a tenant's records in pages, or all as NDJSON."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
from aiohttp import web

from fractal_lba.protocol.errors import ContractError, CorruptionError, DurabilityError
from fractal_lba.protocol.keyring import Keyring, Scope
from fractal_lba.server.core.answer import Answer, ServerCode, problem, timestamp
from fractal_lba.server.core.cursor import Cursors
from fractal_lba.server.core.listing import OUTCOMES, Bookmark, Page, Query
from fractal_lba.server.core.listing_request import (
    ListingRequest,
    parse_escalations,
    parse_listing,
)
from fractal_lba.server.http.admit import Admission
from fractal_lba.server.http.identity import identified
from fractal_lba.server.http.request_id import HEADER, request_id_of
from fractal_lba.server.http.respond import response
from fractal_lba.server.http.stored import stored_document
from fractal_lba.server.pipeline.settled import RETRY_AFTER_S
from fractal_lba.server.pipeline.turns import Turns
from fractal_lba.server.ports import Decisions, Listed

NDJSON = "application/x-ndjson"

EXPORT_PAGE = 32
"""Records an export holds at a time: 4 MiB at the most."""


LISTINGS_AT_ONCE_MAX = 2
"""Pages read at once: each keeps a thread, and one that finds nothing looks at 5,000 records."""


@dataclass(slots=True, kw_only=True)
class Exports:
    """How many exports run: each holds a connection and its records for as long as it is read.

    Attributes:
        total_max: Of all tenants.
        per_tenant_max: Of one.
        stall_s: An export whose reader takes nothing for so long is cut off.
    """

    total_max: int
    per_tenant_max: int
    stall_s: float
    _by_tenant: Counter[str] = field(default_factory=Counter)

    def refuse(self, tenant: str) -> Answer | None:
        """Return the problem of one export more."""
        if (
            self._by_tenant[tenant] >= self.per_tenant_max
            or self._by_tenant.total() >= self.total_max
        ):
            return problem(
                ServerCode.RATE_LIMITED,
                "export: expected fewer at a time, got as many as may run",
                retry_after_s=RETRY_AFTER_S,
            )
        return None

    @contextmanager
    def one_more(self, tenant: str) -> Iterator[None]:
        """Count one export of a tenant for as long as the block runs."""
        self._by_tenant[tenant] += 1
        try:
            yield
        finally:
            self._by_tenant[tenant] -= 1
            if not self._by_tenant[tenant]:
                del self._by_tenant[tenant]


@dataclass(slots=True, kw_only=True)
class Lists:
    """The calls that list."""

    decisions: Decisions
    keyring: Callable[[], Keyring]
    cursors: Cursors
    admission: Admission
    exports: Exports
    _turns: Turns = field(default_factory=lambda: Turns(LISTINGS_AT_ONCE_MAX))

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this module."""
        return [
            web.get("/v1/pcs", self.records, allow_head=False),
            web.get("/v1/escalations", self.escalations, allow_head=False),
        ]

    async def records(self, request: web.Request) -> web.StreamResponse:
        """Give a page of a tenant's records, or all of them as NDJSON."""
        return await self._answer(request, parse_listing)

    async def escalations(self, request: web.Request) -> web.StreamResponse:
        """Give a page of what nobody has resolved yet, or all of it as NDJSON."""
        return await self._answer(request, parse_escalations)

    async def _answer(
        self,
        request: web.Request,
        parse: Callable[[Iterable[tuple[str, str]]], ListingRequest],
    ) -> web.StreamResponse:
        caller = identified(request, self.keyring(), Scope.READ)
        if isinstance(caller, Answer):
            return response(caller)
        try:
            asked = parse(request.query.items())
            after = (
                {}
                if asked.cursor is None
                else self.cursors.read(asked.cursor, tenant=caller.tenant, query=asked.query)
            )
        except ContractError as error:
            return response(problem(ServerCode.BAD_REQUEST, str(error)))
        if not _wants_export(request):
            return response(await self._page(caller.tenant, asked, after))
        if "limit" in request.query:
            return response(
                problem(ServerCode.BAD_REQUEST, "limit: expected none of an export, got one")
            )
        if (refusal := self.exports.refuse(caller.tenant)) is not None:
            return response(refusal)
        with self.exports.one_more(caller.tenant):
            return await self._export(request, caller.tenant, asked.query, after)

    async def _page(self, tenant: str, asked: ListingRequest, after: Bookmark) -> Answer:
        try:
            page = await self._read(tenant, asked.query, after, records_max=asked.limit)
        except DurabilityError as error:
            return _unavailable(error)
        following = (
            None
            if page.next is None
            else self.cursors.write(page.next, tenant=tenant, query=asked.query)
        )
        document = {"records": [_row(listed) for listed in page.items], "next": following}
        return Answer(status=200, body=msgspec.json.encode(document))

    async def _read(
        self, tenant: str, query: Query, after: Bookmark, *, records_max: int
    ) -> Page[Listed, Bookmark]:
        # In turn with other tenants: one that asks for hundreds makes no other wait for all.
        async with self._turns.of(tenant):
            return await self.decisions.list_records(tenant, query, after, records_max=records_max)

    async def _export(
        self, request: web.Request, tenant: str, query: Query, after: Bookmark
    ) -> web.StreamResponse:
        try:
            page = await self._read(tenant, query, after, records_max=EXPORT_PAGE)
            lines = await self._lines(tenant, query, after, page)
        except DurabilityError as error:
            return response(_unavailable(error))
        # Its head is sent here, before anybody else names it.
        named = {"Content-Type": NDJSON, HEADER: request_id_of(request)}
        streamed = web.StreamResponse(headers=named)
        await streamed.prepare(request)
        try:
            while True:
                async with asyncio.timeout(self.exports.stall_s):
                    await streamed.write(lines)
                if page.next is None:
                    break
                if self.admission.is_draining:
                    return _cut(request, streamed)
                after = page.next
                page = await self._read(tenant, query, after, records_max=EXPORT_PAGE)
                lines = await self._lines(tenant, query, after, page)
        except (TimeoutError, DurabilityError):
            return _cut(request, streamed)
        await streamed.write_eof()
        return streamed

    async def _lines(
        self, tenant: str, query: Query, after: Bookmark, page: Page[Listed, Bookmark]
    ) -> bytes:
        lines = []
        for listed in page.items:
            after = {**after, listed.shard: listed.spot}
            cursor = self.cursors.write(after, tenant=tenant, query=query)
            line: dict[str, object] = {"pcs_id": listed.key.pcs_id}
            try:
                line |= await stored_document(self.decisions, listed.key, listed.known)
            except CorruptionError:
                # One damaged record must not keep those behind it from being exported.
                line["code"] = str(ServerCode.STORAGE_UNAVAILABLE)
            lines.append(msgspec.json.encode({**line, "cursor": cursor}) + b"\n")
        return b"".join(lines)


def _row(listed: Listed) -> dict[str, object]:
    known = listed.known
    return {
        "pcs_id": listed.key.pcs_id,
        "shard_id": known.summary.shard_id,
        "epoch": known.summary.epoch,
        "version": known.summary.version,
        "ledger": listed.shard,
        "number": listed.spot.seq,
        "status": known.status,
        "outcome": OUTCOMES[known.status],
        "regime": known.summary.regime,
        "received_at": timestamp(known.received_ns),
        "conflicts": len(known.conflicts),
        "resolutions": len(known.resolutions),
    }


def _wants_export(request: web.Request) -> bool:
    accepted = request.headers.get("Accept", "").split(",")
    return any(each.partition(";")[0].strip().lower() == NDJSON for each in accepted)


def _unavailable(error: DurabilityError) -> Answer:
    return problem(ServerCode.STORAGE_UNAVAILABLE, str(error), retry_after_s=RETRY_AFTER_S)


def _cut(request: web.Request, streamed: web.StreamResponse) -> web.StreamResponse:
    # Without its last chunk nobody takes what came for the whole.
    if request.transport is not None:
        request.transport.abort()
    return streamed
