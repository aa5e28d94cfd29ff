"""A valid body bent in any way never meets a bug, and never reaches the index.

What the bending leaves valid in meaning (white space, another order or spelling of the members) is
the same record, and is answered as a repeat of it: nothing else is ever remembered.
"""

import base64
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from tests.support.server_process import Folder, ServerProcess
from tests.support.signed import ACME_NEXT, body
from tests.support.wire import Wire

BYTE_MUTATIONS = 2_000
MEMBER_MUTATIONS = 1_000
HONEST = (body(1), body(2, signer=ACME_NEXT, meta={"a": "b", "n": 3}), body(3, n=65))
REFUSALS = {400, 401, 413}

Mutate = Callable[[random.Random, bytes], bytes]


@dataclass
class Attacked:
    """A server that has decided the honest records, and how often it was asked since."""

    wire: Wire
    answers: dict[bytes, bytes]
    refused: int = 0
    repeats: int = 0

    def attack(self, sent: bytes) -> None:
        answer = self.wire.submit(sent)
        if answer.is_replayed:
            # Valid still: then it is one of the honest records, by its answer.
            assert answer.body in self.answers.values(), sent
            self.repeats += 1
            return
        assert answer.status in REFUSALS, (answer.status, answer.body, sent)
        assert answer.headers["content-type"] == "application/problem+json"
        self.refused += 1


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    folder = Folder(tmp_path_factory.mktemp("mutations") / "folder")
    with ServerProcess(folder) as server, Wire(server.address) as wire:
        answers = {sent: wire.submit(sent) for sent in HONEST}
        attacked = Attacked(wire, {sent: answer.body for sent, answer in answers.items()})
        yield attacked
        # The honest answers are what they were.
        for sent, answer in answers.items():
            again = wire.submit(sent)
            assert (again.status, again.is_replayed) == (answer.status, True)
            assert again.body == answer.body
        assert server.stop() == 0
        assert [line for line in server.log_lines() if line["level"] == "error"] == []
        code, report = folder.fsck()
        assert (code, report["records"], report["conflicts"]) == (0, len(HONEST), 0)
        assert report["inbox_bodies"] == 2 * len(HONEST) + attacked.refused + attacked.repeats


def flip(rng: random.Random, data: bytes) -> bytes:
    bent = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        bent[rng.randrange(len(bent))] ^= 1 << rng.randrange(8)
    return bytes(bent)


def overwrite(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at + 1 :]


def cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def drop(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randrange(1, 40) :]


def double(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data))
    end = start + rng.randrange(1, 200)
    return data[:end] + data[start:end] + data[end:]


def splice(rng: random.Random, data: bytes) -> bytes:
    other = rng.choice(HONEST)
    return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]


def strange(rng: random.Random, data: bytes) -> bytes:
    piece = rng.choice(
        (
            b"\\u0000", b"\\ud800", "\u2028".encode(), "é".encode(), b"\xef\xbb\xbf", b"\xc0\x80",
            b"\xed\xa0\x80", b"NaN", b"1e999", b"-0", b"\x00", b"//", b"]", b"{", b'"', b",,",
            b"1" * 70, "\U0001f600".encode(), b"\\/",
        )
    )  # fmt: skip
    at = rng.randrange(len(data) + 1)
    return data[:at] + piece + data[at:]


BYTES: tuple[Mutate, ...] = (flip, flip, overwrite, cut, drop, double, splice, strange)


def mutated(rng: random.Random) -> bytes:
    data = rng.choice(HONEST)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(BYTES)(rng, data or b"{}")
    return data


def test_bent_bytes_are_refused_or_are_the_same_record(attacked: Attacked) -> None:
    rng = random.Random(20261121)  # noqa: S311 - replayed, not secret
    before = attacked.refused
    for _ in range(BYTE_MUTATIONS):
        attacked.attack(mutated(rng))
    assert attacked.refused - before > BYTE_MUTATIONS * 0.95


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=70),
    st.lists(st.integers(0, 9), max_size=11),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=3),
    st.sampled_from(["sticky", "mixed", "1.0", "0.1", "", "0" * 64, "acme-2", 64, 0, -1, 2**53]),
)
NAMES = st.sampled_from(sorted(json.loads(HONEST[1])))
EDIT = st.one_of(
    st.tuples(st.just("set"), NAMES, VALUES),
    st.tuples(st.just("swap"), NAMES, NAMES),
    st.tuples(st.just("drop"), NAMES, st.none()),
    st.tuples(st.just("add"), st.text(max_size=10), VALUES),
    st.tuples(st.just("add"), NAMES.map(str.upper), VALUES),
    st.tuples(st.just("nest"), st.sampled_from(["ft", "meta", "N_j", "delivery"]), VALUES),
    st.tuples(st.just("sign"), st.binary(min_size=30, max_size=66), st.none()),
)


def edited(record: dict[str, Any], edits: list[tuple[str, Any, Any]]) -> dict[str, Any]:
    for kind, name, value in edits:
        match kind:
            case "set" | "add":
                record[name] = value
            case "swap":
                record[name], record[value] = record.get(value), record.get(name)
            case "drop":
                record.pop(name, None)
            case "nest":
                inner = record.get(name)
                record[name] = {**inner, "x": value} if isinstance(inner, dict) else [value]
            case "sign":
                record["sig"] = base64.b64encode(name).decode()
    return record


@seed(20261121)
@settings(
    max_examples=MEMBER_MUTATIONS,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(honest=st.sampled_from(HONEST), edits=st.lists(EDIT, min_size=1, max_size=3))
def test_bent_members_are_refused_or_are_the_same_record(
    attacked: Attacked, honest: bytes, edits: list[tuple[str, Any, Any]]
) -> None:
    attacked.attack(json.dumps(edited(json.loads(honest), edits)).encode())


def test_other_orders_and_spellings_are_the_same_record(attacked: Attacked) -> None:
    rng = random.Random(7)  # noqa: S311 - replayed, not secret
    for honest in HONEST:
        record = json.loads(honest)
        for _ in range(20):
            items = list(record.items())
            rng.shuffle(items)
            before = attacked.repeats
            attacked.attack(json.dumps(dict(items), indent=rng.choice((None, 1))).encode())
            assert attacked.repeats == before + 1
