"""Inputs for the differential fuzzer: bent golden vectors, grown JSON, records spelled anew.

An input is a file of golden vectors, whose meaning it has, and the ``input`` of a case of it.
"""

import base64
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from tests.fuzz.json_targets import PIECES
from tests.fuzz.mutate import Mutator
from tests.fuzz.targets import TARGETS
from tests.support.sdk_json import grown, respelled
from tests.support.sdk_records import RECEIVED_AT, keyring_of, records

from fractal_lba.protocol import pcs_id

VECTORS: Final = Path(__file__).parents[2] / "golden_vectors"
RECORDS: Final = 200
"""Random records that are bent and spelled anew."""


class Input(NamedTuple):
    """One input; ``given`` is that of a case of ``file``."""

    file: str
    given: Mapping[str, Any]

    @property
    def line(self) -> bytes:
        """The request to a driver."""
        return orjson.dumps({"op": "answer", "file": self.file, "input": self.given})


def _cases(name: str) -> list[dict[str, Any]]:
    document = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return [case["input"] for case in document["tests"]]


def _body(given: Mapping[str, Any]) -> bytes:
    return base64.b64decode(given["body"])


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Inputs:
    """An endless source of inputs, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"inputs {seed}")  # noqa: S311 - replayed, not secret
        self._records = [_whole(record) for record in records(RECORDS, seed)]
        documents = [
            bytes.fromhex(given["document"])
            for name in ("canonical", "json_refusals")
            for given in _cases(name)
        ]
        bodies = [
            _body(given)
            for name in ("records_1_0", "digests", "outcomes", "signing_records")
            for given in _cases(name)
        ]
        self._document = self._bender([*documents, *TARGETS["jcs"].seeds])
        self._bent_body = self._bender([*bodies, *map(orjson.dumps, self._records)])
        self._legacy = [given for given in _cases("records_0_1") if len(given["body"]) < 8_000]
        self._bent_legacy = self._bender([_body(given) for given in self._legacy])
        self._bent_ring = self._bender(
            [base64.b64decode(given["keyring"]) for given in _cases("keyrings")]
        )
        self._signed = _cases("signing_records")
        self._proofs = {name: _cases(name) for name in ("merkle_inclusion", "merkle_consistency")}
        self._rings = [_text(keyring_of(alg)) for alg in ("hmac", "ed25519")]
        ways: Sequence[tuple[int, Callable[[], Input]]] = (
            (20, self._json),
            (15, self._grown),
            (20, self._record),
            (5, self._digests),
            (10, self._signing),
            (10, self._outcome),
            (12, self._old),
            (5, self._ring),
            (3, self._proof),
        )
        self._ways = [way for weight, way in ways for _ in range(weight)]

    def __iter__(self) -> Iterator[Input]:
        while True:
            yield self._rng.choice(self._ways)()

    def _bender(self, pool: Sequence[bytes]) -> Mutator:
        return Mutator(self._rng, pool, PIECES, is_text=True)

    def _json(self) -> Input:
        return self._layered(self._document())

    def _grown(self) -> Input:
        return self._layered(grown(self._rng))

    def _layered(self, document: bytes) -> Input:
        layer = self._rng.choice(("jcs", "jcs", "record"))
        return Input("json_refusals.json", {"layer": layer, "document": document.hex()})

    def _body_of_a_kind(self) -> bytes:
        """Return a bent body, or a record in a random spelling, perhaps with a member changed."""
        rng = self._rng
        if rng.random() < 0.5:
            return self._bent_body()
        members = dict(rng.choice(self._records))
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            name = rng.choice(list(members))
            other = rng.choice(self._records)
            match rng.randrange(4):
                case 0:
                    del members[name]
                case 1 if name in other:
                    members[name] = other[name]
                case 2:
                    members[name] = rng.choice(_ODD)
                case _:
                    members[rng.choice(("x", "Kid", "__proto__", "constructor", "é"))] = 1
            if not members:
                break
        return respelled(rng, members)

    def _record(self) -> Input:
        body = _text(self._body_of_a_kind())
        return Input("records_1_0.json", {"body": body, "trailing_spaces": self._spaces()})

    def _digests(self) -> Input:
        # A file without refusals: only what every rule allows, in any spelling.
        body = _text(respelled(self._rng, self._rng.choice(self._records)))
        return Input("digests.json", {"body": body, "trailing_spaces": self._rng.randrange(3)})

    def _outcome(self) -> Input:
        rng = self._rng
        members = {**rng.choice(self._records)}
        # What a verdict rests on, near the values it turns at.
        members["D_hat"] = rng.choice((members["D_hat"], round(rng.uniform(0.0, 3.0), 9), 1.2, 1.8))
        members["coh_star"] = rng.choice(
            (members["coh_star"], 0.75, round(rng.uniform(0.05, 1), 9))
        )
        return Input("outcomes.json", {"body": _text(orjson.dumps(members)), "trailing_spaces": 0})

    def _signing(self) -> Input:
        rng = self._rng
        if rng.random() < 0.5:
            given = dict(rng.choice(self._signed))
            bend = self._bender([_body(given)])
            return Input("signing_records.json", {**given, "body": _text(bend())})
        return Input(
            "signing_records.json",
            {
                "keyring": rng.choice(self._rings),
                "body": _text(self._body_of_a_kind()),
                "trailing_spaces": 0,
                "received_at": RECEIVED_AT,
            },
        )

    def _old(self) -> Input:
        given = dict(self._rng.choice(self._legacy))
        if self._rng.random() < 0.8:
            given["body"] = _text(self._bent_legacy())
        return Input("records_0_1.json", {**given, "trailing_spaces": self._spaces()})

    def _ring(self) -> Input:
        while True:
            bent = self._bent_ring()
            # What stands outside of a ring is read by whoever opens it, and not by the parser.
            if b"env:" not in bent and b"file:" not in bent:
                return Input("keyrings.json", {"keyring": _text(bent)})

    def _proof(self) -> Input:
        rng = self._rng
        name = rng.choice(list(self._proofs))
        given = dict(rng.choice(self._proofs[name]))
        member = rng.choice(list(given))
        match given[member]:
            case int(size):
                given[member] = max(0, rng.choice((size - 1, size + 1, 2 * size, 2**53 - 1)))
            case str(digest):
                given[member] = bytes(reversed(bytes.fromhex(digest))).hex()
            case [*hashes]:
                given[member] = rng.sample(hashes, rng.randint(0, len(hashes)))
        return Input(f"{name}.json", given)

    def _spaces(self) -> int:
        return self._rng.choice((*(0,) * 20, 1, 3, 63_000, 65_535))


_ODD: Final[Sequence[object]] = (
    None, True, False, 0, -1, 1, 1.5, 2**53, -(2**53), 1e300, 5e-324, "", "x", "a" * 129,
    "1.0", "0.1", "é",
    [], [1], [2, 4], {}, {"2": 1}, [[]], "2026-11-22T06:00:00.000Z", "2026-02-30T06:00:00.000Z",
    "A" * 43 + "=", "A" * 86 + "==", "ab" * 32, [0, 0, 1], [0.6, 0.8, 0],
)  # fmt: skip


def _whole(record: dict[str, Any]) -> dict[str, Any]:
    """Return the members of a record with what `sign` would fill in, the signature made up."""
    name = pcs_id(record["merkle_root"], record["epoch"], record["shard_id"])
    return {**record, "kid": "hmac-1", "pcs_id": name, "sig": "A" * 43 + "="}
