"""Postgres as a durable insert-if-absent, driven by its own pgbench."""

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.inserting import Insert, Load

USER: Final = "postgres"
SECONDS_MAX: Final = 120

_ROW: Final = "'demo', decode(lpad(to_hex({id}), 64, '0'), 'hex'), :body"

_RATE: Final = re.compile(r"^tps = ([0-9.]+) \(without", re.MULTILINE)


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"))
    if found:
        return found[-1].parent
    path = shutil.which("pgbench")
    return Path(path).parent if path and shutil.which("postgres") else None


def missing() -> str | None:
    """Return why it cannot be measured here, or ``None``."""
    return None if _binaries() else "Postgres: expected pgbench (Debian: postgresql), got none"


def free_port() -> int:
    """Return a port of loopback that nobody has at the moment."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


@contextmanager
def serving(folder: Path) -> Iterator[Insert]:
    """Start a server of its own below a folder, yield what inserts, stop it.

    Raises:
        RuntimeError: It did not start.
    """
    binaries = _binaries()
    assert binaries is not None  # noqa: S101 - asked for with missing
    with tempfile.TemporaryDirectory(dir=folder, prefix="postgres-") as name:
        data = Path(name) / "data"
        owner: dict[str, str | int] = {}
        if os.geteuid() == 0:  # it refuses to run as root
            account = pwd.getpwnam(USER)
            for path in (folder, folder.parent):
                path.chmod(path.stat().st_mode | 0o011)
            os.chown(name, account.pw_uid, account.pw_gid)
            owner = {"user": account.pw_uid, "group": account.pw_gid}
        _run([binaries / "initdb", "-D", data, "-A", "trust", "-U", USER], owner, name)
        port = free_port()
        options = (
            f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= "
            "-c synchronous_commit=on -c max_connections=200"
        )
        control = [binaries / "pg_ctl", "-D", data, "-w", "-l", Path(name) / "log"]
        _run([*control, "-o", options, "start"], owner, name)
        try:
            at = ["-h", "127.0.0.1", "-p", str(port), "-U", USER, "postgres"]
            create = (
                "CREATE TABLE records (tenant text, pcs_id bytea, body text,"
                " PRIMARY KEY (tenant, pcs_id))"
            )
            _run([binaries / "psql", "-q", "-c", create, *at], {}, name)
            yield lambda load: _insert(binaries / "pgbench", at, Path(name), load)
        finally:
            _run([*control, "-m", "fast", "stop"], owner, name)


def _insert(pgbench: Path, at: list[str], folder: Path, load: Load) -> float:
    if load.batch == 1:
        rows = f"VALUES ({_ROW.format(id=':id::bigint')})"
    else:
        row = _ROW.format(id=":id::bigint + n")
        rows = f"SELECT {row} FROM generate_series(0, {load.batch - 1}) AS n"  # noqa: S608 - its own
    script = folder / "insert.sql"
    script.write_text(
        "\\set id random(1, 9000000000000000000)\n"
        f"INSERT INTO records (tenant, pcs_id, body) {rows} ON CONFLICT DO NOTHING;\n",
        encoding="ascii",
    )
    each = load.records // load.batch // load.connections
    command: list[object] = [pgbench, "-n", "-M", "prepared", "-f", script]
    command += ["-c", str(load.connections), "-j", "1", "-t", str(each)]
    command += ["-D", f"body={load.body.decode('ascii')}", *at]
    done = _run(command, {}, folder)
    found = _RATE.search(done)
    if found is None:
        raise RuntimeError(f"pgbench: expected a rate, got {done[-500:]}")
    return float(found[1]) * load.batch


def _run(command: Sequence[object], owner: dict[str, str | int], folder: Path | str) -> str:
    done = subprocess.run(
        [str(each) for each in command],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=SECONDS_MAX,
        user=owner.get("user"),
        group=owner.get("group"),
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: expected exit code 0, got {done.stderr[-500:]}")
    return done.stdout
