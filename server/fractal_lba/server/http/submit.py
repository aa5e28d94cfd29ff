"""``POST /v1/pcs/submit``: one record in, its answer out."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from fractal_lba.protocol.document import RECORD_BYTES_MAX
from fractal_lba.protocol.keyring import TENANT, Keyring
from fractal_lba.server.core.answer import Answer, ServerCode, problem
from fractal_lba.server.core.inbox_frame import Received
from fractal_lba.server.http.admit import Admission, owner_of
from fractal_lba.server.http.limits import read_body
from fractal_lba.server.http.respond import response
from fractal_lba.server.http.settled_log import SettledLog
from fractal_lba.server.pipeline.intake import Intake
from fractal_lba.server.ports import Meter

_JSON = "application/json"

NO_TENANT = "?"
"""Stands in the inbox for an ``X-Tenant-Id`` that names no tenant; agrees with none."""


@dataclass(slots=True, kw_only=True)
class Submit:
    """The call that takes records."""

    admission: Admission
    intake: Intake
    keyring: Callable[[], Keyring]
    meter: Meter
    settled_log: SettledLog

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this module."""
        return [web.post("/v1/pcs/submit", self.submit)]

    async def submit(self, request: web.Request) -> web.Response:
        """Take one record."""
        caller = await self.admission.let_in(
            request, self.keyring(), unsupported=_unsupported_media(request)
        )
        if isinstance(caller, web.Response):
            return caller
        with self.admission.one_more(request, caller) as share:
            body = await read_body(
                request,
                bytes_max=RECORD_BYTES_MAX,
                timeout_s=self.admission.bounds.body_timeout_s,
                share=share,
            )
            if isinstance(body, Answer):
                return closing(response(body))
            started = time.perf_counter()
            async with self.admission.shares.one_of(owner_of(caller)):
                settled = await self.intake.receive(
                    body,
                    Received(
                        identified_tenant=caller.tenant if caller else None,
                        tenant_header=tenant_header(request),
                    ),
                )
            seconds = time.perf_counter() - started
        self.meter.submit_took(seconds)
        self.settled_log.note(settled, seconds, caller)
        return response(settled.answer)


def tenant_header(request: web.Request) -> str | None:
    """Return the tenant that ``X-Tenant-Id`` names, ``None`` where it names none."""
    # Bounded and of the form of a tenant before it goes beside the body on disk: what a caller
    # nobody knows puts there must not outgrow a frame. Anything else agrees with no tenant.
    if "X-Tenant-Id" not in request.headers:
        return None
    given = request.headers.getall("X-Tenant-Id")
    if given == [""]:
        return None
    return given[0] if len(given) == 1 and TENANT.fullmatch(given[0]) else NO_TENANT


def _unsupported_media(request: web.Request) -> Answer | None:
    # Old agents say nothing of their type; whoever says something must say the right thing.
    headers = request.headers
    said = headers.get("Content-Type", _JSON)
    if said != _JSON and request.content_type != _JSON:  # noqa: PLR1714 - the second is a parser's
        return problem(
            ServerCode.UNSUPPORTED_MEDIA_TYPE,
            "Content-Type: expected application/json, got another",
        )
    if "Content-Encoding" in headers and content_encoding(request) not in {"", "identity"}:
        return problem(
            ServerCode.UNSUPPORTED_MEDIA_TYPE,
            "Content-Encoding: expected none on submit, got one",
        )
    return None


def content_encoding(request: web.Request) -> str:
    """Return how a body is encoded, in lower case; empty where nothing is said of it."""
    return ", ".join(request.headers.getall("Content-Encoding", [])).strip().lower()


def closing(refused: web.Response) -> web.Response:
    """End the connection with the answer to a body that was not read to its end."""
    # The rest of the body was not read: the connection cannot carry another request.
    refused.force_close()
    return refused
