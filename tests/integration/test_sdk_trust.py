"""A server that is not to be trusted ends a call of every SDK at its first attempt, unsent."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from tests.support.pki import Authority
from tests.support.raw_server import witness
from tests.support.sdk_drivers import CLIENTS, COMMANDS, SDK, Driver, encoded, require
from tests.support.sdk_tls import World, secured
from tests.support.signed import body, members

BY_SYSTEM: Final = [name for name in CLIENTS if name != "rust"]
"""Whose driver trusts whom its platform does; Rust's is told in `test_sdk_rust_tls.py`."""

DENO: Final = SDK / "typescript/node_modules/@deno/linux-x64-glibc/deno"
UNTRUSTED: Final = {"kind": "untrusted", "code": None}
TOKEN: Final = "hunter2-of-nobody"  # noqa: S105 - of a test
RETRIES: Final = 50
"""What is told at once is not tried again, however often it might be."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with secured(tmp_path_factory.mktemp("trust") / "folder") as world:
        yield world


@contextmanager
def opened(name: str, url: str, token: str | None = TOKEN) -> Iterator[Driver]:
    with Driver(name) as driver:
        driver.open_client(url, token=token, retries=RETRIES)
        yield driver


@pytest.mark.parametrize("name", CLIENTS)
def test_a_certificate_of_an_authority_that_nobody_trusts_ends_every_call(
    name: str, world: World
) -> None:
    require(name)
    with opened(name, world.server.url) as driver:
        said = driver.submit(body(1))
        assert said["error"] == UNTRUSTED
        assert said.get("attempts", 1) == 1
        assert "expected" in said["words"]
        assert TOKEN not in said["words"]
        two = [encoded(body(epoch)) for epoch in (1, 2)]
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
        assert driver.submit(body(1))["error"] == UNTRUSTED
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
        assert driver.submit(body(1))["error"] == UNTRUSTED
    assert heard == [b""]


@pytest.mark.parametrize("name", CLIENTS)
def test_an_outbox_keeps_what_a_server_that_is_not_trusted_was_not_sent(
    name: str, world: World, tmp_path: Path
) -> None:
    require(name)
    with opened(name, world.server.url) as driver:
        driver.open_outbox(tmp_path / "data")
        (seq,) = driver.append(body(3))
        assert driver.ask("outbox.ship")["error"] == UNTRUSTED
        assert driver.pending() == {seq: body(3)}
        driver.close_outbox()


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
        assert driver.submit(body(1))["error"] == UNTRUSTED


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
            assert driver.submit(body(1))["error"] == UNTRUSTED
        assert heard == [b""]
