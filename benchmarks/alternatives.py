"""The obvious alternatives, each doing a durable insert-if-absent of as many bytes, beside ours.

None of them verifies anything. Each runs as one would run it where an acknowledged record must not
be lost: Postgres with ``synchronous_commit=on``, Redis with ``appendfsync always``, NATS JetStream
with ``sync_interval: always``. The clients of Postgres and Redis are their own, in C; they send one
body again and again under ids of its own, ours sends distinct records: both favour them. Many at a
time they are rows of one statement, commands of one pipeline, and messages whose acknowledgements
are not waited for one by one; ours are lines of ``batch``. One that is not on this machine is named
and left out.
"""

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from benchmarks import batch, jetstream, postgres, redis, submit
from benchmarks.corpus import signed_bodies
from benchmarks.figures import Figure, ratios
from benchmarks.inserting import Insert, Load

from fractal_lba.keyfile import load_keyring

RECORDS: Final = 4000
BATCHED: Final = 25_600
BATCH: Final = 256
CONNECTIONS: Final = 64
BATCH_CONNECTIONS: Final = 8
ROUNDS: Final = 5
SINGLE: Final = f"{CONNECTIONS} connections, one record at a time"
MANY: Final = f"{BATCH_CONNECTIONS} connections, {BATCH} records at a time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """One of them: what it is called, how it is started, why it cannot be."""

    name: str
    missing: Callable[[], str | None]
    serving: Callable[[Path], AbstractContextManager[Insert]]


ALTERNATIVES: Final = (
    Alternative(
        name="Postgres `INSERT … ON CONFLICT DO NOTHING`",
        missing=postgres.missing,
        serving=postgres.serving,
    ),
    Alternative(name="Redis `SET … NX`", missing=redis.missing, serving=redis.serving),
    Alternative(
        name="NATS JetStream `Nats-Msg-Id`", missing=jetstream.missing, serving=jetstream.serving
    ),
)


def measure(folder: Path) -> list[Figure]:
    """Return the figures of this module: ours over each of them, one record and batches."""
    files = submit.prepare(folder)[: submit.ROUNDS + 1]
    body = files[0].read_bytes().split(b"\n", 1)[0]
    single = Load(records=RECORDS, connections=CONNECTIONS, batch=1, body=body)
    batched = Load(records=BATCHED, connections=BATCH_CONNECTIONS, batch=BATCH, body=body)
    (key,) = load_keyring(folder / "server" / "agent-keyring.json").keys.values()
    records = signed_bodies(key, (ROUNDS + 1) * BATCHED, first_epoch=time.time_ns() // 1000)
    figures = []
    with ExitStack() as stack:
        real = stack.enter_context(
            submit.serving(submit.real_command(folder), folder / "server.log")
        )
        token = submit.token_of(folder)
        inserts: dict[str, Insert] = {}
        for alternative in ALTERNATIVES:
            if (why := alternative.missing()) is not None:
                print(f"alternatives: left out: {why}", file=sys.stderr, flush=True)
                continue
            inserts[alternative.name] = stack.enter_context(alternative.serving(folder))
        ours: list[float] = []
        theirs: dict[str, list[float]] = {name: [] for name in inserts}
        for path in files:
            ours.append(submit.load(*real, path, token).per_second)
            for name, insert in inserts.items():
                theirs[name].append(insert(single))
        ours_batched: list[float] = []
        theirs_batched: dict[str, list[float]] = {name: [] for name in inserts}
        for _ in range(ROUNDS + 1):
            ours_batched.append(_batches(real[1], token, list(islice(records, BATCHED))))
            for name, insert in inserts.items():
                theirs_batched[name].append(insert(batched))
    for name, rates in theirs.items():
        figures += _beside("submit", SINGLE, name, ours[1:], rates[1:])
    for name, rates in theirs_batched.items():
        figures += _beside("batch", MANY, name, ours_batched[1:], rates[1:])
    return figures


def _batches(port: int, token: str, bodies: Sequence[bytes]) -> float:
    """Send distinct records in batches; return records a second."""
    batches = [
        b"".join(body + b"\n" for body in bodies[start : start + BATCH])
        for start in range(0, len(bodies), BATCH)
    ]
    started = time.perf_counter()
    with ThreadPoolExecutor(BATCH_CONNECTIONS) as pool:
        sent = [
            pool.submit(batch.send, port, token, batches[first::BATCH_CONNECTIONS])
            for first in range(BATCH_CONNECTIONS)
        ]
        for each in sent:
            each.result()
    return len(bodies) / (time.perf_counter() - started)


def _beside(
    route: str, how: str, name: str, ours: Sequence[float], theirs: Sequence[float]
) -> list[Figure]:
    return [
        Figure(
            name=f"`{route}` ÷ {name}, {how}",
            unit="×",
            samples=ratios(ours, theirs),
            at_least=1.0,
        ),
        Figure(name=f"{name}, {how}", unit="records/s", samples=tuple(theirs)),
    ]
