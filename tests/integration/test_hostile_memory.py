"""Clients that make a server hold memory: what they get it to hold is bounded, others are served.

The bounds stated here are of the settings used here; ``specs/server.md`` has those of the defaults.
"""

import gzip
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import zstandard
from tests.support.server_process import Folder, ServerProcess
from tests.support.siege import MIB, Honest, Peak, besieged
from tests.support.signed import body
from tests.support.wire import Wire, request, submission

ANSWER_BYTES_MAX = 4 * MIB
RECORDS = 1_000
OTHER = "127.0.0.2"
CHUNKED = (
    b"POST /v1/pcs/submit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a thousand records, whose readers have little time and memory."""
    folder = Folder(tmp_path_factory.mktemp("memory") / "folder")
    flags = (f"--answer-bytes-max={ANSWER_BYTES_MAX}", "--body-timeout-s=3")
    with besieged(folder, *flags) as server:
        sent = b"".join(record(epoch) + b"\n" for epoch in range(RECORDS))
        assert {line["status"] for line in server.batch(sent).lines} == {200}
        assert len(server.read(f"/v1/pcs?limit={RECORDS}").json["records"]) == RECORDS
        yield server


def record(epoch: int) -> bytes:
    return body(epoch, shard_id="s" * 128)


def listing(server: ServerProcess, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a request of a hundred bytes that is answered with 380 KB."""
    token = {"Authorization": f"Bearer {server.folder.token('acme')}"}
    return request("GET", f"/v1/pcs?limit={RECORDS}", headers={**token, **(headers or {})})


def open_wires(stack: ExitStack, server: ServerProcess, count: int) -> list[Wire]:
    return [
        stack.enter_context(Wire(server.address, source=OTHER, receive_bytes=4_096))
        for _ in range(count)
    ]


def test_answers_that_nobody_reads_are_held_up_to_their_bound(server: ServerProcess) -> None:
    with ExitStack() as stack, Honest(server) as honest:
        peak = Peak(server.process.pid)
        wires = open_wires(stack, server, 60)
        for wire in wires:
            wire.send(listing(server))
        assert all(wire.has_something() for wire in wires)
        honest.served()
        assert b'flk_connections_cut_total{why="unread"}' in server.ask("GET", "/metrics").body
        # 23 MB were asked for; what waited longest is cut, what waits still can be read.
        assert all(wire.is_cut() for wire in wires[:20])
        assert not wires[-1].is_cut()
        # Each answer is there twice while it waits: in its response and in what is to be sent. The
        # rest is for the pages in the making.
        assert peak.growth < 2 * ANSWER_BYTES_MAX + 16 * MIB


def test_a_pipeline_whose_answers_nobody_reads_holds_one_of_them(server: ServerProcess) -> None:
    with ExitStack() as stack, Honest(server) as honest:
        peak = Peak(server.process.pid)
        wires = open_wires(stack, server, 10)
        # Parsed ahead, the heads alone would be 10 MB.
        long = {"X-A": "a" * 7_000, "X-B": "b" * 7_000}
        for wire in wires:
            wire.send(listing(server, long) * 34)
        assert all(wire.has_something() for wire in wires)
        honest.served()
        # 340 answers, 130 MB, were asked for.
        assert peak.growth < 2 * 10 * 400_000
        assert [wires[0].reply().status for _ in range(5)] == [200] * 5


def test_a_pipeline_of_hundreds_is_answered_in_order(server: ServerProcess) -> None:
    with Wire(server.address, source=OTHER) as wire:
        peak = Peak(server.process.pid)
        asked = [
            submission(record(number % RECORDS), {"X-Request-Id": f"n{number}"})
            for number in range(200)
        ]
        wire.send(b"".join(asked))
        answers = [wire.reply() for _ in asked]
        assert peak.growth < 4 * MIB
    assert [answer.headers["x-request-id"] for answer in answers] == [
        f"n{number}" for number in range(200)
    ]
    assert all(answer.is_replayed for answer in answers)


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET /health HTTP/1.1\r\nHost: x\r\n", b"X-%d: " + b"a" * 8_000 + b"\r\n"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n", b"A%d:b\r\n" * 100),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nX: ", b"aaaaaaaa" * 1_000),
        (b"GET /", b"aaaaaaaa" * 1_000),
        (b"", b"\r\n" * 4_000),
        (CHUNKED + b"1\r\n \r\n1;", b"a=b;" * 2_000),
        (CHUNKED + b"1\r\n \r\n0\r\n", b"X-%d: " + b"a" * 8_000 + b"\r\n"),
    ],
    ids=["long", "many", "one-header", "path", "empty-lines", "chunk-extension", "trailers"],
)
def test_what_ends_neither_a_head_nor_adds_to_a_body_is_refused(
    server: ServerProcess, begin: bytes, piece: bytes
) -> None:
    with ExitStack() as stack:
        peak = Peak(server.process.pid)
        wires = open_wires(stack, server, 50)
        for wire in wires:
            wire.send(begin)
        for number in range(8):
            for wire in wires:
                wire.try_to_send(piece.replace(b"%d", b"%d" % number))
        for wire in wires:
            wire.is_ended()  # it sends its answer, or resets where we went on sending
        # 16 KiB of head and 16 KiB read with it, as bytes and as headers.
        assert peak.growth < 50 * 4 * 32 * 1024
    assert server.submit(record(0)).is_replayed


def test_endless_chunks_are_refused_where_a_body_may_not_go_on(server: ServerProcess) -> None:
    with ExitStack() as stack, Honest(server) as honest:
        peak = Peak(server.process.pid)
        wires = open_wires(stack, server, 20)
        chunk = b"2000\r\n" + b" " * 8_192 + b"\r\n"
        for wire in wires:
            wire.send(CHUNKED + chunk * 9)
        for wire in wires:
            answer = wire.reply()
            assert (answer.status, answer.json["code"]) == (413, "too_large")
        honest.served()
        assert peak.growth < 20 * 4 * 65_536 + 2 * MIB


def bombs() -> dict[str, tuple[str, bytes]]:
    zeros, empty = b"\0" * (256 * MIB), b'{"a":[' + b"{}," * 21_000 + b"1]}\n"
    deep, digits = b"[" * 65_000 + b"\n", b"1" * 65_000 + b"\n"
    fast = zstandard.ZstdCompressor(level=1)
    return {
        "gzip": ("gzip", gzip.compress(zeros, 1)),
        "gzip-in-gzip": ("gzip", gzip.compress(gzip.compress(zeros, 1))),
        "zstd": ("zstd", fast.compress(zeros)),
        "zstd-of-unknown-size": ("zstd", _stream(zeros)),
        "zstd-window": ("zstd", bytes.fromhex("28b52ffd00a8") + b"\0" * 16),
        "deep": ("gzip", gzip.compress(deep * 250)),
        "digits": ("zstd", fast.compress(digits * 10)),
        "empty-objects": ("gzip", gzip.compress(empty * 8)),
    }


def _stream(data: bytes) -> bytes:
    stream = zstandard.ZstdCompressor(level=1).compressobj()
    return stream.compress(data) + stream.flush()


def test_bombs_cost_a_bounded_piece_of_what_they_say(server: ServerProcess) -> None:
    made = bombs()
    # A known caller's: of the others fewer are let in.
    known = {"Authorization": f"Bearer {server.folder.token('acme', 'submit')}"}

    def throw(name: str) -> None:
        encoding, bomb = made[name]
        answer = server.batch(bomb, {"Content-Encoding": encoding, **known})
        assert answer.status in {200, 400, 413}, name
        if answer.status == 200:
            assert {line["status"] for line in answer.lines} <= {400, 413}, name
        # On submit nothing is inflated at all.
        headers = {"Content-Encoding": encoding}
        assert server.submit(bomb[:60_000], headers).status == 415, name

    with Honest(server) as honest, ThreadPoolExecutor(len(made)) as pool:
        peak = Peak(server.process.pid)
        for done in [pool.submit(throw, name) for name in made]:
            done.result()
        honest.served()
        # Four at once, 64 MiB each.
        assert peak.growth < 4 * 64 * MIB
