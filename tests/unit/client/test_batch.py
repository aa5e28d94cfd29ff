"""Batches: what goes out as lines, and what counts as an answer to each of them."""

import gzip
import itertools
import json
import zlib
from contextlib import suppress

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from tests.support.scripted_server import (
    cut,
    cut_in_mid_body,
    decision,
    line_of,
    ndjson,
    problem,
    scripted,
    serving,
)

from fractal_lba.client import BatchAnswer, Client, UnavailableError, split_batch
from fractal_lba.client import batch as batch_module
from fractal_lba.client.batch import BATCH_BYTES_MAX, BATCH_RECORDS_MAX, read_lines
from fractal_lba.client.http import ANSWER_BYTES_MAX
from fractal_lba.protocol import RECORD_BYTES_MAX, ContractError

BODIES = [b'{"epoch":%d}' % epoch for epoch in range(3)]
IDS = [f"{epoch:064x}" for epoch in range(3)]
LINES = b"".join(line_of(web.Response(body=decision(pcs_id))) for pcs_id in IDS)


async def answered(answer: web.Response, *, is_compressing: bool = True) -> BatchAnswer:
    async with serving(scripted()) as server:
        server.batching = scripted(answer)
        async with Client(server.url, is_compressing=is_compressing) as client:
            return await client.batch(BODIES)


@pytest.mark.asyncio
@pytest.mark.parametrize("is_compressing", [True, False])
async def test_records_go_out_as_lines_in_order(*, is_compressing: bool) -> None:
    raw: list[bytes] = []

    async with serving(scripted()) as server:

        async def take(_request: web.Request, body: bytes) -> web.StreamResponse:
            raw.append(body)
            return ndjson(LINES)

        server.batching = take
        async with Client(server.url, token="t0", is_compressing=is_compressing) as client:  # noqa: S106 - a made one
            await client.batch(BODIES)
    assert server.paths == ["POST /v1/pcs/batch"]
    assert raw == [b"\n".join(BODIES) + b"\n"]
    (headers,) = server.headers
    assert headers["Content-Type"] == "application/x-ndjson"
    assert headers.get("Content-Encoding") == ("gzip" if is_compressing else None)
    assert headers["Authorization"] == "Bearer t0"


@pytest.mark.asyncio
async def test_each_line_is_an_answer_as_submit_gives_it() -> None:
    conflict = {"status": 409, "code": "pcs_id_conflict", "pcs_id": IDS[0]}
    lines = [
        {"status": 200, "body": {"a": 1}, "received_at": "2026-01-01T00:00:00.000Z"},
        {"status": 202, "body": {}, "replayed": True, "later": [1]},
        {"status": 409, "body": conflict, "retry_after": 7},
    ]
    answer = await answered(ndjson(b"".join(json.dumps(line).encode() + b"\n" for line in lines)))
    first, second, third = answer.lines
    assert answer.refusal is None
    assert (first.status, first.body, first.replayed, first.code) == (200, b'{"a": 1}', False, None)
    assert first.received_at == "2026-01-01T00:00:00.000Z"
    assert (second.status, second.replayed, second.retry_after_s) == (202, True, None)
    assert (third.status, third.code, third.retry_after_s) == (409, "pcs_id_conflict", 7.0)


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [302, 400, 401, 404, 405, 408, 413, 415, 429, 500, 503])
async def test_a_refusal_of_the_whole_answers_no_line(status: int) -> None:
    refused = await answered(problem(status, "x", **{"Retry-After": "3"}))
    assert refused.lines == ()
    assert refused.refusal is not None
    assert (refused.refusal.status, refused.refusal.code) == (
        status,
        "x" if status >= 400 else None,
    )
    assert refused.refusal.retry_after_s == 3.0


NO_ANSWER = {
    "nothing": b"",
    "a page": b"<html>log in first</html>\n" * 3,
    "a line short": b"".join(LINES.splitlines(keepends=True)[:2]),
    "a line more": LINES + LINES.splitlines(keepends=True)[0],
    "a blank line more": LINES + b"\n",
    "cut before its last line feed": LINES[:-1],
    "cut within its last line": LINES[:-5],
    "a blank line for a line": b"\n".join([LINES.split(b"\n")[0], b"", LINES.split(b"\n")[2], b""]),
    "two lines joined": LINES.replace(b"\n", b" ", 1) + b"\n",
    "a decision alone": decision(IDS[0]) + b"\n" + LINES.split(b"\n", 1)[1],
    "a status as text": LINES.replace(b'"status": 200', b'"status": "200"', 1),
    "a status that is none": LINES.replace(b'"status": 200', b'"status": 20', 1),
    "a status that is true": LINES.replace(b'"status": 200', b'"status": true', 1),
    "a negative wait": LINES.replace(b'"status"', b'"retry_after": -1, "status"', 1),
    "an endless wait": LINES.replace(b'"status"', b'"retry_after": 1e999, "status"', 1),
    "no text": LINES.replace(b'"status"', b'"received_at": "\xff", "status"', 1),
    "a byte flipped": LINES.replace(b'{"status"', b'["status"', 1),
    "deep": b'{"status":200,"body":' + b"[" * 100_000 + b"\n" + LINES.split(b"\n", 1)[1],
    "an array": b"[]\n" * 3,
    "another encoding": LINES.decode().encode("utf-16-le"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("body", NO_ANSWER.values(), ids=NO_ANSWER)
async def test_an_answer_that_is_not_one_line_for_each_record_answers_none(body: bytes) -> None:
    with pytest.raises(UnavailableError, match="batch answer: expected") as caught:
        await answered(ndjson(body))
    assert "html" not in str(caught.value)


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [201, 202, 204, 206])
async def test_another_success_is_no_answer(status: int) -> None:
    body = None if status == 204 else LINES
    with pytest.raises(UnavailableError, match=f"expected 200 or a refusal, got {status}"):
        await answered(web.Response(status=status, body=body))


@given(st.data())
def test_whatever_is_cut_off_an_answer_answers_nothing(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(LINES) - 1))
    with pytest.raises(UnavailableError):
        read_lines(LINES[:at], len(BODIES))
    with pytest.raises(UnavailableError):
        read_lines(LINES[at + 1 :], len(BODIES))


@given(st.binary(max_size=200), st.integers(1, 4))
def test_any_bytes_are_lines_or_no_answer(data: bytes, count: int) -> None:
    with suppress(UnavailableError):
        assert len(read_lines(data, count)) == count


@pytest.mark.asyncio
@pytest.mark.parametrize("answering", [cut, cut_in_mid_body])
async def test_a_cut_connection_answers_nothing(answering: object) -> None:
    async with serving(scripted()) as server, Client(server.url) as client:
        server.batching = answering  # type: ignore[assignment]
        with pytest.raises(UnavailableError, match="expected an answer"):
            await client.batch(BODIES)


@pytest.mark.asyncio
async def test_an_answer_has_a_bound_that_grows_with_its_lines() -> None:
    many = [b"{}"] * 400
    line = b'{"status":200,"body":"%b"}' % (b" " * 4_000)
    most = 400 * 4_096
    assert most > ANSWER_BYTES_MAX
    async with serving(scripted()) as server, Client(server.url) as client:
        server.batching = scripted(ndjson((line + b"\n") * 400), ndjson(bytes(most + 1)))
        assert len((await client.batch(many)).lines) == 400
        with pytest.raises(UnavailableError, match=f"at most {most} bytes"):
            await client.batch(many)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "bodies",
    [
        [],
        [b"{}"] * (BATCH_RECORDS_MAX + 1),
        [b"{}", b""],
        [b"{}", b'{\n"a":1}'],
        [b"{}\n"],
        [b"{}\r"],
        [b" " * (RECORD_BYTES_MAX + 1)],
        [b" " * (RECORD_BYTES_MAX - 1)] * (BATCH_BYTES_MAX // RECORD_BYTES_MAX + 1),
    ],
    ids=["none", "too many", "empty", "two lines", "ended", "CR", "one too large", "too large"],
)
async def test_what_would_be_refused_or_answered_out_of_step_is_not_sent(
    bodies: list[bytes],
) -> None:
    async with serving(scripted()) as server, Client(server.url) as client:
        with pytest.raises(ContractError, match="batch: expected"):
            await client.batch(bodies)
    assert server.paths == []


@given(st.lists(st.integers(1, 40).map(bytes), max_size=30), st.integers(1, 8), st.integers(1, 100))
def test_pieces_hold_every_record_in_order_and_keep_the_bounds(
    bodies: list[bytes], records_max: int, bytes_max: int
) -> None:
    pieces = list(split_batch(bodies, records_max=records_max, bytes_max=bytes_max))
    assert [body for piece in pieces for body in piece] == bodies
    for piece in pieces:
        size = sum(len(body) + 1 for body in piece)
        assert 1 <= len(piece) <= records_max
        assert size <= bytes_max or len(piece) == 1
    for piece, following in itertools.pairwise(pieces):
        full = sum(len(body) + 1 for body in [*piece, following[0]]) > bytes_max
        assert full or len(piece) == records_max


def test_the_largest_pieces_are_batches() -> None:
    many = [b" " * (RECORD_BYTES_MAX - 1)] * 300
    assert [len(piece) for piece in split_batch(many)] == [256, 44]
    assert len(batch_module.joined(many[:256])) == BATCH_BYTES_MAX
    assert [len(piece) for piece in split_batch([b"{}"] * 10_001)] == [10_000, 1]


def test_what_is_sent_is_one_whole_gzip_member() -> None:
    decoder = zlib.decompressobj(31)
    sent = gzip.compress(batch_module.joined(BODIES), 1, mtime=0)
    assert decoder.decompress(sent) == b"\n".join(BODIES) + b"\n"
    assert (decoder.eof, decoder.unused_data) == (True, b"")
