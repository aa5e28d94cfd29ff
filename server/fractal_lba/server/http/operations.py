"""``/health``, ``/ready`` and ``/metrics``: how the server is."""

import hmac
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from fractal_lba.server.core.answer import ServerCode, problem
from fractal_lba.server.http.admit import Admission
from fractal_lba.server.http.respond import response
from fractal_lba.server.ports import Decisions, Inbox


@dataclass(slots=True, kw_only=True)
class Operations:
    """The calls of whoever runs the server.

    Attributes:
        metrics_credentials: User and password of ``GET /metrics``, ``None`` for an open one.
    """

    admission: Admission
    inbox: Inbox
    decisions: Decisions
    exposition: Callable[[], bytes]
    exposition_type: str
    metrics_credentials: tuple[str, str] | None = None

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this module."""
        return [
            web.get("/health", self.health),
            web.get("/ready", self.ready),
            web.get("/metrics", self.metrics),
        ]

    async def health(self, _request: web.Request) -> web.Response:
        """Say that the process answers."""
        return web.Response(text="OK")

    async def ready(self, _request: web.Request) -> web.Response:
        """Say whether everything can be served, and what can not."""
        reasons = self._reasons()
        return web.json_response(
            {"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200
        )

    async def metrics(self, request: web.Request) -> web.Response:
        """Give Prometheus its scrape."""
        if self.metrics_credentials and not _is_basic(request, self.metrics_credentials):
            refused = response(
                problem(
                    ServerCode.UNAUTHENTICATED,
                    "Authorization: expected the metrics user, got another",
                )
            )
            refused.headers["WWW-Authenticate"] = 'Basic realm="metrics"'
            return refused
        return web.Response(body=self.exposition(), headers={"Content-Type": self.exposition_type})

    def _reasons(self) -> list[str]:
        reasons = ["draining"] if self.admission.is_draining else []
        fences = [*filter(None, [self.inbox.fenced_by]), *self.decisions.fences]
        reasons += [f"fenced: {fence}" for fence in fences]
        if full := self.admission.room.full:
            reasons.append(full)
        reasons += [
            f"damaged: decisions {lost.first} to {lost.last} cannot be read; new ids are refused"
            for lost in self.decisions.losses
        ]
        return reasons


def _is_basic(request: web.Request, credentials: tuple[str, str]) -> bool:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        given = b64decode(encoded, validate=True)
    except ValueError:
        return False
    return hmac.compare_digest(given, ":".join(credentials).encode())
