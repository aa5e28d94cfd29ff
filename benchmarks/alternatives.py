"""The obvious alternatives, each doing a durable insert-if-absent of as many bytes, beside ours.

None of them verifies anything. Each runs as one would run it where an acknowledged record must not
be lost: Postgres with ``synchronous_commit=on``, Redis with ``appendfsync always``, NATS JetStream
with ``sync_interval: always``. The clients of Postgres and Redis are their own, in C; they send one
body again and again under ids of its own, ours sends distinct records: both favour them. One that
is not on this machine is named and left out.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import jetstream, postgres, redis, submit
from benchmarks.figures import Figure, ratios
from benchmarks.inserting import Insert, Load

RECORDS: Final = 4000
BATCHED: Final = 25_600
BATCH: Final = 256
CONNECTIONS: Final = 64
BATCH_CONNECTIONS: Final = 8
ROUNDS: Final = 5


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
        ours = []
        theirs: dict[str, list[float]] = {name: [] for name in inserts}
        for path in files:
            ours.append(submit.load(*real, path, token).per_second)
            for name, insert in inserts.items():
                theirs[name].append(insert(single))
    for name, rates in theirs.items():
        figures += _beside(name, ours[1:], rates[1:])
    return figures


def _beside(name: str, ours: list[float], theirs: list[float]) -> list[Figure]:
    return [
        Figure(
            name=f"`submit` ÷ {name}, {CONNECTIONS} connections, one record at a time",
            unit="×",
            samples=ratios(ours, theirs),
            at_least=1.0,
        ),
        Figure(name=f"{name}, one at a time", unit="records/s", samples=tuple(theirs)),
    ]
