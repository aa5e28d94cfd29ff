"""``GET /v1/pcs/{pcs_id}``: a tenant reads its own records back."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from aiohttp import web

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.protocol.keyring import Keyring, Scope
from fractal_lba.server.core.answer import Answer, ServerCode, problem, timestamp
from fractal_lba.server.core.entry import Decision
from fractal_lba.server.core.known import RecordKey, family_of
from fractal_lba.server.http.identity import Caller, identified
from fractal_lba.server.http.respond import response
from fractal_lba.server.pipeline.intake import RETRY_AFTER_S
from fractal_lba.server.ports import Shard


@dataclass(slots=True, kw_only=True)
class Read:
    """The calls that read back."""

    shard: Shard
    keyring: Callable[[], Keyring]

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this module."""
        return [web.get("/v1/pcs/{pcs_id:[0-9a-f]{64}}", self.get, allow_head=False)]

    async def get(self, request: web.Request) -> web.Response:
        """Give one record back to its own tenant."""
        caller = identified(request, self.keyring(), Scope.READ)
        if isinstance(caller, Answer):
            return response(caller)
        return response(await self._get(request, caller))

    async def _get(self, request: web.Request, caller: Caller) -> Answer:
        version = request.query.get("version", "1.0")
        family = family_of(version)
        pcs_id = request.match_info["pcs_id"]
        not_found = problem(
            ServerCode.NOT_FOUND, "pcs_id: expected one of this tenant's, got another"
        )
        if family is None:
            return not_found
        try:
            known = self.shard.lookup(RecordKey(caller.tenant, family, pcs_id))
            if known is None:
                return not_found
            entry = await self.shard.read(known.place)
            if (
                not isinstance(entry, Decision)
                or entry.tenant != caller.tenant
                or entry.pcs_id != pcs_id
            ):
                return problem(
                    ServerCode.STORAGE_UNAVAILABLE,
                    "index: expected the decision of this id, got another entry",
                    retry_after_s=RETRY_AFTER_S,
                )
            conflicts = [
                {
                    "content_digest": conflict.content_digest,
                    "received_at": timestamp(conflict.received_ns),
                }
                for conflict in known.conflicts
            ]
        except DurabilityError as error:
            return problem(ServerCode.STORAGE_UNAVAILABLE, str(error), retry_after_s=RETRY_AFTER_S)
        body = msgspec.json.encode(
            {
                "record": msgspec.Raw(entry.record),
                "outcome": msgspec.Raw(entry.answer),
                "received_at": timestamp(known.received_ns),
                "tier": "warm",
                "conflicts": conflicts,
                "resolutions": [],
            }
        )
        return Answer(status=200, body=body, received_ns=known.received_ns)
