"""A server with TLS for the SDKs' clients, who vouches for it, and a client that it knows."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.pki import Authority, Pair
from tests.support.server_process import Folder, ServerProcess


@dataclass(frozen=True)
class World:
    """A server on 127.0.0.1.

    Attributes:
        server: It asks for a client certificate, and serves who shows none.
        authority: Signed the certificates; nobody trusts it by default.
        own: The server's.
        acme: A client's, which stands for the tenant ``acme``.
        token: Another way to be ``acme``.
    """

    server: ServerProcess
    authority: Authority
    own: Pair
    acme: Pair
    token: str


@contextmanager
def secured(path: Path) -> Iterator[World]:
    """Run such a server over a folder that is made."""
    folder = Folder(path)
    authority = Authority(folder.path / "pki")
    own, acme = authority.issue("own"), authority.issue("acme")
    keyring = folder.path / "keyring.json"
    ring = json.loads(keyring.read_text())
    scopes = ["submit", "read"]
    ring["certificates"] = [{"tenant": "acme", "sha256": acme.sha256, "scopes": scopes}]
    keyring.write_text(json.dumps(ring))
    flags = (
        f"--tls-certificate={own.certificate}",
        f"--tls-key={own.key}",
        f"--tls-client-ca={authority.path}",
    )
    with ServerProcess(folder, *flags) as server:
        yield World(server, authority, own, acme, folder.token("acme"))
