"""TLS in the server: who may come in, who they are, and how certificates change."""

import asyncio
import json
import shutil
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.agent_process import AgentRig
from tests.support.pki import Authority, Pair
from tests.support.server_process import Folder, NotStartedError, ServerProcess, until
from tests.support.signed import GLOBEX, body, members

HEALTH = b"GET /health HTTP/1.1\r\nHost: server\r\n\r\n"


@dataclass(frozen=True)
class World:
    """A server with TLS, an authority it trusts for clients, and two known clients."""

    server: ServerProcess
    authority: Authority
    own: Pair
    acme: Pair
    globex: Pair
    stranger: Pair

    def peer(self, pair: Pair | None = None) -> bytes:
        """Return the certificate that the server shows to a new connection."""
        address = self.server.address
        with (
            socket.create_connection(address, timeout=30) as raw,
            self.authority.client(pair).wrap_socket(raw, server_hostname=address[0]) as secured,
        ):
            shown = secured.getpeercert(binary_form=True)
            assert shown is not None
            return shown


def prepare(folder: Folder) -> tuple[Authority, Pair, Pair, Pair, Pair]:
    authority = Authority(folder.path / "pki")
    own, acme, globex, stranger = map(authority.issue, ("own", "acme", "globex", "stranger"))
    path = folder.path / "keyring.json"
    ring = json.loads(path.read_text())
    ring["certificates"] = [
        {"tenant": "acme", "sha256": acme.sha256, "scopes": ["submit", "read"]},
        {"tenant": "globex", "sha256": globex.sha256, "scopes": ["read"]},
    ]
    path.write_text(json.dumps(ring))
    return authority, own, acme, globex, stranger


def flags(authority: Authority, own: Pair, *more: str) -> list[str]:
    return [
        f"--tls-certificate={own.certificate}",
        f"--tls-key={own.key}",
        f"--tls-client-ca={authority.path}",
        "--keyring-poll-s=0.02",
        *more,
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = Folder(tmp_path_factory.mktemp("tls") / "folder")
    authority, own, acme, globex, stranger = prepare(folder)
    # Long enough for a slow machine, short enough to be waited for.
    timeout = "--tls-handshake-timeout-s=2"
    with ServerProcess(folder, *flags(authority, own, timeout)) as server:
        yield World(server, authority, own, acme, globex, stranger)


def until_cut(raw: socket.socket) -> bytes:
    """Return what comes until the other end closes; it must."""
    came = b""
    with suppress(ConnectionResetError):
        while part := raw.recv(4096):
            came += part
    return came


def bearer(folder: Folder, tenant: str, scope: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {folder.token(tenant, scope)}"}


def handshake_errors(world: World) -> float:
    text = world.server.ask("GET", "/metrics", tls=world.authority.client()).body.decode()
    (line,) = [
        line for line in text.splitlines() if line.startswith("flk_tls_handshake_errors_total ")
    ]
    return float(line.split()[1])


def test_the_ready_line_says_https_and_the_certificate_is_checked(world: World) -> None:
    assert world.server.url.startswith("https://127.0.0.1:")
    assert world.server.ask("GET", "/health", tls=world.authority.client()).body == b"OK"
    with pytest.raises(ssl.SSLCertVerificationError):
        world.server.ask("GET", "/health", tls=ssl.create_default_context())


def test_a_certificate_is_an_identity_with_its_tenant_and_scopes(world: World) -> None:
    tls = world.authority.client(world.acme)
    sent = body(1)
    assert world.server.submit(sent, tls=tls).status == 200
    path = f"/v1/pcs/{members(1)['pcs_id']}"
    assert world.server.ask("GET", path, tls=tls).status == 200
    globex = world.authority.client(world.globex)
    assert world.server.ask("GET", path, tls=globex).status == 404
    assert world.server.submit(body(2, signer=GLOBEX), tls=globex).json["code"] == "forbidden"
    # The signing key says whose a record is; who sends it must agree.
    assert world.server.submit(body(2, signer=GLOBEX), tls=tls).json["code"] == "tenant_mismatch"


def test_without_an_identity_one_may_submit_and_not_read(world: World) -> None:
    tls = world.authority.client()
    assert world.server.submit(body(3), tls=tls).status == 200
    reply = world.server.ask("GET", f"/v1/pcs/{members(3)['pcs_id']}", tls=tls)
    assert (reply.status, reply.json["code"]) == (401, "unauthenticated")


def test_a_certificate_that_the_keyring_does_not_know_names_nobody(world: World) -> None:
    tls = world.authority.client(world.stranger)
    reply = world.server.submit(body(4), tls=tls)
    assert (reply.status, reply.json["code"]) == (401, "unauthenticated")


def test_a_token_and_a_certificate_must_agree_and_add_up(world: World) -> None:
    folder = world.server.folder
    globex = world.authority.client(world.globex)
    theirs = body(5, signer=GLOBEX)
    together = bearer(folder, "globex", "submit")
    assert world.server.submit(theirs, together, tls=globex).status == 200
    reply = world.server.submit(theirs, bearer(folder, "acme", "submit"), tls=globex)
    assert (reply.status, reply.json["code"]) == (403, "tenant_mismatch")
    reply = world.server.submit(theirs, {"Authorization": "Bearer nobody"}, tls=globex)
    assert (reply.status, reply.json["code"]) == (401, "unauthenticated")


def test_what_is_no_tls_is_cut_counted_and_in_no_log(world: World) -> None:
    before = handshake_errors(world)
    secret = b"POST /v1/pcs/submit HTTP/1.1\r\nAuthorization: Bearer swordfish\r\n\r\n"
    for sent in (secret, b"\x16\x03\x01\xff\xff" + b"swordfish" * 50, b"\x00" * 64):
        with socket.create_connection(world.server.address, timeout=30) as raw:
            raw.sendall(sent)
            until_cut(raw)
    until(lambda: handshake_errors(world) >= before + 3, "three failed handshakes are counted")
    assert "swordfish" not in world.server.log.read_text()


def test_an_old_version_of_tls_is_refused(world: World) -> None:
    context = world.authority.client()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        world.server.ask("GET", "/health", tls=context)


def test_a_handshake_that_never_ends_is_cut(world: World) -> None:
    before = handshake_errors(world)
    with socket.create_connection(world.server.address, timeout=30) as raw:
        assert until_cut(raw) == b""
    until(lambda: handshake_errors(world) > before, "the cut handshake is counted")


def test_the_bounds_of_connections_hold_before_a_handshake(folder: Folder) -> None:
    authority, own, *_ = prepare(folder)
    # A handshake is cut by nothing else than its end here.
    bounds = ("--connections-per-address-max=2", "--tls-handshake-timeout-s=3600")
    with ServerProcess(folder, *flags(authority, own, *bounds)) as server:
        idle = [socket.create_connection(server.address, timeout=30) for _ in range(2)]
        with socket.create_connection(server.address, timeout=30) as third:
            assert until_cut(third) == b""
        for each in idle:
            each.close()
        tls = authority.client()

        def answers() -> bool:
            try:
                return server.ask("GET", "/health", tls=tls).status == 200
            except (ssl.SSLError, OSError):
                return False

        until(answers, "there is room again")


def test_a_required_certificate_is_asked_of_everybody(folder: Folder) -> None:
    authority, own, acme, *_ = prepare(folder)
    other = Authority(folder.path / "pki", "other").issue("acme-of-another")
    with ServerProcess(folder, *flags(authority, own, "--tls-client-required=true")) as server:
        known = authority.client(acme)
        assert server.ask("GET", "/health", tls=known).status == 200
        for tls in (authority.client(), authority.client(other)):
            with pytest.raises((ssl.SSLError, OSError)):
                server.ask("GET", "/health", tls=tls)


def replace(path: Path, by: Path) -> None:
    new = path.with_suffix(".new")
    shutil.copyfile(by, new)
    new.replace(path)


@pytest.mark.parametrize("workers", [1, 2])
def test_new_certificates_take_over_and_broken_ones_change_nothing(
    folder: Folder, workers: int
) -> None:
    authority, own, acme, globex, stranger = prepare(folder)
    asked = flags(authority, own, "--keyring-poll-s=3600")
    with ServerProcess(folder, *asked, "--workers", str(workers)) as server:
        world = World(server, authority, own, acme, globex, stranger)
        first = world.peer()
        kept = socket.create_connection(server.address, timeout=30)
        with authority.client().wrap_socket(kept, server_hostname="127.0.0.1") as open_before:
            own.key.write_text("no key")
            server.process.send_signal(signal.SIGHUP)
            until(
                lambda: server.log.read_text().count("TLS files refused") == workers,
                "a broken key is told by each",
            )
            assert {world.peer() for _ in range(4 * workers)} == {first}
            metrics = server.ask("GET", "/metrics", tls=authority.client()).body.decode()
            assert f"flk_tls_errors_total {workers}.0" in metrics
            second = authority.issue("second")
            replace(own.certificate, second.certificate)
            replace(own.key, second.key)
            server.process.send_signal(signal.SIGHUP)
            until(
                lambda: first not in {world.peer() for _ in range(4 * workers)},
                "the new certificate is shown by each",
            )
            assert server.submit(body(1), tls=authority.client(acme)).status == 200
            # What was open goes on.
            open_before.sendall(HEALTH)
            assert open_before.recv(15) == b"HTTP/1.1 200 OK"


def test_a_change_of_the_client_authority_is_noticed_by_itself(folder: Folder) -> None:
    authority, own, acme, *_ = prepare(folder)
    other = Authority(folder.path / "pki", "other")
    ca = folder.path / "clients.pem"
    shutil.copyfile(authority.path, ca)
    with ServerProcess(folder, *flags(authority, own, f"--tls-client-ca={ca}")) as server:
        tls = authority.client(acme)
        assert server.ask("GET", "/health", tls=tls).status == 200
        replace(ca, other.path)

        def refused() -> bool:
            try:
                server.ask("GET", "/health", tls=tls)
            except (ssl.SSLError, OSError):
                return True
            return False

        until(refused, "the authority that went signs nobody in")


@pytest.mark.parametrize("broken", ["own.key", "own.pem", "authority.pem"])
def test_files_that_cannot_be_used_are_refused_at_start(folder: Folder, broken: str) -> None:
    authority, own, *_ = prepare(folder)
    (folder.path / "pki" / broken).write_text("no PEM")
    with pytest.raises(NotStartedError, match="tls_") as caught:
        ServerProcess(folder, *flags(authority, own))
    assert caught.value.code == 2


def test_an_agent_ships_over_tls_as_its_certificate(world: World, tmp_path: Path) -> None:
    rig = AgentRig(tmp_path)

    async def run(pair: Pair) -> int:
        secure = ("--ca", str(world.authority.path), "--cert", str(pair.certificate))
        rest = ("--key", str(pair.key), "--grace", "0")
        async with rig.agent(world.server.url, str(tmp_path / "z.txt"), *secure, *rest) as agent:
            await agent.communicate()
            assert agent.returncode is not None
            return agent.returncode

    assert asyncio.run(run(world.acme)) == 0
