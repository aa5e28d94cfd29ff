"""What each SDK needs to sign a record, beside its language's bare primitives in the same run.

An SDK other than Python's has a program of its own, which measures on one core and ends with a line
of JSON, the figures by name. It is run several times; an SDK whose toolchain is absent is named and
left out.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.corpus import signed_bodies
from benchmarks.figures import Figure
from benchmarks.verify import RECORDS, hmac_key, sign_all, sign_bare
from tests.support.sdk_drivers import PATH, SDK, SDKS, lacking

from fractal_lba.protocol import parse_record
from fractal_lba.protocol.canonical import without

RUNS: Final = 5
RUN_TIMEOUT_S: Final = 300.0
RATE: Final = "records/s"
COMMANDS: Final[Mapping[str, Sequence[str]]] = {
    "go": ("go", "run", "./internal/bench"),
    "typescript": ("node", "dist/bench/main.js"),
    "rust": ("target/release/bench",),
    "wasm": ("node", "bench.mjs"),
}
HMAC_RATES: Final = {
    "python": 100_000.0,
    "go": 200_000.0,
    "typescript": 60_000.0,
    "rust": 500_000.0,
    "wasm": 60_000.0,
}
ED25519_OF_BARE: Final = 0.8
BATCH_OF_SINGLE: Final = 1.5
WITH_ED25519: Final = ("go", "rust")
ALLOCATIONS: Final = ("hmac_sign", "ed25519_sign", "verify")

Sample = Mapping[str, float]


class BenchError(Exception):
    """A program of an SDK failed or said something else than its figures."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the table, from every sample of an SDK."""

    name: str
    unit: str
    of: str
    by: str | None = None
    at_least: float | None = None

    def figure(self, sdk: str, samples: Sequence[Sample]) -> Figure:
        values = tuple(
            each[self.of] / (1.0 if self.by is None else each[self.by]) for each in samples
        )
        return Figure(
            name=f"{sdk}: {self.name}", unit=self.unit, samples=values, at_least=self.at_least
        )


def rows(sdk: str) -> list[_Row]:
    """Return the lines of an SDK."""
    found = [
        _Row(
            "sign + canonical, HMAC, one core",
            RATE,
            "hmac_sign_canonical",
            at_least=HMAC_RATES[sdk],
        ),
        _Row("bare HMAC of the same bytes, one core", RATE, "hmac_bare"),
    ]
    if sdk in WITH_ED25519:
        found += [
            _Row(
                "sign + canonical, Ed25519 ÷ bare signing of the same bytes (rates)",
                "×",
                "ed25519_sign",
                "ed25519_sign_bare",
                ED25519_OF_BARE,
            ),
            _Row("sign + canonical, Ed25519, one core", RATE, "ed25519_sign"),
            *(
                _Row(f"allocations, {what}", "a record", f"allocs_{name}")
                for name, what in zip(
                    ALLOCATIONS, ("HMAC signing", "Ed25519 signing", "verifying"), strict=True
                )
            ),
        ]
    if sdk == "rust":
        found += [
            _Row(
                "Ed25519 batch of 64 ÷ single verification (rates)",
                "×",
                "ed25519_verify_batch",
                "ed25519_verify_single",
                BATCH_OF_SINGLE,
            ),
            _Row("Ed25519 single verification, one core", RATE, "ed25519_verify_single"),
        ]
    return found


def run_program(sdk: str) -> Sample:
    """Return what one run of an SDK's program measured.

    Raises:
        BenchError: It failed, or its last line is not its figures.
    """
    done = subprocess.run(
        COMMANDS[sdk],
        cwd=SDK / sdk,
        env={**os.environ, "PATH": PATH},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_TIMEOUT_S,
    )
    if done.returncode:
        raise BenchError(f"{sdk}: expected code 0, got {done.returncode}: {done.stderr[-2_000:]}")
    return parse_figures(sdk, done.stdout)


def parse_figures(sdk: str, output: str) -> Sample:
    """Return the figures of a program's last line.

    Raises:
        BenchError: It is no JSON object of numbers.
    """
    last = output.strip().rpartition("\n")[2]
    try:
        found = json.loads(last)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(
        isinstance(value, int | float) for value in found.values()
    ):
        raise BenchError(f"{sdk}: expected figures on the last line, got {last[:200]!r}")
    return {name: float(value) for name, value in found.items()}


def run_python(records: int = RECORDS) -> Sample:
    """Return the same figures of the Python SDK."""
    read = [parse_record(body).members for body in signed_bodies(hmac_key(), records)]
    checked = [without(members, frozenset({"sig"})) for members in read]
    plain = [dict(members) for members in checked]
    return {
        "hmac_sign_canonical": records / sign_all(checked),
        "hmac_bare": records / sign_bare(plain),
    }


def measure() -> list[Figure]:
    """Return the figures of every SDK whose toolchain is here."""
    figures: list[Figure] = []
    for sdk in SDKS:
        if (reason := lacking(sdk)) is not None:
            print(f"left out: {reason}", file=sys.stderr)
            continue
        sample = run_python if sdk == "python" else lambda sdk=sdk: run_program(sdk)
        samples = [sample() for _ in range(RUNS)]
        figures += [row.figure(sdk, samples) for row in rows(sdk)]
    return figures
