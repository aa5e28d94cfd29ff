"""Answers that no honest server gives: every client says the same of them, and loses nothing.

Between a client and its server stands what an operator put there, and at a wrong address anyone.
"""

import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.raw_server import serving
from tests.support.sdk_drivers import CLIENTS, Driver, require
from tests.support.signed import body

RECORD: Final = body(1)
OWN: Final[str] = json.loads(RECORD)["pcs_id"]
OTHER: Final = "0" * 64
HANDSHAKE: Final = 22
"""The first byte of TLS, with which a client may ask whether a server speaks it."""

BYTES_MAX: Final = 1 << 20
BOMB: Final = gzip.compress(bytes(64 << 20))
NONE: Final = {"kind": "unavailable", "code": None}


def decision(**changes: object) -> bytes:
    """Return what is looked at of a decision about the record."""
    return json.dumps({"pcs_id": OWN, "accepted": True, "escalated": False, **changes}).encode()


def http(said: bytes, *headers: str, status: int = 200) -> bytes:
    """Return an answer with its length."""
    head = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(said)}", "Connection: close"]
    return "".join(f"{line}\r\n" for line in (*head, *headers, "")).encode("latin-1") + said


def chunked(*pieces: bytes) -> bytes:
    """Return an answer in chunks."""
    head = b"HTTP/1.1 200 Said\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


SOUND: Final = http(decision())
REFUSED: Final = {
    "gzip": http(gzip.compress(decision()), "Content-Encoding: gzip"),
    "gzip of 64 MiB": http(BOMB, "Content-Encoding: gzip"),
    "gzip twice": http(gzip.compress(BOMB), "Content-Encoding: gzip, gzip"),
    "gzip that is none": http(decision(), "Content-Encoding: gzip"),
    "zstd that is none": http(decision(), "Content-Encoding: zstd"),
    "br that is none": http(b"junk", "Content-Encoding: br"),
    "an unknown coding": http(decision(), "Content-Encoding: frob"),
    "a byte over the most": http(decision().ljust(BYTES_MAX + 1)),
    "a length that is too long": SOUND[:-1],
    "a length below 0": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + decision(),
    "two lengths": http(decision(), "Content-Length: 5"),
    "a chunk of no size": chunked() + b"-5\r\n" + decision(),
    "a chunk of every size": chunked() + b"f" * 17 + b"\r\n" + decision(),
    "a header that does not end": http(decision(), "X-A: " + "a" * (4 << 20)),
    "headers without end": http(decision(), *["X-A: " + "a" * 1_000] * 2_000),
    "a header with a zero": http(decision(), "X-A: a\0b"),
    "no answer": b"",
    "no HTTP": decision(),
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a status of four digits": SOUND.replace(b" 200 ", b" 2000 ", 1),
    "a redirect": http(b"", f"Location: http://127.0.0.1:1/{OWN}", status=307),
    "no change": b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n",
}
"""Answers after which the fate of the record is open."""

TAKEN: Final[dict[str, tuple[bytes, str | None]]] = {
    "as long as the most": (http(decision().ljust(BYTES_MAX)), None),
    "chunks": (chunked(decision()) + b"0\r\n\r\n", None),
    "identity": (http(decision(), "Content-Encoding: identity"), None),
    "a code": (http(b'{"code":"said"}', status=400), "said"),
    "a code in capitals": (http(b'{"CODE":"said"}', status=400), None),
    "a code that is no word": (http(b'{"code":"said\\n"}', status=400), None),
    "a code behind a byte order mark": (http(b'\xef\xbb\xbf{"code":"said"}', status=400), None),
}
"""Answers that are final, with the code that is told."""

NOT_ABOUT: Final = {
    "another record": decision(pcs_id=OTHER),
    "another record after its own": decision()[:-1] + b',"pcs_id":"%b"}' % OTHER.encode(),
    "its own in capitals": decision().replace(b"pcs_id", b"PCS_ID"),
    "its own in capitals after another": decision(pcs_id=OTHER, PCS_ID=OWN),
    "its own in an inner object": json.dumps({"__proto__": {"pcs_id": OWN}}).encode(),
    "a byte order mark": b"\xef\xbb\xbf" + decision(),
    "an id that is no text": decision(pcs_id=7, code="said"),
    "an array": b"[%b]" % decision(),
    "more behind it": decision() + b"{}",
    "nothing": b"",
    "a page": b"<html>welcome</html>",
}
"""Bodies that end no window, whether they come with 200 or with 422."""


class Answering:
    """Gives the answers it has, each once, and the last one for ever.

    Attributes:
        requests: How many came.
        asked_for_tls: What to do with a connection that begins a handshake.
    """

    def __init__(self) -> None:
        self.answers: list[bytes] = [SOUND]
        self.requests = 0
        self.asked_for_tls: Callable[[], object] = lambda: None

    def take(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (piece := connection.recv(65_536)):
                return
            head += piece
            if head[0] == HANDSHAKE:
                self.asked_for_tls()
                return
        head, _, given = head.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if b"content-length:" in line]
        size = int(lengths[0].partition(b":")[2]) if lengths else 0
        while len(given) < size and (piece := connection.recv(65_536)):
            given += piece
        self.requests += 1
        connection.sendall(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass


@contextmanager
def answering() -> Iterator[tuple[Answering, str]]:
    """Run such a server; yield it and its URL. Whoever is connected hangs up before it ends."""
    server = Answering()
    with serving(server.take) as place:
        yield server, f"http://{place}"


def submitted(driver: Driver, server: Answering, url: str, answer: bytes) -> dict[str, Any]:
    """Return what a client says to one answer."""
    server.answers = [answer]
    driver.open_client(url, retries=0, deadline_s=30)
    return driver.submit(RECORD)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_takes_no_answer_that_is_not_whole_and_plain(name: str) -> None:
    require(name)
    with answering() as (server, url), Driver(name) as driver:
        said = {what: submitted(driver, server, url, each) for what, each in REFUSED.items()}
        assert {what: each.get("error") for what, each in said.items()} == dict.fromkeys(
            REFUSED, NONE
        )
        assert server.requests == len(REFUSED)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_tells_the_code_that_is_one(name: str) -> None:
    require(name)
    with answering() as (server, url), Driver(name) as driver:
        for what, (answer, code) in TAKEN.items():
            assert submitted(driver, server, url, answer).get("code", "") == code, what


@pytest.mark.parametrize("name", CLIENTS)
def test_an_outbox_keeps_its_window_until_an_answer_is_about_it(name: str, tmp_path: Path) -> None:
    require(name)
    with answering() as (server, url), Driver(name) as driver:
        assert driver.open_outbox(tmp_path / "data") == 0
        driver.open_client(url, retries=0)
        for status in (200, 422):
            for what, said in NOT_ABOUT.items():
                driver.append(RECORD)
                server.answers, server.requests = [http(said, status=status), SOUND], 0
                (shipped,) = driver.ask("outbox.ship")["answers"]
                # The first answer ended nothing: the window was sent again, and then taken.
                assert (shipped["status"], server.requests) == (200, 2), (status, what)
        assert driver.pending() == {}
        driver.close_outbox()


@pytest.mark.parametrize("name", CLIENTS)
def test_a_server_that_is_asked_for_tls_and_says_nothing_does_not_take_all_the_time(
    name: str,
) -> None:
    require(name)
    is_over = threading.Event()
    with answering() as (server, url), Driver(name) as driver:
        server.answers, server.asked_for_tls = [b"", SOUND], is_over.wait
        driver.open_client(url, retries=1, deadline_s=5)
        said = driver.submit(RECORD)
        is_over.set()
        assert (said.get("status"), server.requests) == (200, 2), said
