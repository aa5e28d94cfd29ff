"""Rust's client over TLS before the real server: whom it trusts, who it is, and what it refuses."""

import base64
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.pki import Authority, Pair
from tests.support.sdk_drivers import Driver, require
from tests.support.server_process import Folder, ServerProcess
from tests.support.signed import body, members

DEADLINE_S: Final = 60.0
RETRIES: Final = 3
"""What is refused for good is refused at the first attempt all the same."""


@dataclass(frozen=True)
class World:
    """A server with TLS on 127.0.0.1, who vouches for it, and a client that it knows."""

    server: ServerProcess
    authority: Authority
    acme: Pair


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    require("rust")
    folder = Folder(tmp_path_factory.mktemp("tls") / "folder")
    authority = Authority(folder.path / "pki")
    own, acme = authority.issue("own"), authority.issue("acme")
    path = folder.path / "keyring.json"
    ring = json.loads(path.read_text())
    scopes = ["submit", "read"]
    ring["certificates"] = [{"tenant": "acme", "sha256": acme.sha256, "scopes": scopes}]
    path.write_text(json.dumps(ring))
    flags = (
        f"--tls-certificate={own.certificate}",
        f"--tls-key={own.key}",
        f"--tls-client-ca={authority.path}",
    )
    with ServerProcess(folder, *flags) as server:
        yield World(server, authority, acme)


@pytest.fixture
def driver() -> Iterator[Driver]:
    require("rust")
    with Driver("rust") as driver:
        yield driver


def opened(driver: Driver, url: str, **more: str) -> dict[str, Any]:
    return driver.ask(
        "client.open", url=url, token=None, retries=RETRIES, deadline_s=DEADLINE_S, **more
    )


def submitted(driver: Driver, sent: bytes) -> dict[str, Any]:
    return driver.ask("client.submit", body=base64.b64encode(sent).decode())


def refusal(driver: Driver, url: str, **more: str) -> tuple[str, int, str]:
    """Return what ended a submit to this URL, after how many requests, and in which words."""
    assert opened(driver, url, **more) == {"ok": True}
    said = submitted(driver, body(1))
    return said["error"]["kind"], said["attempts"], said["words"]


@contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Let this answer each connection, and hang up; yield host and port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        is_over = threading.Event()

        def serve() -> None:
            while True:
                connection, _ = listening.accept()
                with connection:
                    if is_over.is_set():
                        return
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        host, port = listening.getsockname()
        yield f"{host}:{port}"
        is_over.set()
        socket.create_connection((host, port)).close()
        thread.join(timeout=30)
        assert not thread.is_alive()


def test_a_trusted_server_takes_records_batches_and_a_certificate_for_a_token(
    world: World, driver: Driver
) -> None:
    trusted = world.authority.path.read_text()
    assert opened(driver, world.server.url, ca=trusted) == {"ok": True}
    assert submitted(driver, body(1))["status"] == 200
    for at, encoding in enumerate((None, "gzip", "zstd")):
        first = 10 * (at + 1)
        sent = [base64.b64encode(body(first + each)).decode() for each in range(3)]
        said = driver.ask("client.batch", bodies=sent, encoding=encoding)
        assert [each["status"] for each in said["answers"]] == [200] * 3
    nobody = driver.ask("client.get", pcs_id=members(1)["pcs_id"])
    assert (nobody["status"], nobody["code"]) == (401, "unauthenticated")
    identity = world.acme.certificate.read_text() + world.acme.key.read_text()
    assert opened(driver, world.server.url, ca=trusted, identity=identity) == {"ok": True}
    assert driver.ask("client.get", pcs_id=members(1)["pcs_id"])["status"] == 200


def test_an_unknown_authority_a_wrong_name_and_a_certificate_out_of_time_are_refused_at_once(
    world: World, driver: Driver, tmp_path: Path
) -> None:
    url, trusted = world.server.url, world.authority.path.read_text()
    other = Authority(tmp_path / "pki", "other").path.read_text()
    by_name = url.replace("127.0.0.1", "localhost")
    of_another = (
        f"{url}: expected a certificate of an authority that is trusted, got one of another"
    )
    for given, expected in (
        ({"url": url, "ca": other}, of_another),
        ({"url": url}, of_another),
        (
            {"url": by_name, "ca": trusted},
            f"{by_name}: expected a certificate for the host in the URL, got one for another name",
        ),
    ):
        kind, attempts, words = refusal(driver, **given)
        assert (kind, attempts) == ("untrusted", 1)
        assert words == f"POST submit {expected}"


def test_a_certificate_that_has_expired_or_is_not_valid_yet_is_refused_at_once(
    driver: Driver, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "pki")
    for begins, ends, got in ((-2, -1, "has expired"), (1, 2, "is not valid yet")):
        own = authority.issue(f"own{begins}", begins=begins, ends=ends)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own.certificate, own.key)

        def shake_hands(connection: socket.socket, context: ssl.SSLContext = context) -> None:
            with suppress(ssl.SSLError, OSError):
                context.wrap_socket(connection, server_side=True).recv(1)

        with serving(shake_hands) as place:
            found = refusal(driver, f"https://{place}", ca=authority.path.read_text())
        assert found[:2] == ("untrusted", 1)
        assert found[2].endswith(f"expected a certificate that is valid now, got one that {got}")


def test_each_scheme_is_told_from_a_server_that_speaks_the_other(
    world: World, driver: Driver, shared_server: ServerProcess
) -> None:
    trusted = world.authority.path.read_text()
    plain = world.server.url.replace("https://", "http://")
    kind, attempts, words = refusal(driver, plain)
    assert (kind, attempts) == ("scheme", 1)
    said = "expected HTTP, as http:// says, got a server that speaks TLS: https:// is its URL"
    assert words == f"POST submit {plain}: {said}"
    secured = shared_server.url.replace("http://", "https://")
    kind, attempts, words = refusal(driver, secured, ca=trusted)
    assert (kind, attempts) == ("scheme", 1)
    said = "expected TLS, as https:// says, got something else"
    assert words == f"POST submit {secured}: {said}: a server of plain HTTP has an http:// URL"


def test_a_server_that_hangs_up_or_speaks_neither_is_asked_again(driver: Driver) -> None:
    for first in (b"", b"SSH-2.0-OpenSSH\r\n\r\n"):

        def say(connection: socket.socket, first: bytes = first) -> None:
            connection.recv(65_536)
            connection.sendall(first)

        with serving(say) as place:
            kind, attempts, _ = refusal(driver, f"http://{place}")
        assert (kind, attempts) == ("unavailable", RETRIES + 1)


def test_a_pem_text_that_is_none_and_a_key_of_another_are_refused_before_anything_is_sent(
    world: World, driver: Driver, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "pki", "other").issue("other")
    certificate, key = world.acme.certificate.read_text(), world.acme.key.read_text()
    unread = "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n"
    for given in (
        {"ca": "hunter2"},
        {"ca": key},
        {"ca": unread},
        {"identity": certificate},
        {"identity": certificate + other.key.read_text()},
        {"identity": unread + key},
    ):
        said = opened(driver, world.server.url, **given)
        assert said["error"]["kind"] == "contract"
        assert not any(secret in said["words"] for secret in ("hunter2", "c2VjcmV0", "PRIVATE"))
