"""Every value of ``golden_vectors/`` again, from the oracle's own rules.

::

    python -m tests.oracle.vectors      prints each file's cases or what differs; exit 1 if any does
"""

import base64
import hashlib
import hmac
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.oracle.canonical_json import canonical_bytes, number
from tests.oracle.ed25519 import public_key, sign, verify
from tests.oracle.http_server import Server
from tests.oracle.judgement import decision_body, status, verdict
from tests.oracle.keys import RingRefused, authenticated, ring_of
from tests.oracle.legacy_records import decided as decided_legacy
from tests.oracle.merkle import consistency_holds, inclusion_holds, root_of
from tests.oracle.record_rules import record_of
from tests.oracle.records import content_digest, pcs_id, record_digest, signing_input, without
from tests.oracle.refusal import Refused
from tests.oracle.ring import owner, point
from tests.oracle.signals import members_of_bytes, members_of_points
from tests.oracle.strict_json import parse

FOLDER = Path(__file__).parents[2] / "golden_vectors"
HEADER = ["schema", "schemaVersion", "algorithm", "specification"]
HEADER = [*HEADER, "numberOfTests", "notes", "tests"]
CASE = ["tcId", "comment", "flags", "input", "result", "expected"]

SUMMARY = ["profile", "n", "d", "merkle_root", "N_j"]
SUMMARY = [*SUMMARY, "D_hat", "coh_star", "v_star", "r", "regime", "budget"]

Case = dict[str, Any]
Values = dict[str, Any]


class Holds:
    """A case's input, of which every field must be read."""

    def __init__(self, values: Values) -> None:
        self.values = dict(values)

    def take(self, name: str) -> Any:  # noqa: ANN401 - what the field holds
        return self.values.pop(name)

    def hexadecimal(self, name: str) -> bytes:
        return bytes.fromhex(self.take(name))

    def body(self) -> bytes:
        body = base64.b64decode(self.take("body"))
        return body + b" " * int(self.take("trailing_spaces"))


def real(value: float) -> Values:
    return {"text": number(value), "bits": struct.pack(">d", value).hex()}


def refusal(refused: Refused) -> Values:
    return {"code": refused.code, "reason": refused.reason, "member": refused.member}


def numbers(value: object) -> list[Values]:
    """Return each number in the order of the canonical text, a zero without a sign."""
    if isinstance(value, float):
        return [real(value if value != 0 else 0.0)]
    found = []
    if isinstance(value, list):
        for item in value:
            found.extend(numbers(item))
    if isinstance(value, dict):
        for name in sorted(value, key=lambda n: n.encode("utf-16-be")):
            found.extend(numbers(value[name]))
    return found


def canonical(given: Holds, depth: int = 64) -> Values:
    value = parse(given.hexadecimal("document"), depth)
    return {"canonical": canonical_bytes(value).hex(), "numbers": numbers(value)}


def json_refusals(given: Holds) -> Values:
    return canonical(given, {"jcs": 64, "record": 8}[given.take("layer")])


def merkle_roots(given: Holds) -> Values:
    leaves = [bytes.fromhex(leaf) for leaf in given.take("leaves")]
    return {"root": root_of(leaves).hex()}


def merkle_inclusion(given: Holds) -> Values:
    holds = inclusion_holds(
        given.hexadecimal("root"),
        given.take("size"),
        given.take("index"),
        given.hexadecimal("leaf_hash"),
        [bytes.fromhex(each) for each in given.take("proof")],
    )
    if not holds:
        raise Refused("proof_refused", "inclusion")
    return {}


def merkle_consistency(given: Holds) -> Values:
    holds = consistency_holds(
        given.take("size1"),
        given.take("size2"),
        given.hexadecimal("root1"),
        given.hexadecimal("root2"),
        [bytes.fromhex(each) for each in given.take("proof")],
    )
    if not holds:
        raise Refused("proof_refused", "consistency")
    return {}


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def ids(given: Holds) -> Values:
    made = pcs_id(given.take("merkle_root"), given.take("epoch"), given.take("shard_id"))
    return {"pcs_id": made}


def digests(given: Holds) -> Values:
    record = record_of(given.body())
    return {
        "signing_input": base64_text(signing_input(record)),
        "record_digest": record_digest(record),
        "content_digest": content_digest(record),
    }


def records_1_0(given: Holds) -> Values:
    record = record_of(given.body())
    stored = canonical_bytes(without(record, ["delivery"]))
    return {"pcs_id": record["pcs_id"], "stored": base64_text(stored)}


def records_0_1(given: Holds) -> Values:
    tenant = given.take("tenant")
    decided = decided_legacy(
        given.body(),
        ring_of(base64.b64decode(given.take("keyring"))),
        "default" if tenant is None else tenant,
        given.take("received_at"),
        accepts_legacy=given.take("accepts_legacy"),
    )
    budget = decided["recomputed_budget"]
    assert isinstance(budget, float)
    return {**decided, "recomputed_budget": real(budget)}


def outcomes(given: Holds) -> Values:
    record = record_of(given.body())
    decided = verdict(record)
    body = decision_body(record, decided)
    for name in ("recomputed_D_hat", "recomputed_budget"):
        decided[name] = real(decided[name])
    return {"status": status(decided), **decided, "decision_body": base64_text(body)}


def hold(holds: bool) -> None:  # noqa: FBT001 - the claim
    if not holds:
        raise Refused("signature_invalid", "signature_mismatch", "sig")


def signing_ed25519(given: Holds) -> Values:
    seed = given.take("seed")
    public, message, signature = (
        given.hexadecimal(name) for name in ("public", "message", "signature")
    )
    hold(verify(public, message, signature))
    if seed is None:
        return {"public": None, "signature": None}
    raw = bytes.fromhex(seed)
    return {"public": public_key(raw).hex(), "signature": sign(raw, message).hex()}


def signing_hmac(given: Holds) -> Values:
    secret, message, tag = (given.hexadecimal(name) for name in ("secret", "message", "tag"))
    right = hmac.new(secret, message, hashlib.sha256).digest()
    hold(tag == right)
    return {"tag": right.hex()}


def keyrings(given: Holds) -> Values:
    ring = ring_of(base64.b64decode(given.take("keyring")))
    keys = []
    for key in ring["keys"]:
        public = key["public"]
        named = {name: key[name] for name in ("kid", "tenant", "alg")}
        keys.append({**named, "public": public and public.hex(), "legacy": key["legacy"]})
    known = {
        name: [{"tenant": each["tenant"], "scopes": each["scopes"]} for each in ring[name]]
        for name in ("tokens", "certificates")
    }
    return {"keys": keys, **known}


def signing_records(given: Holds) -> Values:
    ring = ring_of(base64.b64decode(given.take("keyring")))
    record, key = authenticated(given.body(), ring, given.take("received_at"))
    return {
        "tenant": key["tenant"],
        "kid": key["kid"],
        "record_digest": record_digest(record),
        "content_digest": content_digest(record),
    }


def ring(given: Holds) -> Values:
    shards = [(each["name"], each["weight"]) for each in given.take("shards")]
    at = point(given.take("tenant"), given.take("pcs_id"))
    return {"point": f"{at:08x}", "owner": owner(shards, at)}


def http_exchanges(given: Holds) -> Values:
    server = Server(base64.b64decode(given.take("keyring")), given.take("settings"))
    answers: list[Values] = []
    for sent in given.take("requests"):
        data = b""
        for piece in sent:
            if "base64" in piece:
                data += base64.b64decode(piece["base64"])
            elif "times" in piece:
                data += piece["repeat"].encode() * piece["times"]
            elif "text" in piece:
                data += piece["text"].encode()
            else:
                # A cursor: whatever the server sealed, of its length.
                assert piece["member"] == "next"
                assert {"rule": "cursor", "name": None} in answers[piece["answer"] - 1]["body"]
                data += b"A" * 44
        answers.append(server.answer(data))
    return {"answers": answers}


class WindowRefused(Exception):  # noqa: N818 - the domain's word for it
    """A window that cannot be summarised: its first bad value, where one is to blame."""

    def __init__(self, row: int | None = None, column: int | None = None) -> None:
        super().__init__(f"{row} {column}")
        self.row = row
        self.column = column


def settings(given: Holds, n: int, d: int) -> tuple[int, list[int]]:
    """Return seed and scales, refused where they or the window's shape are out of range."""
    seed, scales = given.take("seed"), given.take("scales")
    sound = 3 <= n <= 65_536 and 1 <= d <= 4_096 and 0 <= seed <= 2**53 - 1
    sound = sound and 2 <= len(scales) <= 10
    before = 1
    for scale in scales:
        sound = sound and max(2, 2 * before) <= scale <= 1_024
        before = scale
    if not sound:
        raise WindowRefused
    return seed, scales


def signals_points(given: Holds) -> Values:
    texts, bits = given.take("rows"), given.take("rows_bits")
    rows = [[float(text) for text in row] for row in texts]
    # The text and the bits of a value are one double; a NaN has many.
    written = ["".join(struct.pack(">d", x).hex() for x in row) for row in rows]
    assert written == bits
    seed, scales = settings(given, len(rows), len(rows[0]))
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            if not abs(value) <= 1e300:
                raise WindowRefused(row, column)
    return with_reals(members_of_points(rows, seed, scales))


def signals_bytes(given: Holds) -> Values:
    data = base64.b64decode(given.take("data"))
    seed, scales = settings(given, len(data), 1)
    return with_reals(members_of_bytes(data, seed, scales))


def with_reals(members: Values) -> Values:
    values = {name: members[name] for name in SUMMARY}
    for name in ("D_hat", "coh_star", "r", "budget"):
        values[name] = real(members[name])
    values["v_star"] = [real(component) for component in members["v_star"]]
    return values


ANSWERS: dict[str, Callable[[Holds], Values]] = {
    "canonical": canonical,
    "json_refusals": json_refusals,
    "ids": ids,
    "digests": digests,
    "records_1_0": records_1_0,
    "records_0_1": records_0_1,
    "outcomes": outcomes,
    "signing_ed25519": signing_ed25519,
    "signals_points": signals_points,
    "signals_bytes": signals_bytes,
    "signing_hmac": signing_hmac,
    "keyrings": keyrings,
    "signing_records": signing_records,
    "merkle_roots": merkle_roots,
    "merkle_inclusion": merkle_inclusion,
    "merkle_consistency": merkle_consistency,
    "ring": ring,
    "http_exchanges": http_exchanges,
}


def differences(path: Path) -> list[str]:
    """Return what in a file is not what the oracle computes."""
    if path.stem not in ANSWERS:
        return [f"{path.name}: unknown file"]
    document = json.loads(path.read_text(encoding="utf-8"))
    cases = document["tests"]
    found = []
    if list(document) != HEADER or document["numberOfTests"] != len(cases):
        found.append(f"{path.name}: header")
    flags = {flag for case in cases for flag in case["flags"]}
    if flags != set(document["notes"]):
        found.append(f"{path.name}: flags")
    for place, case in enumerate(cases, start=1):
        if list(case) != CASE or case["tcId"] != place or case["flags"] == []:
            found.append(f"{path.name} {place}: form")
        elif recomputed(path.stem, case) != (case["result"], case["expected"]):
            found.append(f"{path.name} {place}: {recomputed(path.stem, case)}")
    return found


def recomputed(name: str, case: Case) -> tuple[str, Values]:
    """Return the result and the values of a case; a field that is left over counts as one."""
    given = Holds(case["input"])
    try:
        expected = ANSWERS[name](given)
    except Refused as refused:
        # A refusal may stop before all is read.
        return "invalid", refusal(refused)
    except WindowRefused as refused:
        return "invalid", {
            "code": "window_refused",
            "row": refused.row,
            "column": refused.column,
        }
    except RingRefused as refused:
        return "invalid", {
            "code": "keyring_refused",
            "entry": refused.entry,
            "member": refused.member,
        }
    return "valid", expected | given.values


def main() -> int:
    paths = sorted(FOLDER.glob("*.json"))
    counts = []
    is_wrong = False
    for path in paths:
        found = differences(path)
        if found:
            is_wrong = True
            print("\n".join(found))  # noqa: T201 - a command
            continue
        counts.append(json.loads(path.read_text(encoding="utf-8"))["numberOfTests"])
        print(f"{path.name}: {counts[-1]} cases")  # noqa: T201
    if not is_wrong:
        print(f"every value agrees: {sum(counts)} cases in {len(paths)} files")  # noqa: T201
    return 1 if is_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
