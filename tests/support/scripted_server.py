"""A small real HTTP server whose answers are written down beforehand.

It keeps every record it was sent. What it answers is a function of the request; ``Deciding``
answers as a server does that remembers what it decided. A batch is answered line by line, each as
the record alone would be, unless a test says otherwise.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Answering = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


def decision(pcs_id: str, *, escalated: bool = False) -> bytes:
    """Return the members of a decision body that an agent looks at."""
    return json.dumps({"pcs_id": pcs_id, "accepted": True, "escalated": escalated}).encode()


def problem(status: int, code: str, **headers: str) -> web.Response:
    body = json.dumps({"type": "about:blank", "status": status, "code": code}).encode()
    return web.Response(
        status=status, body=body, headers=headers, content_type="application/problem+json"
    )


def scripted(*answers: Answering | web.Response) -> Answering:
    """Answer the n-th request with the n-th answer, and every later one with the last."""
    left = list(answers)

    async def answering(request: web.Request, body: bytes) -> web.StreamResponse:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, web.Response):
            # A response object serves one request only.
            return web.Response(
                status=answer.status, body=answer.body, headers=answer.headers.copy()
            )
        return await answer(request, body)

    return answering


async def cut(request: web.Request, _body: bytes) -> web.StreamResponse:
    """End the connection instead of answering."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cut_in_mid_body(request: web.Request, _body: bytes) -> web.StreamResponse:
    """Promise more bytes than are sent, and end the connection."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"pcs_id"')
    assert request.transport is not None
    request.transport.close()
    return response


async def never(_request: web.Request, _body: bytes) -> web.StreamResponse:
    """Answer nothing until the caller gives up."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable: the event is never set")


class Deciding:
    """Accepts what it has not seen, repeats what it has, and reports another content as a conflict.

    Attributes:
        windows: (shard_id, epoch) → pcs_ids that came under it.
        first: pcs_id → the body that came first, without its delivery.
        requests: How many came.
    """

    def __init__(self) -> None:
        self.windows: dict[tuple[str, int], set[str]] = {}
        self.first: dict[str, dict[str, Any]] = {}
        self.requests = 0

    async def __call__(self, _request: web.Request, body: bytes) -> web.StreamResponse:
        self.requests += 1
        record = json.loads(body)
        del record["delivery"]
        pcs_id = record["pcs_id"]
        self.windows.setdefault((record["shard_id"], record["epoch"]), set()).add(pcs_id)
        headers = {"Idempotent-Replayed": "true"} if pcs_id in self.first else {}
        self.first.setdefault(pcs_id, record)
        return web.Response(body=decision(pcs_id), headers=headers)


def line_of(answer: web.StreamResponse) -> bytes:
    """Return an answer as the line of a batch that says the same."""
    assert isinstance(answer, web.Response)
    assert isinstance(answer.body, bytes)
    said: dict[str, Any] = {"status": answer.status, "body": json.loads(answer.body)}
    if answer.headers.get("Idempotent-Replayed"):
        said["replayed"] = True
    if "Retry-After" in answer.headers:
        said["retry_after"] = int(answer.headers["Retry-After"])
    return json.dumps(said).encode() + b"\n"


def ndjson(lines: bytes) -> web.Response:
    return web.Response(body=lines, content_type="application/x-ndjson")


class ScriptedServer:
    """What a test holds of a running server.

    Attributes:
        url: Where it answers.
        answering: Answers a record, alone or on its line.
        batching: Answers a batch as a whole; None: line by line.
        bodies: Every record that came, in order, alone or in a batch.
        batches: How many came in each batch.
        headers: The headers that came with each request.
        paths: Method and path of each request.
    """

    def __init__(self, answering: Answering) -> None:
        self.url = ""
        self.answering = answering
        self.batching: Answering | None = None
        self.bodies: list[bytes] = []
        self.batches: list[int] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.headers.append(dict(request.headers))
        self.paths.append(f"{request.method} {request.raw_path}")
        if not request.path.endswith("/v1/pcs/batch"):
            self.bodies.append(body)
            return await self.answering(request, body)
        lines = body.splitlines()
        self.bodies += lines
        self.batches.append(len(lines))
        if self.batching is not None:
            return await self.batching(request, body)
        return await self.in_lines(request, lines)

    async def in_lines(self, request: web.Request, lines: list[bytes]) -> web.StreamResponse:
        """Answer each line as the record alone."""
        return ndjson(b"".join([line_of(await self.answering(request, line)) for line in lines]))


@asynccontextmanager
async def serving(answering: Answering, *, port: int = 0) -> AsyncIterator[ScriptedServer]:
    """Run a server on loopback; a given port takes the place of one that is gone."""
    server = ScriptedServer(answering)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
