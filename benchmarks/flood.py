"""What a flood does to somebody else's answer times: of callers nobody knows, and of one tenant.

One server, as a user would run it, its bounds as they are by default. A quiet caller sends at a
steady rate in both sides of a round, first alone and then beside the flood; its times are counted
from when a request was due. The flood takes all it can get: forgeries without an identity, among
them bodies of 64 KiB of numbers, the dearest to refuse; or honest distinct records of another
tenant. Each figure is the ratio of the quiet caller's 99th percentiles in one round.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Final

from benchmarks.corpus import signed_bodies
from benchmarks.figures import Figure, ratios
from benchmarks.submit import SECONDS_MAX, real_command, serving

from fractal_lba.keyfile import load_keyring

ROUNDS: Final = 5
QUIET_PER_S: Final = 100
QUIET_RECORDS: Final = 500
QUIET_CONNECTIONS: Final = 8
FLOOD_CONNECTIONS: Final = 64
FLOOD_RECORDS: Final = 6_000
RATIO_MAX: Final = 2.0
TENANTS: Final = ("quiet", "flooding")


def prepare(folder: Path) -> dict[str, str]:
    """Make a server's folder with two tenants more; return each one's token."""
    binary = Path(sys.executable).parent
    made = folder / "server"
    subprocess.run(
        [str(binary / "fractal-server"), "init", str(made)], check=True, stdout=subprocess.DEVNULL
    )
    ring = json.loads((made / "keyring.json").read_bytes())
    tokens = {}
    for tenant in TENANTS:
        agent = folder / f"{tenant}.json"
        command = [str(binary / "fractal-lba"), "keys", "generate", "--keyring", str(agent)]
        subprocess.run(
            [*command, "--tenant", tenant, "--kid", tenant], check=True, stdout=subprocess.DEVNULL
        )
        (key,) = json.loads(agent.read_bytes())["keys"]
        ring["keys"].append({name: value for name, value in key.items() if name != "secret"})
        tokens[tenant] = f"token-of-{tenant}"
        hashed = sha256(tokens[tenant].encode()).hexdigest()
        ring["tokens"].append({"tenant": tenant, "sha256": hashed, "scopes": ["submit"]})
    (made / "keyring.json").write_text(json.dumps(ring), encoding="utf-8")
    return tokens


def bodies_of(folder: Path, tenant: str, count: int) -> list[Path]:
    """Write a file of distinct signed bodies for each round and side, the first to warm up with."""
    (key,) = load_keyring(folder / f"{tenant}.json").keys.values()
    bodies = signed_bodies(key, count * (ROUNDS + 1) * 2)
    files = []
    for index in range((ROUNDS + 1) * 2):
        path = folder / f"{tenant}-{index}"
        path.write_bytes(b"".join(body + b"\n" for body in islice(bodies, count)))
        files.append(path)
    return files


def forgeries(folder: Path) -> Path:
    """Write bodies that cost what they can and verify never."""
    (key,) = load_keyring(folder / "flooding.json").keys.values()
    forged = [body.replace(b'"seed":42', b'"seed":43') for body in signed_bodies(key, 200)]
    numbers = b'{"v_star":[' + b",".join([b"0.1234567890123"] * 4_000) + b"]}"
    path = folder / "forged"
    path.write_bytes(b"\n".join([*forged, *[numbers] * 20]))
    return path


@contextmanager
def flooding(port: int, bodies: Path, token: str) -> Iterator[None]:
    """Flood a server for as long as the block runs."""
    command = [sys.executable, "-m", "benchmarks.flooder", "--port", str(port), f"--token={token}"]
    command += ["--connections", str(FLOOD_CONNECTIONS), str(bodies)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - asked for as a pipe
            process.stdout.readline()
            yield
            process.send_signal(signal.SIGTERM)
            said = json.loads(process.communicate(timeout=SECONDS_MAX)[0])
            print(f"flood of {bodies.name}: {said}", file=sys.stderr)
            if not sum(said.values()):
                raise RuntimeError("flood: expected answers, got none")
        finally:
            process.kill()


def quiet(port: int, bodies: Path, token: str) -> dict[str, Any]:
    """Return what the quiet caller measured.

    Raises:
        RuntimeError: It was refused.
    """
    command = [sys.executable, "-m", "benchmarks.load", "--port", str(port), f"--token={token}"]
    command += ["--connections", str(QUIET_CONNECTIONS), "--per-second", str(QUIET_PER_S)]
    done = subprocess.run(
        [*command, str(bodies)], check=True, stdout=subprocess.PIPE, timeout=SECONDS_MAX
    )
    result: dict[str, Any] = json.loads(done.stdout)
    if result["statuses"] != {"200": QUIET_RECORDS}:
        raise RuntimeError(f"flood: expected {QUIET_RECORDS} × 200, got {result['statuses']}")
    return result


def measure(folder: Path) -> list[Figure]:
    """Return the figures of this module."""
    figures = []
    for name, is_known in (
        ("forgeries without an identity", False),
        ("records of another tenant", True),
    ):
        figures += _measure_one(folder / name.partition(" ")[0], name, is_known=is_known)
    return figures


def _measure_one(folder: Path, name: str, *, is_known: bool) -> list[Figure]:
    folder.mkdir()
    tokens = prepare(folder)
    mine = bodies_of(folder, "quiet", QUIET_RECORDS)
    floods = bodies_of(folder, "flooding", FLOOD_RECORDS) if is_known else [forgeries(folder)]
    token = tokens["flooding"] if is_known else ""
    alone, beside = [], []
    with serving(real_command(folder), folder / "server.log") as (_, port):
        for index in range(ROUNDS + 1):
            alone.append(quiet(port, mine[2 * index], tokens["quiet"]))
            with flooding(port, floods[index % len(floods)], token):
                beside.append(quiet(port, mine[2 * index + 1], tokens["quiet"]))
    under, over = ([run["p99_ms"] for run in side[1:]] for side in (alone, beside))
    caller = f"identified caller at {QUIET_PER_S}/s"
    return [
        Figure(
            name=f"{caller}, p99 beside a flood of {name} ÷ alone",
            unit="×",
            samples=ratios(over, under),
            at_most=RATIO_MAX,
        ),
        Figure(name=f"{caller}, p99 beside a flood of {name}", unit="ms", samples=tuple(over)),
        Figure(name=f"{caller}, p99 alone, same rounds", unit="ms", samples=tuple(under)),
    ]
