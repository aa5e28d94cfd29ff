"""What every program that calls a server says where TLS fails, and that it works where it may."""

import json
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
from tests.support.command_line import fractal_lba
from tests.support.pki import Authority, Pair
from tests.support.server_process import SERVER, Folder, ServerProcess, until
from tests.support.signed import body, members

from fractal_lba.access import access_of
from fractal_lba.client import Client, UnavailableError
from fractal_lba.protocol import ContractError


@dataclass(frozen=True)
class World:
    """A server that requires client certificates, and everybody who might call."""

    folder: Folder
    server: ServerProcess
    authority: Authority
    other: Authority
    acme: Pair

    @property
    def files(self) -> dict[str, Path]:
        return {"ca": self.authority.path, "cert": self.acme.certificate, "key": self.acme.key}


def keyring_with(folder: Folder, pair: Pair) -> None:
    path = folder.path / "keyring.json"
    ring = json.loads(path.read_text())
    scopes = ["submit", "read", "operate"]
    ring["certificates"] = [{"tenant": "acme", "sha256": pair.sha256, "scopes": scopes}]
    path.write_text(json.dumps(ring))


def tls_flags(authority: Authority, own: Pair) -> list[str]:
    return [
        f"--tls-certificate={own.certificate}",
        f"--tls-key={own.key}",
        f"--tls-client-ca={authority.path}",
        "--tls-client-required=true",
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = Folder(tmp_path_factory.mktemp("callers") / "folder")
    authority = Authority(folder.path / "pki")
    other = Authority(folder.path / "pki", "other")
    own, acme = authority.issue("own"), authority.issue("acme")
    keyring_with(folder, acme)
    with ServerProcess(folder, *tls_flags(authority, own)) as server:
        yield World(folder, server, authority, other, acme)


def options(files: dict[str, Path]) -> list[str]:
    return [part for name, path in files.items() for part in (f"--{name}", str(path))]


async def submitted(url: str, files: dict[str, Path], epoch: int = 1) -> int:
    async with Client(url, tls=access_of(**files).tls) as client:
        return (await client.submit(body(epoch))).status


async def refused(url: str, files: dict[str, Path]) -> str:
    with pytest.raises(UnavailableError) as caught:
        await submitted(url, files)
    return str(caught.value)


@pytest.mark.asyncio
async def test_a_caller_with_a_certificate_submits_and_reads_back(world: World) -> None:
    async with Client(world.server.url, tls=access_of(**world.files).tls) as client:
        assert (await client.submit(body(7))).status == 200
        assert (await client.get(members(7)["pcs_id"])).status == 200


class TestWhatIsSaidWhereItFails:
    """By the client; the commands say the same, through the same words."""

    pytestmark = pytest.mark.asyncio

    async def test_an_authority_that_is_not_trusted(self, world: World) -> None:
        for files in ({}, {**world.files, "ca": world.other.path}):
            assert "name that authority's certificate with --ca" in await refused(
                world.server.url, files
            )

    async def test_no_client_certificate(self, world: World) -> None:
        said = await refused(world.server.url, {"ca": world.authority.path})
        assert "asks for a client certificate that it trusts: give one with --cert and" in said

    async def test_a_client_certificate_that_is_not_valid_now(self, world: World) -> None:
        for name, begins, ends, said in (
            ("late", -3, -2, "got one that has expired: renew it"),
            ("early", 2, 3, "is not valid yet (or this machine's clock is wrong)"),
        ):
            pair = world.authority.issue(name, begins=begins, ends=ends)
            with pytest.raises(ContractError) as caught:
                access_of(**{**world.files, "cert": pair.certificate, "key": pair.key})
            assert said in str(caught.value)

    async def test_a_client_certificate_of_an_unknown_authority(self, world: World) -> None:
        theirs = world.other.issue("theirs")
        files = {**world.files, "cert": theirs.certificate, "key": theirs.key}
        said = await refused(world.server.url, files)
        assert "asks for a client certificate that it trusts: give one with --cert and" in said

    async def test_a_server_that_speaks_no_tls(self, folder: Folder, world: World) -> None:
        with ServerProcess(folder) as plain:
            said = await refused(plain.url.replace("http:", "https:"), world.files)
        assert "speaks no TLS there: is it http:// instead of https://?" in said

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"address": "127.0.0.9"}, "for another address: put a name it holds into the URL"),
            ({"begins": -3, "ends": -2}, "has expired: its operator has to renew it"),
            ({"begins": 2, "ends": 3}, "not valid yet: is this machine's clock right?"),
        ],
    )
    async def test_a_server_certificate_that_does_not_fit(
        self, folder: Folder, change: dict[str, object], said: str
    ) -> None:
        authority = Authority(folder.path / "pki")
        own, acme = authority.issue("own", **change), authority.issue("acme")  # type: ignore[arg-type]  # as the cases say
        files = {"ca": authority.path, "cert": acme.certificate, "key": acme.key}
        with ServerProcess(folder, *tls_flags(authority, own)) as server:
            assert said in await refused(server.url, files)


@pytest.mark.asyncio
async def test_a_connected_client_goes_on_while_the_server_changes_its_certificate(
    folder: Folder,
) -> None:
    authority, other = Authority(folder.path / "pki"), Authority(folder.path / "pki", "other")
    own, acme, next_own = authority.issue("own"), authority.issue("acme"), other.issue("next")
    keyring_with(folder, acme)
    before = {"ca": authority.path, "cert": acme.certificate, "key": acme.key}
    after = {**before, "ca": other.path}
    with ServerProcess(folder, *tls_flags(authority, own)) as server:
        async with Client(server.url, tls=access_of(**before).tls, connections_max=1) as client:
            assert (await client.submit(body(1))).status == 200
            shutil.copyfile(next_own.certificate, own.certificate)
            shutil.copyfile(next_own.key, own.key)
            server.process.send_signal(signal.SIGHUP)
            until(lambda: "TLS files loaded" in server.log.read_text(), "the new ones are loaded")
            # Its connection is the one it had: another would not trust the new certificate.
            assert (await client.submit(body(2))).status == 200
        assert "--ca" in await refused(server.url, before)
        assert await submitted(server.url, after, 3) == 200


def resolve(world: World, *arguments: str) -> tuple[int, str]:
    ended = subprocess.run(
        [SERVER, "escalations", "resolve", *arguments, "--note", "x", "--url", world.server.url],
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_a_command_of_the_server_calls_it_with_a_certificate(world: World) -> None:
    tls = world.authority.client(world.acme)
    assert world.server.submit(body(5, regime="sticky"), tls=tls).status == 202
    pcs_id = members(5)["pcs_id"]
    code, said = resolve(world, pcs_id, "--ca", str(world.authority.path))
    assert (code, "asks for a client certificate that it trusts" in said) == (2, True), said
    code, said = resolve(world, pcs_id, *options(world.files))
    assert (code, json.loads(said)["resolutions"]) == (0, 1)


def test_doctor_reaches_a_server_with_a_certificate(world: World) -> None:
    ended = fractal_lba("doctor", "--url", world.server.url, "--json", *options(world.files))
    found = {each["check"]: each for each in ended.json["checks"]}
    assert found["endpoint /ready"]["status"] == "ok"
    assert (found["identity"]["status"], found["identity"]["found"]) == (
        "ok",
        "known, and may read",
    )


def test_doctor_says_what_keeps_it_out(world: World) -> None:
    ended = fractal_lba("doctor", "--url", world.server.url, "--json")
    found = {each["check"]: each for each in ended.json["checks"]}
    assert ended.code == 1
    assert "name that authority's certificate with --ca" in found["endpoint /health"]["found"]
    assert "identity" not in found


def test_doctor_tells_whether_the_server_knows_a_token(folder: Folder, tmp_path: Path) -> None:
    with ServerProcess(folder) as server:
        for token, status, said in (
            (folder.token("acme"), "ok", "known, and may read"),
            (folder.token("acme", "submit"), "ok", "known, and may not read"),
            ("nobody", "fail", "the server does not know this token or certificate"),
        ):
            (tmp_path / "token").write_text(token)
            ended = fractal_lba(
                "doctor", "--url", server.url, "--json", "--token-file", tmp_path / "token"
            )
            (found,) = [each for each in ended.json["checks"] if each["check"] == "identity"]
            assert (found["status"], found["found"]) == (status, said)


def test_doctor_refuses_files_without_a_server(tmp_path: Path) -> None:
    ended = fractal_lba("doctor", "--ca", tmp_path / "ca.pem")
    assert ended.code == 2
    assert "expected a --url beside them" in ended.err


class Alerting:
    """A server that says by an alert what it does not like, as most do, and answers nothing."""

    def __init__(self, authority: Authority, own: Pair) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own.certificate, own.key)
        context.load_verify_locations(authority.path)
        context.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._answer, args=(context,))

    def _answer(self, context: ssl.SSLContext) -> None:
        accepted, _ = self._listener.accept()
        with context.wrap_socket(
            accepted, server_side=True, do_handshake_on_connect=False
        ) as secured:
            with suppress(ssl.SSLError):
                secured.do_handshake()
            # What the client sent meanwhile is read: a reset would overtake the alert.
            secured.shutdown(socket.SHUT_WR)
            while secured.recv(4_096):
                pass

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._listener.close()


@pytest.mark.asyncio
async def test_an_alert_is_put_into_words(world: World) -> None:
    own, theirs = world.authority.issue("alerting"), world.other.issue("not-theirs")
    ca = {"ca": world.authority.path}
    for files, expected in (
        (ca, "asks for a client certificate: give one with --cert and --key"),
        ({**ca, "cert": theirs.certificate, "key": theirs.key}, "does not trust the authority of"),
    ):
        with Alerting(world.authority, own) as server:
            assert expected in await refused(server.url, files)
