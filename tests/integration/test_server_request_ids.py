"""What a request is called, over real sockets: in its answer, its problem and its log lines."""

import re
from collections.abc import Iterator

import pytest
from tests.support.server_process import Folder, ServerProcess
from tests.support.signed import body
from tests.support.wire import JSON, Wire, request, submission

MADE = re.compile(r"[0-9a-f]{32}")
KEPT = ("a", "trace.id_4-Z", "x" * 64)
NOT_KEPT: dict[str, str | bytes] = {
    "empty": "",
    "one too long": "x" * 65,
    "a space": "a b",
    "a line of its own": "a\tb",
    "quotes": '"a"',
    "bytes": b"\xff\xfe",
    "another script": "é",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(Folder(tmp_path_factory.mktemp("request-ids") / "folder")) as server:
        yield server


def settled(server: ServerProcess, request_id: str) -> list[dict[str, object]]:
    return [line for line in server.log_lines() if line.get("request_id") == request_id]


@pytest.mark.parametrize("name", KEPT)
def test_a_callers_id_is_kept_in_the_answer_and_in_the_log(
    server: ServerProcess, fresh_epoch: int, name: str
) -> None:
    sent = body(fresh_epoch)
    for is_replayed in (False, True):
        answer = server.submit(sent, {"X-Request-Id": name})
        assert (answer.status, answer.is_replayed) == (200, is_replayed)
        assert answer.headers["x-request-id"] == name
        assert "request_id" not in answer.json  # a repeat gets the same bytes
    assert [line["event"] for line in settled(server, name)] == ["settled"] * 2


@pytest.mark.parametrize("given", NOT_KEPT.values(), ids=NOT_KEPT)
def test_an_id_of_another_form_is_replaced(server: ServerProcess, given: str | bytes) -> None:
    with Wire(server.address) as wire:
        answer = wire.submit(b"{", {"X-Request-Id": given})
        made = answer.headers["x-request-id"]
        assert MADE.fullmatch(made)
        assert answer.json["request_id"] == made
        assert [line["status"] for line in settled(server, made)] == [400]


def test_an_id_given_twice_is_replaced(server: ServerProcess) -> None:
    sent = submission(b"{", {"X-Request-Id": "one"})
    with Wire(server.address) as wire:
        wire.send(sent.replace(b"\r\n\r\n", b"\r\nX-Request-Id: two\r\n\r\n", 1))
        assert MADE.fullmatch(wire.reply().headers["x-request-id"])


def test_every_request_of_a_connection_has_an_id_of_its_own(server: ServerProcess) -> None:
    with Wire(server.address) as wire:
        wire.send(
            request("GET", "/health")
            + submission(b"{")
            + request("GET", "/nope", headers={"X-Request-Id": "mine"})
            + request("GET", "/ready")
        )
        made = [wire.reply().headers["x-request-id"] for _ in range(4)]
    assert made[2] == "mine"
    assert len(set(made)) == 4


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\r\n\r\n",
        request("GET", "/", headers={"X-Long": "a" * 20_000}),
        request("PUT", "/health"),
        request("POST", "/v1/pcs/submit", b"{}", {**JSON, "Expect": "more"}),
        request("GET", "/metrics"),
        request("GET", "/v1/pcs/" + "0" * 64),
    ],
)
def test_every_answer_names_its_request(server: ServerProcess, sent: bytes) -> None:
    with Wire(server.address) as wire:
        wire.send(sent)
        answer = wire.reply()
    assert MADE.fullmatch(answer.headers["x-request-id"])
    if answer.status >= 400:
        assert answer.json["request_id"] == answer.headers["x-request-id"]
