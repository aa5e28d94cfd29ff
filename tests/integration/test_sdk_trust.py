"""A server that is not to be trusted ends a call of every SDK at its first attempt, unsent."""

import base64
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection, create_server
from typing import Any, Final

import pytest
from tests.support.pki import Authority, Pair
from tests.support.sdk_drivers import COMMANDS, SDK, SDKS, Driver, require
from tests.support.server_process import Folder, ServerProcess
from tests.support.signed import body, members

CLIENTS: Final = [name for name in SDKS if name != "wasm"]
BY_SYSTEM: Final = [name for name in CLIENTS if name != "rust"]
"""Whose driver trusts whom its platform does; Rust's is told in `test_sdk_rust_tls.py`."""

DENO: Final = SDK / "typescript/node_modules/@deno/linux-x64-glibc/deno"
UNTRUSTED: Final = {"kind": "untrusted", "code": None}
TOKEN: Final = "hunter2-of-nobody"  # noqa: S105 - of a test
RETRIES: Final = 50
"""What is told at once is not tried again, however often it might be."""


@dataclass(frozen=True)
class World:
    """A server with TLS on 127.0.0.1 and the authority that vouches for it."""

    server: ServerProcess
    authority: Authority
    own: Pair
    token: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = Folder(tmp_path_factory.mktemp("trust") / "folder")
    authority = Authority(folder.path / "pki")
    own = authority.issue("own")
    flags = (f"--tls-certificate={own.certificate}", f"--tls-key={own.key}")
    with ServerProcess(folder, *flags) as server:
        yield World(server, authority, own, folder.token("acme"))


@contextmanager
def opened(name: str, url: str, token: str | None = TOKEN) -> Iterator[Driver]:
    with Driver(name) as driver:
        said = driver.ask("client.open", url=url, token=token, retries=RETRIES, deadline_s=60.0)
        assert said == {"ok": True}
        yield driver


def submitted(driver: Driver, epoch: int) -> dict[str, Any]:
    return driver.ask("client.submit", body=base64.b64encode(body(epoch)).decode())


@contextmanager
def witness(own: Pair, said: list[bytes]) -> Iterator[str]:
    """Serve TLS with this certificate; note what each connection said under TLS; yield the URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    is_over = threading.Event()
    with create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                connection, _ = listening.accept()
                if is_over.is_set():
                    connection.close()
                    return
                heard = b""
                with connection, suppress(OSError):
                    connection.settimeout(30)
                    with context.wrap_socket(connection, server_side=True) as secured:
                        heard = secured.recv(65_536)
                said.append(heard)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        place = listening.getsockname()
        yield f"https://127.0.0.1:{place[1]}"
        is_over.set()
        create_connection(place).close()
        thread.join(timeout=60)
        assert not thread.is_alive()


@pytest.mark.parametrize("name", CLIENTS)
def test_a_certificate_of_an_authority_that_nobody_trusts_ends_every_call(
    name: str, world: World
) -> None:
    require(name)
    with opened(name, world.server.url) as driver:
        said = submitted(driver, 1)
        assert said["error"] == UNTRUSTED
        assert said.get("attempts", 1) == 1
        assert "expected" in said["words"]
        assert TOKEN not in said["words"]
        two = [base64.b64encode(body(epoch)).decode() for epoch in (1, 2)]
        said = driver.ask("client.batch", bodies=two, encoding=None)
        assert all(each["error"] == UNTRUSTED for each in said.get("answers", [said]))
        got = driver.ask("client.get", pcs_id=members(1)["pcs_id"])
        assert got["error"] == UNTRUSTED


@pytest.mark.parametrize("name", CLIENTS)
def test_a_server_that_is_not_trusted_meets_one_handshake_and_neither_record_nor_token(
    name: str, world: World
) -> None:
    require(name)
    heard: list[bytes] = []
    with witness(world.own, heard) as url, opened(name, url) as driver:
        assert submitted(driver, 1)["error"] == UNTRUSTED
    assert heard == [b""]


def test_deno_tells_a_server_that_is_not_trusted_by_its_own_words(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("typescript")
    if not DENO.exists():
        pytest.skip("sdk/typescript: Deno not installed: `make sdks` does so on Linux x86-64")
    _, main = COMMANDS["typescript"]
    command = (str(DENO), "run", "--no-lock", "--allow-all", main)
    monkeypatch.setitem(COMMANDS, "deno", command)
    heard: list[bytes] = []
    with witness(world.own, heard) as url, opened("deno", url) as driver:
        assert submitted(driver, 1)["error"] == UNTRUSTED
    assert heard == [b""]


@pytest.mark.parametrize("name", CLIENTS)
def test_an_outbox_keeps_what_a_server_that_is_not_trusted_was_not_sent(
    name: str, world: World, tmp_path: Path
) -> None:
    require(name)
    kept = base64.b64encode(body(3)).decode()
    with opened(name, world.server.url) as driver:
        driver.ask("outbox.open", folder=str(tmp_path / "data"))
        (seq,) = driver.ask("outbox.append", source="x", bodies=[kept])["seqs"]
        assert driver.ask("outbox.ship")["error"] == UNTRUSTED
        assert driver.ask("outbox.pending") == {"windows": [{"seq": seq, "body": kept}]}
        assert driver.ask("outbox.close") == {"ok": True}


@pytest.mark.parametrize("name", BY_SYSTEM)
def test_whom_the_platform_trusts_is_served_by_its_address_and_refused_by_another_name(
    name: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(name)
    for variable in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"):
        monkeypatch.setenv(variable, str(world.authority.path))
    with opened(name, world.server.url, world.token) as driver:
        # It is answered, and nothing that was refused here before has come to it.
        assert driver.ask("client.get", pcs_id=members(1)["pcs_id"])["status"] == 404
    with opened(name, world.server.url.replace("127.0.0.1", "localhost")) as driver:
        assert submitted(driver, 1)["error"] == UNTRUSTED


@pytest.mark.parametrize("name", BY_SYSTEM)
def test_a_certificate_that_has_expired_or_is_not_valid_yet_ends_a_call(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(name)
    authority = Authority(tmp_path / "pki")
    for variable in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"):
        monkeypatch.setenv(variable, str(authority.path))
    for begins, ends in ((-2, -1), (1, 2)):
        heard: list[bytes] = []
        own = authority.issue(f"own{begins}", begins=begins, ends=ends)
        with witness(own, heard) as url, opened(name, url) as driver:
            assert submitted(driver, 1)["error"] == UNTRUSTED
        assert heard == [b""]
