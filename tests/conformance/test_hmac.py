"""HMAC-SHA256 against Wycheproof."""

from collections import Counter
from collections.abc import Callable

from tests.support.vectors import folder, load

from fractal_lba.protocol import sign_hmac, verify_hmac


def test_wycheproof_holds_and_fails_as_it_says(vectors_ran: Callable[[str], None]) -> None:
    suite = load(folder("wycheproof") / "hmac_sha256_test.json")
    ran: Counter[str] = Counter()
    truncated = 0
    for group in suite["testGroups"]:
        tag_bytes = group["tagSize"] // 8
        for test in group["tests"]:
            key, message, tag = (bytes.fromhex(test[name]) for name in ("key", "msg", "tag"))
            # A truncated tag tests the primitive alone: on the wire a tag is 32 bytes.
            holds = sign_hmac(key, message)[:tag_bytes] == tag
            assert holds == (test["result"] == "valid"), (test["tcId"], test["comment"])
            if tag_bytes == 32:
                assert verify_hmac(key, message, tag) == holds
            else:
                assert not verify_hmac(key, message, tag)
                truncated += 1
            ran[test["result"]] += 1
    vectors_ran(f"Wycheproof HMAC-SHA256: {ran.total()} tests, {dict(ran)}, {truncated} truncated")
    assert ran == {"valid": 66, "invalid": 108}
