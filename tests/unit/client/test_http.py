"""The client against a real server on loopback."""

import asyncio
import errno
import gzip
import logging
import socket
import tracemalloc
from typing import NoReturn

import aiohttp
import pytest
from aiohttp import web
from tests.support.scripted_server import (
    Answering,
    cut,
    cut_in_mid_body,
    decision,
    never,
    problem,
    scripted,
    serving,
)

from fractal_lba.client import Client, UnavailableError
from fractal_lba.client.http import ANSWER_BYTES_MAX
from fractal_lba.protocol import ContractError

PCS_ID = "ab" * 32
BEARER = "t0ken"
BODY = b'{"secret reading": 1}'


@pytest.mark.asyncio
async def test_submit_sends_the_bytes_as_they_are() -> None:
    async with (
        serving(scripted(web.Response(body=decision(PCS_ID)))) as server,
        Client(server.url) as client,
    ):
        answer = await client.submit(BODY)
    assert server.bodies == [BODY]
    assert server.paths == ["POST /v1/pcs/submit"]
    assert server.headers[0]["Content-Type"] == "application/json"
    assert "Authorization" not in server.headers[0]
    assert (answer.status, answer.body) == (200, decision(PCS_ID))
    assert not answer.replayed
    assert answer.retry_after_s is None
    assert answer.code is None


@pytest.mark.asyncio
async def test_a_repeat_and_its_time_are_told() -> None:
    headers = {"Idempotent-Replayed": "true", "X-Received-At": "2026-01-01T00:00:00.000Z"}
    async with (
        serving(scripted(web.Response(status=202, headers=headers))) as server,
        Client(server.url) as client,
    ):
        answer = await client.submit(BODY)
    assert answer.status == 202
    assert answer.replayed
    assert answer.received_at == "2026-01-01T00:00:00.000Z"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "code"), [(409, "pcs_id_conflict"), (422, "unsigned_member_mismatch")]
)
async def test_a_refusal_is_an_answer_with_its_code(status: int, code: str) -> None:
    async with serving(scripted(problem(status, code))) as server, Client(server.url) as client:
        answer = await client.submit(BODY)
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.asyncio
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"code": 7}', b"\xff\xfe"])
async def test_a_refusal_that_is_no_problem_document_has_no_code(body: bytes) -> None:
    async with (
        serving(scripted(web.Response(status=400, body=body))) as server,
        Client(server.url) as client,
    ):
        assert (await client.submit(BODY)).code is None


@pytest.mark.asyncio
async def test_retry_after_is_read_against_the_servers_own_clock() -> None:
    headers = {
        "Retry-After": "Thu, 01 Jan 2026 00:00:30 GMT",
        "Date": "Thu, 01 Jan 2026 00:00:10 GMT",
    }
    answers = scripted(
        problem(429, "rate_limited", **{"Retry-After": "2"}),
        web.Response(status=503, headers=headers),
    )
    async with serving(answers) as server, Client(server.url, now=lambda: 0.0) as client:
        assert (await client.submit(BODY)).retry_after_s == 2.0
        assert (await client.submit(BODY)).retry_after_s == 20.0


@pytest.mark.asyncio
async def test_get_asks_for_one_record_with_the_token() -> None:
    async with (
        serving(scripted(web.Response(body=b"{}"))) as server,
        Client(server.url, token=BEARER) as client,
    ):
        answer = await client.get(PCS_ID)
    assert server.paths == [f"GET /v1/pcs/{PCS_ID}?version=1.0"]
    assert server.headers[0]["Authorization"] == "Bearer t0ken"
    assert answer.body == b"{}"


@pytest.mark.asyncio
async def test_a_listing_asks_for_one_page_with_its_parameters() -> None:
    async with (
        serving(scripted(web.Response(body=b"{}"))) as server,
        Client(server.url, token=BEARER) as client,
    ):
        answer = await client.listing({"shard_id": "press-7", "limit": "2"})
        await client.listing()
    assert server.paths == ["GET /v1/pcs?shard_id=press-7&limit=2", "GET /v1/pcs"]
    assert server.headers[0]["Authorization"] == "Bearer t0ken"
    assert answer.body == b"{}"


@pytest.mark.asyncio
async def test_a_path_before_the_routes_is_kept() -> None:
    async with serving(scripted(web.Response())) as server, Client(server.url + "/lba/") as client:
        await client.get(PCS_ID)
    assert server.paths == [f"GET /lba/v1/pcs/{PCS_ID}?version=1.0"]


@pytest.mark.asyncio
@pytest.mark.parametrize("answering", [cut, cut_in_mid_body])
async def test_a_cut_connection_is_no_answer(answering: Answering) -> None:
    async with serving(scripted(answering)) as server, Client(server.url) as client:
        with pytest.raises(UnavailableError, match="expected an answer"):
            await client.submit(BODY)


@pytest.mark.asyncio
async def test_an_answer_that_does_not_come_is_no_answer() -> None:
    async with serving(scripted(never)) as server, Client(server.url, timeout_s=0.05) as client:
        with pytest.raises(UnavailableError, match="no answer in time"):
            await client.submit(BODY)


@pytest.mark.asyncio
async def test_a_port_nobody_listens_on_is_no_answer() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else can take it meanwhile
        async with Client(f"http://127.0.0.1:{taken.getsockname()[1]}") as client:
            with pytest.raises(UnavailableError, match=r"got Connection refused$"):
                await client.submit(BODY)


@pytest.mark.asyncio
async def test_a_name_that_does_not_resolve_is_said_in_words() -> None:
    async with Client("http://nowhere.invalid:1") as client:
        with pytest.raises(UnavailableError, match=r"got \w+ \w+") as caught:
            await client.submit(BODY)
    assert "Error" not in str(caught.value)


def unwritten() -> aiohttp.ClientOSError:
    error = aiohttp.ClientOSError(None, "Can not write request body")
    error.__cause__ = aiohttp.ClientConnectionResetError("closing")
    return error


@pytest.mark.parametrize(
    "error",
    [
        unwritten(),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientConnectionResetError("closing"),
        aiohttp.ClientOSError(errno.ECONNRESET, "reset"),
        aiohttp.ClientOSError(errno.EPIPE, "broken"),
    ],
    ids=str,
)
@pytest.mark.asyncio
async def test_however_a_server_hangs_up_over_tls_a_certificate_may_be_why(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def hang_up(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(aiohttp.ClientSession, "request", hang_up)
    async with Client("https://127.0.0.1:9") as client:
        with pytest.raises(UnavailableError, match="asks for a client certificate"):
            await client.submit(b"{}")


@pytest.mark.asyncio
async def test_a_redirect_is_not_followed() -> None:
    async with serving(scripted(web.Response())) as other:
        redirect = web.Response(status=307, headers={"Location": other.url})
        async with serving(scripted(redirect)) as server, Client(server.url) as client:
            assert (await client.submit(BODY)).status == 307
    assert other.bodies == []


@pytest.mark.asyncio
async def test_an_endless_answer_is_refused() -> None:
    async with (
        serving(scripted(web.Response(body=bytes(ANSWER_BYTES_MAX + 1)))) as server,
        Client(server.url) as client,
    ):
        with pytest.raises(UnavailableError, match="at most 1048576 bytes"):
            await client.submit(BODY)


@pytest.mark.asyncio
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "br"])
async def test_a_compressed_answer_is_not_asked_for_and_not_undone(encoding: str) -> None:
    bomb = gzip.compress(bytes(64 << 20))
    headers = {"Content-Encoding": encoding}
    async with (
        serving(scripted(web.Response(body=bomb, headers=headers))) as server,
        Client(server.url) as client,
    ):
        server.batching = server.answering
        tracemalloc.start()
        try:
            for sending in (client.submit(BODY), client.batch([BODY, BODY])):
                with pytest.raises(UnavailableError, match="not compressed"):
                    await sending
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert {each["Accept-Encoding"] for each in server.headers} == {"identity"}
    assert peak < 4 << 20


@pytest.mark.asyncio
async def test_the_largest_answer_is_read_whole() -> None:
    body = bytes(ANSWER_BYTES_MAX)
    async with serving(scripted(web.Response(body=body))) as server, Client(server.url) as client:
        assert (await client.submit(BODY)).body == body


@pytest.mark.asyncio
async def test_neither_body_nor_token_is_logged_or_raised(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with (
        serving(scripted(cut, web.Response())) as server,
        Client(server.url, token=BEARER) as client,
    ):
        with pytest.raises(UnavailableError) as caught:
            await client.submit(BODY)
        await client.submit(BODY)
        shown = repr(client)
    for text in (caplog.text, str(caught.value), shown):
        assert "secret reading" not in text
        assert "t0ken" not in text


@pytest.mark.asyncio
async def test_requests_run_side_by_side() -> None:
    waiting = 0
    all_there = asyncio.Event()

    async def together(_request: web.Request, _body: bytes) -> web.StreamResponse:
        nonlocal waiting
        waiting += 1
        if waiting == 8:
            all_there.set()
        await all_there.wait()
        return web.Response()

    async with serving(together) as server, Client(server.url, connections_max=8) as client:
        answers = await asyncio.gather(*(client.submit(BODY) for _ in range(8)))
    assert [answer.status for answer in answers] == [200] * 8


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8080",
        "ftp://host",
        "http://",
        "http://user:pa55word@host",
        "http://host/?a=b",
        "http://host/#x",
        "http://host:notaport",
    ],
)
def test_a_url_that_is_no_servers_is_refused(url: str) -> None:
    with pytest.raises(ContractError, match="server URL: expected") as caught:
        Client(url)
    assert "pa55word" not in str(caught.value)
