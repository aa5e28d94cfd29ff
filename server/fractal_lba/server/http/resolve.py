"""``POST /v1/escalations/{pcs_id}/resolve``: what an operator found about an escalated record."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from aiohttp import web

from fractal_lba.protocol.document import RECORD_BYTES_MAX
from fractal_lba.protocol.errors import ContractError, DurabilityError, UnavailableError
from fractal_lba.protocol.keyring import Keyring, Scope
from fractal_lba.protocol.strict_json import parse_json
from fractal_lba.server.core.answer import Answer, ServerCode, problem, timestamp
from fractal_lba.server.core.known import RESOLUTIONS_KEPT_MAX, NotResolved, RecordKey, family_of
from fractal_lba.server.http.admit import Admission
from fractal_lba.server.http.caller import Caller
from fractal_lba.server.http.identity import identified
from fractal_lba.server.http.limits import read_body
from fractal_lba.server.http.respond import response
from fractal_lba.server.pipeline.settled import RETRY_AFTER_S
from fractal_lba.server.ports import Decisions

NOTE_BYTES_MAX = 1_024

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Resolve:
    """The call that resolves."""

    admission: Admission
    decisions: Decisions
    keyring: Callable[[], Keyring]

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this module."""
        return [web.post("/v1/escalations/{pcs_id:[0-9a-f]{64}}/resolve", self.resolve)]

    async def resolve(self, request: web.Request) -> web.Response:
        """Append a resolution to an escalated record of the caller's tenant."""
        if (refusal := self.admission.refuse_early(request)) is not None:
            return response(refusal)
        caller = identified(request, self.keyring(), Scope.OPERATE)
        if isinstance(caller, Answer):
            return response(caller)
        if (refusal := self.admission.refuse_full(request, caller)) is not None:
            return response(refusal)
        with self.admission.one_more(request, caller) as share:
            body = await read_body(
                request,
                bytes_max=RECORD_BYTES_MAX,
                timeout_s=self.admission.bounds.body_timeout_s,
                share=share,
            )
            if isinstance(body, Answer):
                refused = response(body)
                refused.force_close()  # the rest of the body was not read
                return refused
            return response(await self._resolve(request, caller, body))

    async def _resolve(self, request: web.Request, caller: Caller, body: bytes) -> Answer:
        try:
            note = _note(body)
        except ContractError as error:
            return problem(ServerCode.BAD_REQUEST, str(error))
        pcs_id = request.match_info["pcs_id"]
        family = family_of(request.query.get("version", "1.0"))
        try:
            known = (
                NotResolved.NOT_ESCALATED
                if family is None
                else await self.decisions.append_resolution(
                    RecordKey(caller.tenant, family, pcs_id), note=note, who=caller.name
                )
            )
        except (DurabilityError, UnavailableError) as error:
            return problem(ServerCode.STORAGE_UNAVAILABLE, str(error), retry_after_s=RETRY_AFTER_S)
        if known is NotResolved.NOT_ESCALATED:
            return problem(
                ServerCode.NOT_FOUND,
                "pcs_id: expected an escalated record of this tenant's, got another",
            )
        if isinstance(known, NotResolved):
            return problem(
                ServerCode.BAD_REQUEST,
                f"pcs_id: expected fewer than {RESOLUTIONS_KEPT_MAX} resolutions, got as many",
            )
        _log.info("resolved", extra={"pcs_id": pcs_id, "tenant": caller.tenant})
        document = {
            "pcs_id": pcs_id,
            "who": caller.name,
            "at": timestamp(known.resolutions[-1].received_ns),
            "resolutions": len(known.resolutions),
        }
        return Answer(status=200, body=msgspec.json.encode(document))


def _note(body: bytes) -> str:
    """Return the note of a body.

    Raises:
        ContractError: It is not one JSON object with a note of 1 to 1,024 bytes.
    """
    document = parse_json(body, depth_max=1)
    if not isinstance(document, dict) or set(document) != {"note"}:
        raise ContractError('body: expected {"note": TEXT}, got something else')
    note = document["note"]
    if not isinstance(note, str) or not 1 <= len(note.encode()) <= NOTE_BYTES_MAX:
        raise ContractError(
            f"note: expected a text of 1 to {NOTE_BYTES_MAX} bytes, got something else"
        )
    return note
