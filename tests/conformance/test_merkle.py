"""Merkle proofs against the vectors of transparency-dev."""

import base64
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.support.vectors import folder, load

from fractal_lba.protocol import ContractError, verify_consistency, verify_inclusion


def vectors(kind: str) -> list[dict[str, Any]]:
    return [load(path) for path in sorted((folder("merkle") / kind).rglob("*.json"))]


def raw(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def test_inclusion_holds_and_fails_as_it_says(vectors_ran: Callable[[str], None]) -> None:
    ran: Counter[str] = Counter()
    for vector in vectors("inclusion"):
        try:
            verify_inclusion(
                root=raw(vector["root"]),
                size=vector["treeSize"],
                index=vector["leafIdx"],
                leaf_hash=raw(vector["leafHash"]),
                proof=[raw(each) for each in vector["proof"] or ()],
            )
        except ContractError:
            outcome = "refused"
        else:
            outcome = "held"
        assert (outcome == "refused") == vector["wantErr"], vector["desc"]
        ran[outcome] += 1
    vectors_ran(f"Merkle inclusion: {ran.total()} proofs, {dict(ran)}")
    assert ran == {"refused": 92, "held": 6}


def test_consistency_holds_and_fails_as_it_says(vectors_ran: Callable[[str], None]) -> None:
    ran: Counter[str] = Counter()
    for vector in vectors("consistency"):
        try:
            verify_consistency(
                size1=vector["size1"],
                size2=vector["size2"],
                root1=raw(vector["root1"]),
                root2=raw(vector["root2"]),
                proof=[raw(each) for each in vector["proof"] or ()],
            )
        except ContractError:
            outcome = "refused"
        else:
            outcome = "held"
        assert (outcome == "refused") == vector["wantErr"], vector["desc"]
        ran[outcome] += 1
    vectors_ran(f"Merkle consistency: {ran.total()} proofs, {dict(ran)}")
    assert ran == {"refused": 92, "held": 6}
