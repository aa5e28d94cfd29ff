"""A URL with the other scheme than its server's ends a call of an SDK; so does its deadline."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.raw_server import serving
from tests.support.sdk_drivers import CLIENTS, Driver, require
from tests.support.sdk_tls import World, secured
from tests.support.server_process import ServerProcess
from tests.support.signed import body

SCHEME: Final = {"kind": "scheme", "code": None}
RETRIES: Final = 50
"""What is told at once is not tried again, however often it might be."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with secured(tmp_path_factory.mktemp("schemes") / "folder") as world:
        yield world


def submitted(name: str, url: str, *, retries: int, deadline_s: float) -> dict[str, Any]:
    with Driver(name) as driver:
        driver.open_client(url, retries=retries, deadline_s=deadline_s)
        return driver.submit(body(1))


@pytest.mark.parametrize("name", CLIENTS)
def test_http_to_the_server_with_tls_is_told(name: str, world: World) -> None:
    require(name)
    plain = world.server.url.replace("https://", "http://")
    assert plain.startswith("http://")
    said = submitted(name, plain, retries=RETRIES, deadline_s=60.0)
    assert (said["error"], said.get("attempts", 1)) == (SCHEME, 1)


@pytest.mark.parametrize("name", CLIENTS)
def test_https_to_the_server_without_tls_is_told(name: str, shared_server: ServerProcess) -> None:
    require(name)
    url = shared_server.url.replace("http://", "https://")
    said = submitted(name, url, retries=RETRIES, deadline_s=60.0)
    assert (said["error"], said.get("attempts", 1)) == (SCHEME, 1)


@pytest.mark.parametrize("name", CLIENTS)
def test_an_outbox_keeps_what_a_server_of_the_other_scheme_was_sent(
    name: str, shared_server: ServerProcess, tmp_path: Path, fresh_epoch: int
) -> None:
    require(name)
    kept = body(fresh_epoch)
    with Driver(name) as driver:
        driver.open_client(shared_server.url.replace("http://", "https://"), retries=RETRIES)
        driver.open_outbox(tmp_path / "data")
        (seq,) = driver.append(kept)
        assert driver.ask("outbox.ship")["error"] == SCHEME
        assert driver.pending() == {seq: kept}
        driver.open_client(shared_server.url)
        assert [each["status"] for each in driver.ask("outbox.ship")["answers"]] == [200]
        driver.close_outbox()


@pytest.mark.parametrize("name", CLIENTS)
def test_interim_answers_without_end_end_with_the_deadline(name: str) -> None:
    require(name)
    never = threading.Event()

    def flood(connection: socket.socket) -> None:
        """Answer with interim answers, slowly and until the client has gone."""
        while not never.wait(0.02):
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")

    with serving(flood) as place:
        # No retry is left either: what ended the call is the deadline all the same.
        said = submitted(name, f"http://{place}", retries=0, deadline_s=0.5)
    assert said["error"]["kind"] == "deadline"
