"""Rust's client over TLS before the real server: whom it trusts, who it is, and what it refuses."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.support.pki import Authority
from tests.support.raw_server import serving, witness
from tests.support.sdk_drivers import Driver, encoded, require
from tests.support.sdk_tls import World, secured
from tests.support.server_process import ServerProcess
from tests.support.signed import body, members

RETRIES: Final = 3
"""What is refused for good is refused at the first attempt all the same."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    require("rust")
    with secured(tmp_path_factory.mktemp("tls") / "folder") as world:
        yield world


@pytest.fixture
def driver() -> Iterator[Driver]:
    require("rust")
    with Driver("rust") as driver:
        yield driver


def refusal(driver: Driver, url: str, ca: str | None = None) -> tuple[str, int, str]:
    """Return what ended a submit to this URL, after how many requests, and in which words."""
    driver.open_client(url, retries=RETRIES, ca=ca)
    said = driver.submit(body(1))
    return said["error"]["kind"], said["attempts"], said["words"]


def test_a_trusted_server_takes_records_batches_and_a_certificate_for_a_token(
    world: World, driver: Driver
) -> None:
    trusted = world.authority.path.read_text()
    driver.open_client(world.server.url, ca=trusted)
    assert driver.submit(body(1))["status"] == 200
    for at, encoding in enumerate((None, "gzip", "zstd")):
        first = 10 * (at + 1)
        sent = [encoded(body(first + each)) for each in range(3)]
        said = driver.ask("client.batch", bodies=sent, encoding=encoding)
        assert [each["status"] for each in said["answers"]] == [200] * 3
    nobody = driver.ask("client.get", pcs_id=members(1)["pcs_id"])
    assert (nobody["status"], nobody["code"]) == (401, "unauthenticated")
    identity = world.acme.certificate.read_text() + world.acme.key.read_text()
    driver.open_client(world.server.url, ca=trusted, identity=identity)
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
        with witness(own, []) as url:
            found = refusal(driver, url, ca=authority.path.read_text())
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
    as_tls = shared_server.url.replace("http://", "https://")
    kind, attempts, words = refusal(driver, as_tls, ca=trusted)
    assert (kind, attempts) == ("scheme", 1)
    said = "expected TLS, as https:// says, got something else"
    assert words == f"POST submit {as_tls}: {said}: a server of plain HTTP has an http:// URL"


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
    policy = {"retries": RETRIES, "deadline_s": 60.0}
    for given in (
        {"ca": "hunter2"},
        {"ca": key},
        {"ca": unread},
        {"identity": certificate},
        {"identity": certificate + other.key.read_text()},
        {"identity": unread + key},
    ):
        said = driver.ask("client.open", url=world.server.url, token=None, **policy, **given)
        assert said["error"]["kind"] == "contract"
        assert not any(secret in said["words"] for secret in ("hunter2", "c2VjcmV0", "PRIVATE"))
