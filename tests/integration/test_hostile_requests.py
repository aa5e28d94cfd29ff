"""Requests that are not quite HTTP, or are it in two ways at once: refused, and nothing smuggled.

What stands before a server (a proxy, a balancer) may see other ends of requests than it does. So
whatever two readers could take differently is refused and ends its connection.
"""

from collections.abc import Iterator

import pytest
from tests.support.server_process import Folder, ServerProcess, until
from tests.support.siege import besieged, open_connections
from tests.support.signed import body, members
from tests.support.wire import Wire, head_of_submission, request, submission

HIDDEN = 999_000
"""The epoch of the record that every smuggler carries; nobody ever sends it openly."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = Folder(tmp_path_factory.mktemp("requests") / "folder")
    with besieged(folder, "--body-timeout-s=5") as server:
        yield server
        assert server.get(str(members(HIDDEN)["pcs_id"])).status == 404


def post(*headers: bytes, version: bytes = b"1.1") -> bytes:
    """Return the head of a submit with these headers and no other length."""
    lines = [
        b"POST /v1/pcs/submit HTTP/" + version,
        b"Host: server",
        b"Content-Type: application/json",
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def get(*headers: bytes, target: bytes = b"/health", version: bytes = b" HTTP/1.1") -> bytes:
    return b"\r\n".join([b"GET " + target + version, b"Host: server", *headers, b"", b""])


CHUNKED = b"Transfer-Encoding: chunked"
SMUGGLED = submission(body(HIDDEN))
LENGTH = b"Content-Length: %d" % len(SMUGGLED)

SMUGGLERS = {
    "length and chunks": post(LENGTH, CHUNKED) + b"0\r\n\r\n",
    "chunks and length": post(CHUNKED, b"Content-Length: 5") + b"0\r\n\r\n",
    "two lengths": post(b"Content-Length: 0", LENGTH),
    "one length twice": post(LENGTH, LENGTH),
    "a list of lengths": post(b"Content-Length: 0, 0"),
    "a signed length": post(b"Content-Length: +0"),
    "a negative length": post(b"Content-Length: -1"),
    "a hexadecimal length": post(b"Content-Length: 0x0"),
    "a length without an end": post(b"Content-Length: 99999999999999999999999999"),
    "a blank before the colon": post(b"Content-Length : 0"),
    "a folded length": post(b"Content-Length:\r\n 0"),
    "chunked twice": post(CHUNKED, CHUNKED) + b"0\r\n\r\n",
    "chunked and identity": post(b"Transfer-Encoding: chunked, identity") + b"0\r\n\r\n",
    "gzip and chunked": post(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    "an unknown coding": post(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n",
    "a vertical tab": post(b"Transfer-Encoding: \x0bchunked") + b"0\r\n\r\n",
    "chunks in HTTP/1.0": post(CHUNKED, version=b"1.0") + b"0\r\n\r\n",
    "no hexadecimal size": post(CHUNKED) + b"zz\r\n",
    "a size with 0x": post(CHUNKED) + b"0x0\r\n\r\n",
    "a negative size": post(CHUNKED) + b"-1\r\n\r\n",
    "a size over 64 bits": post(CHUNKED) + b"1" + b"0" * 16 + b"\r\n",
    "a chunk longer than its size": post(CHUNKED) + b"1\r\nabc\r\n0\r\n\r\n",
    "chunks ended by line feeds": post(CHUNKED) + b"0\n\n",
    "a line feed in a chunk extension": post(CHUNKED) + b"1;a\nb\r\n",
    "a NUL in a header": get(b"X-A: b\0c"),
    "a NUL in a name": get(b"X\0A: b"),
    "a carriage return in a header": get(b"X-A: b\rc"),
    "a folded header": get(b"X-A: b\r\n c"),
    "no name": get(b": b"),
    "line feeds alone": get().replace(b"\r\n", b"\n"),
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": get(b"Host: other"),
    "HTTP/0.9": b"GET /health\r\n\r\n",
    "HTTP/1.2": get(version=b" HTTP/1.2"),
    "HTTP/2.0": get(version=b" HTTP/2.0"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a target that is none": get(target=b"http://[::1/health"),
    "bytes over 127 in a target": get(target=b"/v1/\xff"),
    "a NUL in a target": get(target=b"/v1/\0"),
    "bytes as an expectation": get(b"Expect: \xff"),
    "TLS": bytes.fromhex("1603010200010001fc0303") + bytes(64),
}


@pytest.mark.parametrize("sent", SMUGGLERS.values(), ids=SMUGGLERS)
def test_what_can_be_read_in_two_ways_ends_its_connection(
    server: ServerProcess, sent: bytes
) -> None:
    with Wire(server.address) as wire:
        wire.send(sent + SMUGGLED)
        answer = wire.reply()
        assert (answer.status, answer.json["code"]) == (400, "bad_request")
        assert answer.json["request_id"] == answer.headers["x-request-id"]
        assert wire.is_ended()


@pytest.mark.parametrize("name", ["HTTP/0.9", "HTTP/2.0", "chunks in HTTP/1.0"])
def test_another_version_is_refused_with_nothing_behind_it(
    server: ServerProcess, name: str
) -> None:
    with Wire(server.address) as wire:
        wire.send(SMUGGLERS[name])
        assert wire.reply().status == 400
        assert wire.is_ended()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (get(target=b"http://elsewhere/health"), 200),
        (get(b"X-A: \xff\xfe"), 200),
        (get(b"X-Request-Id: \xff\xfe"), 200),
        (get(b"Authorization: Bearer \xff", target=b"/v1/pcs"), 401),
        (get(target=b"/v1/pcs/%ff%00%zz"), 404),
        (get(target=b"//elsewhere/health"), 404),
        (get(target=b"/v1/../health"), 404),
        (get(b"Authorization: Bearer read-token-of-acme", target=b"/v1/pcs?a=%ff&" * 40), 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: server\r\n\r\n", 404),
        (b"TRACE /health HTTP/1.1\r\nHost: server\r\n\r\n", 405),
    ],
)
def test_what_is_merely_strange_is_answered_and_the_next_request_too(
    server: ServerProcess, sent: bytes, status: int
) -> None:
    with Wire(server.address) as wire:
        wire.send(sent + get())
        assert wire.reply().status == status
        assert wire.reply().body == b"OK"


def test_chunk_extensions_are_passed_over(server: ServerProcess, fresh_epoch: int) -> None:
    sent = body(fresh_epoch)
    with Wire(server.address) as wire:
        wire.send(post(CHUNKED) + b'%x;a=b;c="d"\r\n%b\r\n0\r\nX: y\r\n\r\n' % (len(sent), sent))
        assert wire.reply().status == 200
        assert wire.ask("GET", "/health").body == b"OK"


def test_an_upgrade_is_not_taken_and_ends_the_connection(
    server: ServerProcess, fresh_epoch: int
) -> None:
    for protocol in ("h2c", "websocket"):
        headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": protocol}
        with Wire(server.address) as wire:
            wire.send(submission(body(fresh_epoch), headers) + SMUGGLED)
            answer = wire.reply()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert wire.is_ended()


def test_chunks_that_break_in_the_middle_are_refused_at_once(server: ServerProcess) -> None:
    with Wire(server.address) as wire:
        wire.send(post(CHUNKED, b"Expect: 100-continue") + b"2\r\n{}\r\n")
        assert wire.reply().status == 100  # its handler reads
        wire.send(b"zz\r\n")
        answer = wire.reply()
        assert (answer.status, answer.json["code"]) == (400, "bad_request")
        assert wire.is_ended()


@pytest.mark.parametrize("is_reset", [True, False], ids=["reset", "closed"])
def test_hundreds_that_hang_up_leave_nothing_behind(
    server: ServerProcess, fresh_epoch: int, *, is_reset: bool
) -> None:
    sent = body(fresh_epoch)
    listing = request(
        "GET",
        "/v1/pcs",
        headers={
            "Authorization": f"Bearer {server.folder.token('acme')}",
            "Accept": "application/x-ndjson",
        },
    )
    parts = (
        submission(sent),  # before its answer
        submission(sent)[:-1],  # within its body
        head_of_submission(100),
        post(CHUNKED) + b"2\r\n{}\r\n",
        b"POST /v1",
        listing,
        request("POST", "/v1/pcs/batch", sent, {"Content-Type": "application/x-ndjson"}),
    )
    for number in range(300):
        wire = Wire(server.address)
        wire.send(parts[number % len(parts)])
        wire.reset() if is_reset else wire.close()
    until(lambda: open_connections(server) <= 1, "every connection is gone")
    assert server.submit(sent).status == 200


def test_a_caller_that_closes_its_half_has_hung_up(server: ServerProcess, fresh_epoch: int) -> None:
    sent = body(fresh_epoch)
    with Wire(server.address) as wire:
        wire.send(submission(sent)[:-1])
        wire.close_half()
        assert wire.is_ended()
    assert not server.submit(sent).is_replayed
