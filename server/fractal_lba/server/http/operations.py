"""``/health``, ``/ready`` and ``/metrics``: how the server is."""

import hmac
import math
from base64 import b64decode
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import chain

from aiohttp import web

from fractal_lba.server.core.answer import ServerCode, problem
from fractal_lba.server.http.admit import Admission
from fractal_lba.server.http.respond import response
from fractal_lba.server.ports import Decisions, Inbox, Room


@dataclass(frozen=True, slots=True)
class Troubles:
    """Why not everything of this process can be served: its logs, its shards, its disk."""

    inboxes: Sequence[Inbox]
    shards: Collection[Decisions]
    room: Room

    def reasons(self) -> list[str]:
        """Return each reason, in words."""
        return [
            *(f"fenced: {inbox.fenced_by}" for inbox in self.inboxes if inbox.fenced_by),
            *chain.from_iterable(trouble_of(shard) for shard in self.shards),
            *([self.room.full] if self.room.full else []),
        ]


def trouble_of(decisions: Decisions) -> list[str]:
    """Return why not everything can be decided, in words."""
    return [
        *(f"fenced: {fence}" for fence in decisions.fences),
        *(
            f"damaged: decisions {lost.first} to {lost.last} of {lost.shard} cannot be read;"
            " new ids of it are refused"
            for lost in decisions.losses
        ),
    ]


@dataclass(slots=True, kw_only=True)
class Operations:
    """The calls of whoever runs the server.

    Attributes:
        others: Returns why not everything of the other workers can be served.
        metrics_credentials: User and password of ``GET /metrics``, ``None`` for an open one.
    """

    admission: Admission
    troubles: Troubles
    decisions: Decisions
    others: Callable[[], Sequence[str]]
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
            {"ready": not reasons, "reasons": reasons, "growth": self._growth()},
            status=503 if reasons else 200,
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

    def _growth(self) -> dict[str, int | None] | None:
        found = self.troubles.room.forecast
        if found is None:
            return None
        until_full_s = found.until_full_s
        return {
            "data_bytes": found.measured.used,
            "room_bytes": found.room,
            "bytes_per_second": round(found.growth_per_s),
            "full_in_seconds": None if math.isinf(until_full_s) else int(until_full_s),
            "index_bytes": found.measured.index,
            "index_bytes_per_second": round(found.index_growth_per_s),
            "index_bytes_in_a_day": found.index_in_a_day,
        }

    def _reasons(self) -> list[str]:
        reasons = ["draining"] if self.admission.is_draining else []
        reasons += [*self.troubles.reasons(), *trouble_of(self.decisions), *self.others()]
        return list(dict.fromkeys(reasons))  # a shard is told of by whoever asks it


def _is_basic(request: web.Request, credentials: tuple[str, str]) -> bool:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        given = b64decode(encoded, validate=True)
    except ValueError:
        return False
    return hmac.compare_digest(given, ":".join(credentials).encode())
