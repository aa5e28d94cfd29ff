"""Each SDK's client takes every answer of ``http_exchanges.json`` for what it says.

What the file says of a server is held to the server elsewhere. Here a socket gives the answers, and
each client is held to their status, code, body, and whether they repeat an earlier one.
"""

import base64
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest
from tests.support.sdk_drivers import SDKS, Driver, require
from tests.support.signed import body
from tests.support.stated_exchanges import exchanges, text

CLIENTS: Final = [name for name in SDKS if name != "wasm"]
_READS: Final = re.compile(r"/v1/pcs/([0-9a-f]{64})(?:\?.*)?")
_LENGTH: Final = re.compile(rb"(?i)content-length: *([0-9]+)")
_PROBLEM: Final = 400
_ASKED_LATER: Final = {408, 429}


@dataclass(frozen=True)
class Stated:
    """An answer of the file, and the call that gets it.

    Attributes:
        call: The driver's operation, with what it takes.
        wire: The answer as bytes.
    """

    call: dict[str, Any]
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def wire(self) -> bytes:
        headers = {**self.headers, "Content-Length": str(len(self.body)), "Connection": "close"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} Stated\r\n{lines}\r\n".encode() + self.body


def stated() -> Iterator[Stated]:
    """Return every answer that a client can be given."""
    sent = base64.b64encode(body(1)).decode()
    for _, method, target, answer in exchanges():
        whole = text(answer["body"]).encode()
        status = answer["status"]
        call: dict[str, Any] = {"op": "client.submit", "body": sent}
        if target.partition("?")[0] == "/v1/pcs/batch" and method == "POST":
            count = whole.count(b"\n") if status == 200 else 1
            call = {"op": "client.batch", "bodies": [sent] * count, "encoding": None}
        elif method == "GET" and (found := _READS.fullmatch(target)):
            call = {"op": "client.get", "pcs_id": found[1]}
        elif method == "GET" and target.partition("?")[0] == "/v1/pcs":
            call = {"op": "client.list", "query": {}}
        elif status < _PROBLEM and target.partition("?")[0] != "/v1/pcs/submit":
            continue  # a call that no client makes: probes, metrics, escalations
        headers = {name: text(value) for name, value in answer["headers"].items()}
        if call["op"] == "client.list" and "ndjson" in headers.get("Content-Type", ""):
            continue  # an export, which only curl and the command line ask for
        yield Stated(call, status, headers, whole)


@contextmanager
def answering(answers: list[bytes]) -> Iterator[str]:
    """Give one answer for each connection; yield the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for answer in answers:
                connection, _ = listening.accept()
                with connection:
                    read_request(connection)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        host, port = listening.getsockname()
        yield f"http://{host}:{port}"
        thread.join(timeout=30)
        assert not thread.is_alive(), "expected a request for each answer"


def read_request(connection: socket.socket) -> None:
    """Read one request, so that no answer comes before it was sent."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65_536)
    head, _, rest = data.partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        while not rest.endswith(b"0\r\n\r\n"):
            rest += connection.recv(65_536)
    elif (length := _LENGTH.search(head)) is not None:
        while len(rest) < int(length[1]):
            rest += connection.recv(65_536)


def expected_of(answer: Stated) -> list[dict[str, Any]]:
    """Return what a client must say of each record that was asked about."""
    if answer.call["op"] == "client.batch" and answer.status == 200:
        lines = map(json.loads, answer.body.splitlines())
        return [said(line["status"], line.get("replayed", False), line["body"]) for line in lines]
    is_repeat = answer.headers.get("Idempotent-Replayed") == "true"
    problem = json.loads(answer.body) if answer.status >= _PROBLEM and answer.body else None
    return [said(answer.status, is_repeat, problem)]


def said(status: int, is_repeat: bool, document: Any) -> dict[str, Any]:  # noqa: ANN401, FBT001 - any JSON
    code = document.get("code") if status >= _PROBLEM and document else None
    if is_later(status):
        return later(code)
    return {"status": status, "replayed": is_repeat, "code": code}


def is_later(status: int) -> bool:
    """Tell whether the same bytes may get another answer another time."""
    return status in _ASKED_LATER or status >= 500


def later(code: str | None) -> dict[str, Any]:
    return {"kind": "unavailable", "code": code}


def brief(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        return dict(answer["error"])
    status, code = answer["status"], answer["code"]
    # A line of a batch that is to be sent again comes with its status.
    return (
        later(code)
        if is_later(status)
        else {"status": status, "replayed": answer["replayed"], "code": code}
    )


@pytest.mark.parametrize("sdk", CLIENTS)
def test_every_answer_is_taken_for_what_it_says(sdk: str, tell: Any) -> None:  # noqa: ANN401 - the fixture
    require(sdk)
    every = list(stated())
    assert len(every) > 200
    with Driver(sdk) as driver, answering([each.wire for each in every]) as url:
        opening = {"url": url, "token": "t" * 40, "retries": 0, "deadline_s": 30.0}
        assert driver.ask("client.open", **opening) == {"ok": True}
        for each in every:
            call = dict(each.call)
            got = driver.ask(call.pop("op"), **call)
            answers = got.get("answers") or [got.get("refusal", got)]
            assert [brief(answer) for answer in answers] == expected_of(each), each
            if "body" in got:
                assert base64.b64decode(got["body"]) == each.body
    tell("sdks", f"{sdk}: {len(every)} answers of http_exchanges.json read")


@pytest.mark.parametrize("sdk", CLIENTS)
@pytest.mark.parametrize(
    "code", ["Bearer tttttttttt", "Access Denied", "", "a" * 65, "a\n", "é", "_a"]
)
def test_a_code_that_is_no_word_is_none(sdk: str, code: str) -> None:
    require(sdk)
    headers = {"Content-Type": "application/problem+json"}
    problem = Stated({}, 401, headers, json.dumps({"code": code}).encode())
    with Driver(sdk) as driver, answering([problem.wire]) as url:
        driver.ask("client.open", url=url, token="t" * 40, retries=0, deadline_s=30.0)
        got = driver.ask("client.submit", body=base64.b64encode(body(1)).decode())
    assert brief(got) == {"status": 401, "replayed": False, "code": None}
