"""Every SDK signs, every SDK verifies: ``python -m tests.support.sdk_matrix [RECORDS] [CHANGES]``.

All sign the same random records, and what they sign must be the same bytes: both algorithms are
deterministic and there is one canonical form. So each body is verified once by each SDK and stands
for every signer that made it; where bodies differ, each is verified and the difference is reported.
"""

import base64
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson
from tests.support.sdk_drivers import Driver, available
from tests.support.sdk_records import SEED, alg_of, records, sign_request, verify_request

RECORDS: Final = 2_000
CHANGES: Final = 3
"""Single-byte changes of each record, at random places."""

KIND_SHARE: Final = 0.6
"""How many changes stay within a kind of byte; a record seldom survives another."""

WHOLE_EVERY: Final = 1_000
"""Of one record of each algorithm in so many, every byte is changed once."""

NIGHTLY_RECORDS: Final = 20_000
NIGHTLY_CHANGES: Final = 10
SHOWN_MAX: Final = 10
_KINDS: Final = (b"0123456789", b"abcdefghijklmnopqrstuvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_REFERENCE: Final = "python"


class MatrixError(AssertionError):
    """SDKs do not agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was run; every count is of each SDK."""

    sdks: Sequence[str]
    records: int
    changes: int
    harmless: int
    seconds: float

    @property
    def lines(self) -> list[str]:
        """Say it, with a line for each ordered pair."""
        told = (
            f"{len(self.sdks)} SDKs signed the same {self.records:,} random records to the same "
            f"bytes; {self.changes:,} single-byte changes: {self.changes - self.harmless:,} refused"
            f" by all alike, {self.harmless:,} say the same as before and are taken;"
            f" {self.seconds:.0f} s"
        )
        return [
            told,
            *(
                f"{signer} signed, {verifier} verified: {self.records:,} records,"
                f" {self.changes:,} changes"
                for signer in self.sdks
                for verifier in self.sdks
                if signer != verifier
            ),
        ]


class Drivers:
    """One driver of each SDK, all asked the same lines at once."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._stack = ExitStack()
        self._drivers: dict[str, Driver] = {}

    def __enter__(self) -> Self:
        with self._stack:
            for name in self.names:
                self._drivers[name] = self._stack.enter_context(Driver(name))
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type] # as it came

    def ask(self, lines: Sequence[bytes]) -> Mapping[str, list[bytes]]:
        """Return every SDK's answers, in order."""
        with ThreadPoolExecutor(len(self.names)) as pool:
            found = pool.map(lambda name: self._drivers[name].ask_all(lines), self.names)
            return dict(zip(self.names, found, strict=True))

    def hello(self) -> Mapping[str, dict[str, Any]]:
        """Return what every SDK says of itself."""
        return {name: self._drivers[name].ask("hello") for name in self.names}


def run(
    names: Sequence[str],
    *,
    count: int = RECORDS,
    changes: int = CHANGES,
    seed: int = SEED,
) -> Figures:
    """Hold every pair of SDKs to each other.

    Raises:
        MatrixError: With the first differences.
        DriverError: A driver ended or hung.
    """
    began = time.perf_counter()
    made = records(count, seed)
    with Drivers(names) as drivers:
        bodies = _signed(drivers, made)
        requests = [verify_request(alg_of(number), body) for number, body in bodies]
        verified = _same(drivers, "verify", requests)
        refused = [said for said in verified if said.get("result") != "valid"]
        if refused:
            raise MatrixError(f"verify: expected every record to be taken, got {refused[0]}")
        changed = list(_changed(bodies, changes, seed))
        said = _same(
            drivers, "change", [verify_request(alg_of(number), body) for number, body, _ in changed]
        )
        harmless = 0
        for (number, body, before), answer in zip(changed, said, strict=True):
            is_taken = answer.get("result") == "valid"
            if is_taken != _says_the_same(before, body):
                raise MatrixError(f"record {number}: {answer} to the changed {body!r}")
            harmless += is_taken
    return Figures(
        sdks=names,
        records=count,
        changes=len(changed),
        harmless=harmless,
        seconds=time.perf_counter() - began,
    )


def _signed(drivers: Drivers, made: Sequence[dict[str, Any]]) -> list[tuple[int, bytes]]:
    """Return every record's body, once all signers agree on it."""
    said = _same(drivers, "sign", [sign_request(at, record) for at, record in enumerate(made)])
    found = []
    for number, answer in enumerate(said):
        if "body" not in answer:
            raise MatrixError(f"sign: record {number}: expected a body, got {answer}")
        found.append((number, base64.b64decode(answer["body"])))
    return found


def _same(drivers: Drivers, what: str, lines: Sequence[bytes]) -> list[dict[str, Any]]:
    """Return the answers that all SDKs give alike."""
    answers = drivers.ask(lines)
    read = {name: [orjson.loads(line) for line in found] for name, found in answers.items()}
    expected = read[_REFERENCE]
    wrong = [
        f"{what} {at}: {_REFERENCE} {expected[at]}, {name} {said}; asked {lines[at][:4_000]!r}"
        for name, found in read.items()
        for at, said in enumerate(found)
        if said != expected[at]
    ]
    if wrong:
        shown = "\n".join(wrong[:SHOWN_MAX])
        raise MatrixError(f"{len(wrong):,} of {len(lines):,} answers differ:\n{shown}")
    return expected


def _changed(
    bodies: Sequence[tuple[int, bytes]], changes: int, seed: int
) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield each changed body with its record's number and what it was."""
    rng = random.Random(f"changes {seed}")  # noqa: S311 - replayed, not secret
    for number, body in bodies:
        whole = number % WHOLE_EVERY in {0, 1}
        places = range(len(body)) if whole else rng.choices(range(len(body)), k=changes)
        for at in places:
            yield number, body[:at] + _other(rng, body[at]) + body[at + 1 :], body


def _other(rng: random.Random, byte: int) -> bytes:
    """Return another byte: any, or one of its kind, which only the signature may tell apart."""
    kind = next((kind for kind in _KINDS if byte in kind), b"")
    others = [each for each in (kind if rng.random() < KIND_SHARE else range(256)) if each != byte]
    return bytes([rng.choice(others or [byte ^ 1])])


def _says_the_same(before: bytes, after: bytes) -> bool:
    """Tell by another reader whether a change is one of spelling alone: ``1e-7`` and ``1E-7``."""
    try:
        return bool(json.loads(before) == json.loads(after))
    except ValueError:
        return False


def main() -> int:
    """Run the nightly size, or what the command line says."""
    given = [int(each) for each in sys.argv[1:]]
    count, changes = (*given, *(NIGHTLY_RECORDS, NIGHTLY_CHANGES)[len(given) :])
    for line in run(available(), count=count, changes=changes).lines:
        print(line)  # noqa: T201 - a command's output
    return 0


if __name__ == "__main__":
    sys.exit(main())
