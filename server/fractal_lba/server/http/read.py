"""``GET /v1/pcs/{pcs_id}``: a tenant reads its own records back."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from aiohttp import web

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.protocol.keyring import Keyring, Scope
from fractal_lba.server.core.answer import Answer, ServerCode, problem
from fractal_lba.server.core.known import RecordKey, family_of
from fractal_lba.server.http.caller import Caller
from fractal_lba.server.http.identity import identified
from fractal_lba.server.http.respond import response
from fractal_lba.server.http.stored import stored_document
from fractal_lba.server.pipeline.settled import RETRY_AFTER_S
from fractal_lba.server.ports import Decisions


@dataclass(slots=True, kw_only=True)
class Read:
    """The calls that read back."""

    decisions: Decisions
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
        not_found = problem(
            ServerCode.NOT_FOUND, "pcs_id: expected one of this tenant's, got another"
        )
        if family is None:
            return not_found
        try:
            key = RecordKey(caller.tenant, family, request.match_info["pcs_id"])
            known = await self.decisions.known(key)
            if known is None:
                return not_found
            document = await stored_document(self.decisions, key, known)
        except DurabilityError as error:
            return problem(ServerCode.STORAGE_UNAVAILABLE, str(error), retry_after_s=RETRY_AFTER_S)
        return Answer(status=200, body=msgspec.json.encode(document), received_ns=known.received_ns)
