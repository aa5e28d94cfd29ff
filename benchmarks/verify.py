"""What it costs to check one record, against the bare calls underneath.

Product: strict parse and structure, canonical signing input, record digest, HMAC check.
Bare, on the same bytes: ``orjson.loads`` + ``orjson.dumps`` + ``hashlib.sha256`` + ``hmac.digest``.
"""

import hashlib
import hmac
import time
from typing import Final

import orjson
from benchmarks.corpus import signed_bodies
from benchmarks.figures import Figure, in_turn, ratios

from fractal_lba.protocol import (
    Alg,
    Key,
    Keyring,
    authenticate,
    parse_record,
    record_digest,
    signing_input,
    verify_hmac,
)

RECORDS: Final = 4000
ROUNDS: Final = 7
TARGET: Final = 2.5
SECRET: Final = bytes(range(32))


def hmac_key() -> Key:
    """Return the key all records of this benchmark are signed with."""
    return Key(
        kid="benchmark-1",
        tenant="benchmark",
        alg=Alg.HMAC_SHA256,
        public=None,
        secret=SECRET,
        not_before_ms=None,
        not_after_ms=None,
        legacy=False,
    )


def check_records(bodies: list[bytes]) -> float:
    """Return the seconds to parse, digest and check every body."""
    started = time.perf_counter()
    for body in bodies:
        record = parse_record(body)
        message = signing_input(record.members)
        record_digest(message)
        if not verify_hmac(SECRET, message, record.signature):
            raise AssertionError("a record of the corpus does not verify")
    return time.perf_counter() - started


def bare_calls(bodies: list[bytes]) -> float:
    """Return the seconds the four primitives take on the same bytes."""
    started = time.perf_counter()
    for body in bodies:
        data = orjson.dumps(orjson.loads(body))
        hashlib.sha256(data).hexdigest()
        hmac.digest(SECRET, data, "sha256")
    return time.perf_counter() - started


def authenticate_records(bodies: list[bytes], keyring: Keyring) -> float:
    """Return the seconds of the whole step the server runs: all of it, and the content digest."""
    started = time.perf_counter()
    for body in bodies:
        authenticate(body, keyring)
    return time.perf_counter() - started


def measure() -> list[Figure]:
    """Return the figures of this module."""
    key = hmac_key()
    bodies = list(signed_bodies(key, RECORDS))
    keyring = Keyring(keys={key.kid: key}, tokens={})
    checked, bare = in_turn(ROUNDS, lambda _: check_records(bodies), lambda _: bare_calls(bodies))
    whole, bare_again = in_turn(
        ROUNDS, lambda _: authenticate_records(bodies, keyring), lambda _: bare_calls(bodies)
    )
    return [
        Figure(
            name="strict parse + canonical + digest + HMAC check ÷ bare calls "
            "(`orjson.loads` + `orjson.dumps` + `hashlib.sha256` + `hmac.digest`, same bytes)",
            unit="×",
            samples=ratios(checked, bare),
            at_most=TARGET,
        ),
        Figure(
            name="`authenticate` (the same and content digest, key lookup) ÷ the same bare calls",
            unit="×",
            samples=ratios(whole, bare_again),
        ),
        Figure(
            name="one record checked, one core",
            unit="µs",
            samples=tuple(seconds / RECORDS * 1e6 for seconds in checked),
        ),
        Figure(
            name="the bare calls for one record, one core",
            unit="µs",
            samples=tuple(seconds / RECORDS * 1e6 for seconds in bare),
        ),
    ]
