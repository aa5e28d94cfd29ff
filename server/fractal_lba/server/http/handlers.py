"""The calls of the wire: each translates, delegates, translates back."""

import asyncio
import hmac
import logging
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
from aiohttp import web

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.protocol.keyring import TENANT, Keyring, Scope, Token
from fractal_lba.server.core.answer import Answer, ServerCode, problem, timestamp
from fractal_lba.server.core.entry import Decision
from fractal_lba.server.core.inbox_frame import Received
from fractal_lba.server.core.known import RecordKey, family_of
from fractal_lba.server.http.identity import allow, identify
from fractal_lba.server.http.limits import Addresses, address_of, read_body
from fractal_lba.server.http.respond import response
from fractal_lba.server.pipeline.intake import RETRY_AFTER_S, Intake, Settled
from fractal_lba.server.ports import Inbox, Meter, Shard

_log = logging.getLogger(__name__)

NO_TENANT = "?"
"""Stands in the inbox for an ``X-Tenant-Id`` that names no tenant; agrees with none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """The bounds that handlers keep."""

    body_timeout_s: float
    requests_in_flight_max: int
    in_flight_per_address_max: int
    left_open_max: int


class InFlight:
    """How many bodies are between their first byte and their answer."""

    def __init__(self) -> None:
        self.count = 0
        self._by_address: Counter[str] = Counter()
        self._empty = asyncio.Event()
        self._empty.set()

    @contextmanager
    def one_more(self, address: str) -> Iterator[None]:
        """Count one body of an address for as long as the block runs."""
        self.count += 1
        self._by_address[address] += 1
        self._empty.clear()
        try:
            yield
        finally:
            self.count -= 1
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
            if not self.count:
                self._empty.set()

    def of(self, address: str) -> int:
        """Return how many are of one address."""
        return self._by_address[address]

    async def empty(self) -> None:
        """Return when there are none."""
        await self._empty.wait()


@dataclass(slots=True, kw_only=True)
class Handlers:
    """What the routes call.

    Attributes:
        is_draining: Set once on SIGTERM; nothing new is logged afterwards.
        metrics_credentials: User and password of ``GET /metrics``, ``None`` for an open one.
    """

    intake: Intake
    inbox: Inbox
    shard: Shard
    keyring: Callable[[], Keyring]
    meter: Meter
    exposition: Callable[[], bytes]
    exposition_type: str
    addresses: Addresses
    bounds: Bounded
    metrics_credentials: tuple[str, str] | None = None
    is_draining: bool = False
    in_flight: InFlight = field(default_factory=InFlight)

    def routes(self) -> list[web.RouteDef]:
        """Return the route table."""
        return [
            web.post("/v1/pcs/submit", self.submit),
            web.get("/v1/pcs/{pcs_id:[0-9a-f]{64}}", self.get, allow_head=False),
            web.get("/health", self.health),
            web.get("/ready", self.ready),
            web.get("/metrics", self.metrics),
        ]

    async def submit(self, request: web.Request) -> web.Response:
        """Take one record."""
        refusal = self._refuse_early(request)
        if refusal is not None:
            return response(refusal)
        token = identify(request, self.keyring())
        if isinstance(token, Answer):
            return response(token)
        if token is not None and (refusal := allow(token, Scope.SUBMIT)) is not None:
            return response(refusal)
        with self.in_flight.one_more(address_of(request.transport)):
            body = await read_body(request, timeout_s=self.bounds.body_timeout_s)
            if isinstance(body, Answer):
                return _closing(response(body))
            started = time.perf_counter()
            settled = await self.intake.receive(
                body,
                Received(
                    identified_tenant=token.tenant if token else None,
                    tenant_header=_tenant_header(request),
                ),
            )
            seconds = time.perf_counter() - started
        self.meter.submit_took(seconds)
        _log_settled(settled, seconds)
        return response(settled.answer)

    async def get(self, request: web.Request) -> web.Response:
        """Give one record back to its own tenant."""
        token = identify(request, self.keyring())
        if token is None:
            token = problem(
                ServerCode.UNAUTHENTICATED, "Authorization: expected a bearer token, got none"
            )
        if isinstance(token, Answer):
            return response(token)
        if (refusal := allow(token, Scope.READ)) is not None:
            return response(refusal)
        return response(await self._get(request, token))

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

    def _refuse_early(self, request: web.Request) -> Answer | None:
        if self.is_draining:
            return problem(
                ServerCode.DRAINING,
                "server: expected to be open, got a stop",
                retry_after_s=RETRY_AFTER_S,
            )
        limited = self.addresses.admit(address_of(request.transport), time.monotonic_ns())
        if limited is not None:
            return limited
        if (unsupported := _unsupported_media(request)) is not None:
            return unsupported
        if fence := self.inbox.fenced_by or self.shard.fenced_by:
            return problem(ServerCode.STORAGE_UNAVAILABLE, fence, retry_after_s=RETRY_AFTER_S)
        return self._refuse_full(address_of(request.transport))

    def _refuse_full(self, address: str) -> Answer | None:
        if self.in_flight.of(address) >= self.bounds.in_flight_per_address_max:
            return problem(
                ServerCode.RATE_LIMITED,
                "address: expected less in flight from it, got as much as one may have",
                retry_after_s=RETRY_AFTER_S,
            )
        if (
            self.in_flight.count >= self.bounds.requests_in_flight_max
            or self.inbox.left_open_count >= self.bounds.left_open_max
        ):
            return problem(
                ServerCode.OVERLOADED,
                "server: expected less in flight or left open, got as much as it holds",
                retry_after_s=RETRY_AFTER_S,
            )
        return None

    async def _get(self, request: web.Request, token: Token) -> Answer:
        version = request.query.get("version", "1.0")
        family = family_of(version)
        pcs_id = request.match_info["pcs_id"]
        not_found = problem(
            ServerCode.NOT_FOUND, "pcs_id: expected one of this tenant's, got another"
        )
        if family is None:
            return not_found
        try:
            known = self.shard.lookup(RecordKey(token.tenant, family, pcs_id))
            if known is None:
                return not_found
            entry = await self.shard.read(known.place)
            if (
                not isinstance(entry, Decision)
                or entry.tenant != token.tenant
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

    def _reasons(self) -> list[str]:
        reasons = ["draining"] if self.is_draining else []
        reasons += [
            f"fenced: {fence}" for fence in (self.inbox.fenced_by, self.shard.fenced_by) if fence
        ]
        reasons += [
            f"damaged: decisions {first} to {last} cannot be read; new ids are refused"
            for first, last in self.shard.losses
        ]
        return reasons


def _tenant_header(request: web.Request) -> str | None:
    # Bounded and of the form of a tenant before it goes beside the body on disk: what a caller
    # nobody knows puts there must not outgrow a frame. Anything else agrees with no tenant.
    given = request.headers.getall("X-Tenant-Id", [])
    if given in ([], [""]):
        return None
    return given[0] if len(given) == 1 and TENANT.fullmatch(given[0]) else NO_TENANT


def _unsupported_media(request: web.Request) -> Answer | None:
    if request.content_type != "application/json":
        return problem(
            ServerCode.UNSUPPORTED_MEDIA_TYPE,
            "Content-Type: expected application/json, got another",
        )
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        return problem(
            ServerCode.UNSUPPORTED_MEDIA_TYPE,
            "Content-Encoding: expected none on submit, got one",
        )
    return None


def _log_settled(settled: Settled, seconds: float) -> None:
    answer = settled.answer
    fields = {
        "pcs_id": settled.pcs_id,
        "tenant": settled.tenant,
        "status": answer.status,
        "code": answer.code,
        "replayed": answer.is_replayed,
        "duration_ms": round(seconds * 1000, 3),
    }
    _log.info("settled", extra={name: value for name, value in fields.items() if value is not None})


def _closing(refused: web.Response) -> web.Response:
    # The rest of the body was not read: the connection cannot carry another request.
    refused.force_close()
    return refused


def _is_basic(request: web.Request, credentials: tuple[str, str]) -> bool:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        given = b64decode(encoded, validate=True)
    except ValueError:
        return False
    return hmac.compare_digest(given, ":".join(credentials).encode())
