"""``batch`` over HTTP: 1,000 records in each body, HMAC and Ed25519, against the bare calls.

The real server, fsync and dedup on, every record distinct; two connections send one batch after the
other. What it costs is the processor's time of the server, workers and all, for each record; bare
is the processor's time of this process for the primitives on the same records, in turn with it:
for HMAC ``orjson.loads`` + ``orjson.dumps`` + ``hashlib.sha256`` + ``hmac.digest``, for Ed25519
libsodium's verification alone.
"""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path
from typing import Final

from benchmarks.corpus import signed_bodies
from benchmarks.figures import Figure, ratios
from benchmarks.submit import WORKERS, cpu_s, prepare_server, real_command, serving, token_of
from benchmarks.verify import SECRET, bare_calls
from nacl import bindings

from fractal_lba.keyfile import load_keyring
from fractal_lba.protocol import Alg, Key, encode_base64, parse_record, signing_input

CONNECTIONS: Final = 2
LINES: Final = 1000
BATCHES: Final = 6
ROUNDS: Final = 5
SECONDS_MAX: Final = 120
HMAC_RATE_MIN: Final = 100_000.0
HMAC_OF_BARE_MAX: Final = 2.5
ED25519_OF_BARE_MAX: Final = 1.4
HMAC_KID: Final = "batch-hmac"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One round: so many batches sent and answered, and the bare calls on the same records."""

    per_second: float
    cpu_us: float
    bare_us: float


def keys_of(folder: Path) -> list[Key]:
    """Return the keys that a server knows: the one of its agent, and one for HMAC."""
    prepare_server(folder)
    agent = load_keyring(folder / "server" / "agent-keyring.json")
    (ed25519,) = agent.keys.values()
    path = folder / "server" / "keyring.json"
    ring = json.loads(path.read_text(encoding="utf-8"))
    if all(each["kid"] != HMAC_KID for each in ring["keys"]):
        secret = f"base64:{encode_base64(SECRET)}"
        ring["keys"].append(
            {"kid": HMAC_KID, "tenant": ed25519.tenant, "alg": "hmac-sha256", "secret": secret}
        )
        path.write_text(json.dumps(ring), encoding="utf-8")
    return [load_keyring(path).keys[HMAC_KID], ed25519]


def send(port: int, token: str, batches: Sequence[bytes]) -> None:
    """Send batches one after the other on a connection.

    Raises:
        RuntimeError: A record was not accepted as a new one: all else is quicker than the work.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS_MAX)
    headers = {"Content-Type": "application/x-ndjson", "Authorization": f"Bearer {token}"}
    for batch in batches:
        connection.request("POST", "/v1/pcs/batch", batch, headers)
        answer = connection.getresponse().read()
        accepted = answer.count(b'"status":200')
        if accepted != batch.count(b"\n") or b'"replayed"' in answer:
            raise RuntimeError(f"batch: expected each line accepted, got {answer[:200]!r}")
    connection.close()


def bare_verifications(key: Key, bodies: Sequence[bytes]) -> Callable[[], None]:
    """Return what verifies each record's signature and does nothing else."""
    assert key.public is not None  # noqa: S101 - by the algorithm
    public = key.public
    records = [parse_record(body) for body in bodies]
    signed = [each.signature + signing_input(each.members) for each in records]

    def verify() -> None:
        for each in signed:
            bindings.crypto_sign_open(each, public)

    return verify


def load(pid: int, port: int, token: str, key: Key, bodies: Sequence[bytes]) -> Run:
    """Send records in batches and make the bare calls on them; return what each took."""
    batches = [
        b"".join(body + b"\n" for body in bodies[start : start + LINES])
        for start in range(0, len(bodies), LINES)
    ]
    before, started = cpu_s(pid), time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        sent = [
            pool.submit(send, port, token, batches[first::CONNECTIONS])
            for first in range(CONNECTIONS)
        ]
        for each in sent:
            each.result()
    seconds, server_cpu = time.perf_counter() - started, cpu_s(pid) - before
    bare = (
        partial(bare_calls, list(bodies))
        if key.alg is Alg.HMAC_SHA256
        else bare_verifications(key, bodies)
    )
    started_cpu = time.process_time()
    bare()
    bare_cpu = time.process_time() - started_cpu
    return Run(
        per_second=len(bodies) / seconds,
        cpu_us=server_cpu / len(bodies) * 1e6,
        bare_us=bare_cpu / len(bodies) * 1e6,
    )


def measure(folder: Path) -> list[Figure]:
    """Return the figures of this module."""
    keys = keys_of(folder)
    figures: list[Figure] = []
    with serving(real_command(folder), folder / "batch.log") as server:
        token = token_of(folder)
        for number, key in enumerate(keys):
            first_epoch = 10_000_000 * (number + 1)
            records = signed_bodies(key, (ROUNDS + 1) * BATCHES * LINES, first_epoch=first_epoch)
            runs = [
                load(*server, token, key, list(islice(records, BATCHES * LINES)))
                for _ in range(ROUNDS + 1)
            ]
            figures += figures_of(key.alg, runs[1:])
    return figures


def figures_of(alg: Alg, runs: Sequence[Run]) -> list[Figure]:
    """Return the figures of one kind of signature."""
    is_hmac = alg is Alg.HMAC_SHA256
    kind = "HMAC" if is_hmac else "Ed25519"
    name = f"`batch` of {LINES:,} records, {kind}, workers: {WORKERS}"
    bare = "the bare calls of a check" if is_hmac else "a bare libsodium verification"
    return [
        Figure(
            name=name,
            unit="records/s",
            samples=tuple(run.per_second for run in runs),
            at_least=HMAC_RATE_MIN if is_hmac else None,
        ),
        Figure(
            name=f"{name}: server CPU for each record ÷ {bare}",
            unit="×",
            samples=ratios([run.cpu_us for run in runs], [run.bare_us for run in runs]),
            at_most=HMAC_OF_BARE_MAX if is_hmac else ED25519_OF_BARE_MAX,
        ),
        Figure(
            name=f"{name}: server CPU for each record",
            unit="µs",
            samples=tuple(run.cpu_us for run in runs),
        ),
        Figure(name=f"{bare}, one core", unit="µs", samples=tuple(run.bare_us for run in runs)),
    ]
