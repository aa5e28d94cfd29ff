"""A URL with the other scheme than its server's ends a call of an SDK; so does its deadline."""

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import pytest
from tests.support.pki import Authority
from tests.support.sdk_drivers import SDKS, Driver, require
from tests.support.server_process import Folder, ServerProcess
from tests.support.signed import body

TELLING: Final = [name for name in ("go", "typescript") if name in SDKS]
CLIENTS: Final = [name for name in SDKS if name != "wasm"]
SCHEME: Final = {"error": {"kind": "scheme", "code": None}}
RETRIES: Final = 50
"""What is told at once is not tried again, however often it might be."""


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Return a server with TLS, whose certificate nobody trusts."""
    folder = Folder(tmp_path_factory.mktemp("schemes") / "folder")
    own = Authority(folder.path / "pki").issue("own")
    flags = (f"--tls-certificate={own.certificate}", f"--tls-key={own.key}")
    with ServerProcess(folder, *flags) as server:
        yield server


def submitted(name: str, url: str, *, retries: int, deadline_s: float) -> dict[str, Any]:
    with Driver(name) as driver:
        driver.ask("client.open", url=url, token=None, retries=retries, deadline_s=deadline_s)
        return driver.ask("client.submit", body=base64.b64encode(body(1)).decode())


@pytest.mark.parametrize("name", TELLING)
def test_http_to_the_server_with_tls_is_told(name: str, secured: ServerProcess) -> None:
    require(name)
    plain = secured.url.replace("https://", "http://")
    assert plain.startswith("http://")
    assert submitted(name, plain, retries=RETRIES, deadline_s=60.0) == SCHEME


@pytest.mark.parametrize("name", TELLING)
def test_https_to_the_server_without_tls_is_told(name: str, shared_server: ServerProcess) -> None:
    require(name)
    url = shared_server.url.replace("http://", "https://")
    assert submitted(name, url, retries=RETRIES, deadline_s=60.0) == SCHEME


@contextmanager
def flooding() -> Iterator[str]:
    """Answer each request with interim answers, slowly and for ever."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def flood(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                while not ended.wait(0.02):
                    connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=flood, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        host, port = listening.getsockname()
        try:
            yield f"http://{host}:{port}"
        finally:
            ended.set()
            listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("name", CLIENTS)
def test_interim_answers_without_end_end_with_the_deadline(name: str) -> None:
    require(name)
    with flooding() as url:
        # No retry is left either: what ended the call is the deadline all the same.
        said = submitted(name, url, retries=0, deadline_s=0.5)
    assert said["error"]["kind"] == "deadline"
