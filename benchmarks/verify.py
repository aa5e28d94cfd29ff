"""What it costs to check and to sign one record, against the bare calls underneath.

Checking: strict parse and structure, canonical signing input, record digest, HMAC check.
Bare, on the same bytes: ``orjson.loads`` + ``orjson.dumps`` + ``hashlib.sha256`` + ``hmac.digest``.
Signing: canonical signing input and HMAC of a record that was checked, as `sign_record` does it; of
members that nobody has looked at; and `sign_record` whole, which checks them first. Bare, on the
same members: ``orjson.dumps`` + ``hmac.digest``. Seconds of signing are the processor's.
"""

import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from typing import Final

import orjson
from benchmarks.corpus import signed_bodies
from benchmarks.figures import Figure, in_turn, ratios

from fractal_lba.protocol import (
    Alg,
    Key,
    Keyring,
    Record,
    authenticate,
    parse_record,
    record_digest,
    sign_hmac,
    sign_record,
    signing_input,
    verify_hmac,
)
from fractal_lba.protocol.canonical import JsonValue, without

RECORDS: Final = 4000
ROUNDS: Final = 7
TARGET: Final = 2.5
# Of signing one of the two is to hold.
SIGN_OF_BARE: Final = 2.0
SIGN_RATE: Final = 100_000.0
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


def sign_all(members: Sequence[Mapping[str, JsonValue]]) -> float:
    """Return the processor's seconds for canonical bytes and signature of each."""
    started = time.process_time()
    for each in members:
        sign_hmac(SECRET, signing_input(each))
    return time.process_time() - started


def sign_bare(members: Sequence[Mapping[str, JsonValue]]) -> float:
    """Return the processor's seconds for the two primitives on each."""
    started = time.process_time()
    for each in members:
        hmac.digest(SECRET, orjson.dumps(each), "sha256")
    return time.process_time() - started


def make_records(members: Sequence[Mapping[str, JsonValue]], key: Key) -> float:
    """Return the processor's seconds for a signed record of each."""
    started = time.process_time()
    for each in members:
        sign_record(each, key)
    return time.process_time() - started


def signing(bodies: list[bytes], key: Key) -> list[Figure]:
    """Return the figures of signing."""
    records: list[Record] = [parse_record(body) for body in bodies]
    checked = [without(record.members, frozenset({"sig"})) for record in records]
    unknown: list[dict[str, JsonValue]] = [dict(each) for each in checked]
    ours, bare = in_turn(ROUNDS, lambda _: sign_all(checked), lambda _: sign_bare(unknown))
    walked, bare_again = in_turn(ROUNDS, lambda _: sign_all(unknown), lambda _: sign_bare(unknown))
    make_records(unknown[:100], key)
    rates = {
        "sign + canonical, HMAC, one core": (ours, SIGN_RATE),
        "the bare calls of signing, one core": (bare, None),
        "sign + canonical of members never looked at, one core": (walked, None),
        "`sign_record` whole, HMAC, one core": (
            [make_records(unknown, key) for _ in range(ROUNDS)],
            None,
        ),
    }
    return [
        Figure(
            name="sign + canonical ÷ bare calls (`orjson.dumps` + `hmac.digest`, same members)",
            unit="×",
            samples=ratios(ours, bare),
            at_most=SIGN_OF_BARE,
        ),
        Figure(
            name="sign + canonical of members never looked at ÷ the same bare calls",
            unit="×",
            samples=ratios(walked, bare_again),
        ),
        *(
            Figure(
                name=name,
                unit="records/s",
                samples=tuple(len(bodies) / seconds for seconds in taken),
                at_least=at_least,
            )
            for name, (taken, at_least) in rates.items()
        ),
    ]


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
        *signing(bodies, key),
    ]
