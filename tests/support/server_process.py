"""A real server in a real process: started, killed, stopped, asked over real sockets."""

import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import msgspec
from tests.support.described import assert_described
from tests.support.forked import ForkedServer, run_command
from tests.support.signed import ACME, ACME_NEXT, GLOBEX, Signer

from fractal_lba.server.app import initialise
from fractal_lba.server.config import shard_set

SERVER = Path(sys.executable).with_name("fractal-server")
START_TIMEOUT_S = 60.0
_TOLD_CHARACTERS = 2_000
"""Of a log, where a test fails."""
WIDE_LANE = tuple(
    f"--unidentified-{name}" for name in ("rate-per-s=0", "bytes-per-s=0", "cpu-share=1")
)
"""Flags for tests that send more than strangers may, where how much that is is not the question."""


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The answers of a batch."""
        assert self.headers["content-type"] == "application/x-ndjson", self
        assert self.body.endswith(b"\n")
        return [json.loads(line) for line in self.body.splitlines()]

    @property
    def said(self) -> tuple[int, bytes]:
        """Status and body, but for what the request was called: a problem's body names it."""
        name = f'"request_id":"{self.headers["x-request-id"]}",'
        return self.status, self.body.replace(name.encode(), b"")

    @property
    def is_replayed(self) -> bool:
        return self.headers.get("idempotent-replayed") == "true"


class Folder:
    """A server's folder with known keys and one read token for each tenant."""

    def __init__(self, path: Path, *, copy_of: "Folder | None" = None, shards: str = "1") -> None:
        self.path = path
        self.data = path / "data"
        if copy_of is None:
            # What the init command calls; a process for each folder costs more.
            initialise(path, shard_set(shards))
            self.write_keyring([ACME, ACME_NEXT, GLOBEX])
        else:
            shutil.copytree(copy_of.path, path)

    @property
    def config(self) -> Path:
        return self.path / "server.toml"

    def token(self, tenant: str, scope: str = "read") -> str:
        return f"{scope}-token-of-{tenant}"

    def write_keyring(self, signers: Iterable[Signer]) -> None:
        tenants = sorted({signer.tenant for signer in signers})
        ring = {
            "keys": [signer.entry() for signer in signers],
            "tokens": [
                {
                    "tenant": tenant,
                    "sha256": sha256(self.token(tenant, scope).encode()).hexdigest(),
                    "scopes": [scope],
                }
                for tenant in tenants
                for scope in ("read", "submit", "operate")
            ],
        }
        path = self.path / "keyring.json"
        new = path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(ring))
        new.chmod(0o600)
        new.replace(path)

    def fsck(self) -> tuple[int, dict[str, Any]]:
        done = run_command("fractal-server", "fsck", "--config", self.config)
        assert done.stdout, done.stderr.decode()
        return done.returncode, json.loads(done.stdout)


class NotStartedError(AssertionError):
    """A server ended before it could answer."""

    def __init__(self, code: int, log: str) -> None:
        super().__init__(f"the server did not start, exit code {code}: {log}")
        self.code = code


class ServerProcess:
    """One run of the server over a folder, on a free port.

    Args:
        folder: Where it runs.
        flags: Options of ``fractal-server run``.
        command: What to start in its stead, as an own program; it takes the same options.
        log: Where its standard error goes.
        plant: Puts a bug into its code; only without a command.
        begun: Told its id before it has said anything.

    Raises:
        NotStartedError: It ended before it could answer.
    """

    def __init__(
        self,
        folder: Folder,
        *flags: str,
        command: list[str] | None = None,
        log: Path | None = None,
        plant: Callable[[], None] | None = None,
        begun: Callable[[int], None] = lambda _pid: None,
    ) -> None:
        self.folder = folder
        self.log = log or folder.path / f"server-{os.urandom(4).hex()}.log"
        options = ["--config", str(folder.config), "--listen", "127.0.0.1:0", *flags]
        if "--workers" not in flags:
            options += ["--workers", "1"]  # a process is one server, whatever the machine has
        self.process: ForkedServer | subprocess.Popen[str]
        if command is None:
            self.process = ForkedServer("run", *options, stderr=self.log, plant=plant)
        else:
            with self.log.open("wb") as err:
                self.process = subprocess.Popen(
                    [*command, *options], stdout=subprocess.PIPE, stderr=err, text=True
                )
        assert self.process.stdout is not None
        begun(self.process.pid)
        line = self.process.stdout.readline()
        if not line:
            raise NotStartedError(self._end(), self.log.read_text())
        self.url = json.loads(line)["url"]
        parts = urllib.parse.urlsplit(self.url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.address = (parts.hostname, parts.port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is not None:
            code = self._poll()
            error.add_note("the server runs" if code is None else f"the server ended with {code}")
            error.add_note(f"the end of its log:\n{self.log.read_text()[-_TOLD_CHARACTERS:]}")
        self.kill()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> Reply:
        connection = (
            http.client.HTTPConnection(*self.address, timeout=START_TIMEOUT_S)
            if tls is None
            else http.client.HTTPSConnection(*self.address, timeout=START_TIMEOUT_S, context=tls)
        )
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            reply = Reply(
                answer.status,
                {name.lower(): value for name, value in answer.getheaders()},
                answer.read(),
            )
            # Whatever a test is about: no answer may differ from its description.
            assert_described(method, path, reply.status, reply.headers, reply.body)
            return reply
        finally:
            connection.close()

    def submit(
        self,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> Reply:
        return self.ask(
            "POST",
            "/v1/pcs/submit",
            body,
            {"Content-Type": "application/json", **(headers or {})},
            tls=tls,
        )

    def batch(self, data: bytes, headers: Mapping[str, str] | None = None) -> Reply:
        return self.ask(
            "POST",
            "/v1/pcs/batch",
            data,
            {"Content-Type": "application/x-ndjson", **(headers or {})},
        )

    def get(self, pcs_id: str, tenant: str = "acme") -> Reply:
        return self.ask(
            "GET",
            f"/v1/pcs/{pcs_id}",
            headers={"Authorization": f"Bearer {self.folder.token(tenant)}"},
        )

    def read(self, path: str, tenant: str = "acme", **headers: str) -> Reply:
        """Ask for a path as a tenant's reader."""
        return self.ask(
            "GET",
            path,
            headers={"Authorization": f"Bearer {self.folder.token(tenant)}", **headers},
        )

    def resolve(self, pcs_id: str, note: str, tenant: str = "acme") -> Reply:
        """Resolve an escalation as a tenant's operator."""
        return self.ask(
            "POST",
            f"/v1/escalations/{pcs_id}/resolve",
            json.dumps({"note": note}).encode(),
            {"Authorization": f"Bearer {self.folder.token(tenant, 'operate')}"},
        )

    def log_lines(self) -> list[dict[str, Any]]:
        # The end of the last one may not be written yet.
        *lines, _ = self.log.read_text().split("\n")
        return [json.loads(line) for line in lines]

    def kill(self) -> None:
        """SIGKILL, whatever it is doing."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self._end()

    def stop(self) -> int:
        """SIGTERM, and wait for the drain."""
        self.process.send_signal(signal.SIGTERM)
        return self._end()

    def _poll(self) -> int | None:
        return self.process.poll()

    def _end(self) -> int:
        code = self.process.wait(timeout=START_TIMEOUT_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


def until(holds: Callable[[], bool], what: str) -> None:
    """Return once something holds; it must, in the end."""
    end = time.monotonic() + START_TIMEOUT_S
    while not holds():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.002)


def until_ready(server: ServerProcess) -> None:
    """Return once a server says that everything can be served."""
    until(lambda: server.ask("GET", "/ready").status == 200, "ready")
