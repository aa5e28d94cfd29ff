"""Ed25519 under the strict rule, against Wycheproof and CCTV."""

from collections import Counter
from collections.abc import Callable

from tests.support.vectors import folder, load

from fractal_lba.protocol import verify_ed25519


def test_wycheproof_holds_and_fails_as_it_says(vectors_ran: Callable[[str], None]) -> None:
    suite = load(folder("wycheproof") / "ed25519_test.json")
    ran: Counter[str] = Counter()
    for group in suite["testGroups"]:
        public = bytes.fromhex(group["publicKey"]["pk"])
        for test in group["tests"]:
            message, signature = bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])
            holds = verify_ed25519(public, message, signature)
            assert holds == (test["result"] == "valid"), (test["tcId"], test["comment"])
            ran[test["result"]] += 1
    vectors_ran(f"Wycheproof Ed25519: {ran.total()} tests, {dict(ran)}")
    assert ran == {"valid": 88, "invalid": 63}


def test_cctv_verifies_exactly_where_libsodium_does(vectors_ran: Callable[[str], None]) -> None:
    vectors = load(folder("cctv_ed25519") / "ed25519vectors.json")
    verifying = [
        vector
        for vector in vectors
        if verify_ed25519(
            bytes.fromhex(vector["key"]), vector["msg"].encode(), bytes.fromhex(vector["sig"])
        )
    ]
    vectors_ran(f"CCTV Ed25519: {len(vectors)} vectors, {len(verifying)} verify")
    assert len(vectors) == 914
    assert len(verifying) == 43
    refused = {"low_order_A", "low_order_R", "non_canonical_A", "non_canonical_R"}
    for vector in verifying:
        assert refused.isdisjoint(vector["flags"] or ()), vector["number"]
