"""Native code beside Python: never another answer, and of what agents send seldom none.

Everything is signed as it stands, sound or not: a signature is never what keeps native code from
taking too much.
"""

import base64
import json
from typing import Any

import pytest
from golden_vectors import runner
from hypothesis import example, given
from hypothesis import strategies as st
from tests.property.test_reading import BROKEN, DELIVERY, PATHS, with_id_or_not
from tests.property.test_reading import values as json_values
from tests.support.checked_twice import agree, needs_native
from tests.support.records import (
    ED25519_KEY,
    HMAC_KEY,
    KEYRING,
    changed,
    removed,
    valid_members,
    with_id,
)

from fractal_lba.protocol import ContractError, Key, Refusal, canonical, parse_record, sign_record
from fractal_lba.protocol.identity import SIGNING_LABEL, signing_input
from fractal_lba.protocol.keyring import Alg
from fractal_lba.protocol.signing import sign_ed25519, sign_hmac
from fractal_lba.protocol.strict_base64 import encode_base64

pytestmark = needs_native

SAFE = 2**53 - 1
KEYS = [HMAC_KEY, ED25519_KEY]
MEMBERS = {**valid_members(), "delivery": DELIVERY}
BEHIND_SIG = b'"v_star":'


def signature(message: bytes, key: Key) -> str:
    assert key.secret is not None
    sign = sign_hmac if key.alg is Alg.HMAC_SHA256 else sign_ed25519
    return encode_base64(sign(key.secret, message))


def signed_anyway(members: dict[str, Any], key: Key) -> bytes:
    """Return canonical bytes with a signature that holds, whatever the members are.

    Raises:
        ContractError: They have no canonical form.
    """
    if "sig" in members:
        members = {**members, "sig": signature(signing_input(members), key)}
    return canonical(members)


def spelled(unsigned: bytes, key: Key) -> bytes:
    """Return bytes with the signature of these very bytes put where ``sig`` stands."""
    before, found, behind = unsigned.rpartition(BEHIND_SIG)
    sig = signature(SIGNING_LABEL + unsigned, key).encode()
    return b"".join([before, b'"sig":"', sig, b'",', found, behind])


@given(
    st.lists(st.tuples(st.sampled_from(PATHS), json_values), min_size=1, max_size=3),
    st.sampled_from(KEYS),
)
@example([("ft.fallbacks", ['"\\\n\x01\x1f\x7fé\U0001f600'])], HMAC_KEY)
@example([("meta", {})], HMAC_KEY)
@example([("meta", {"a": -1, "b": "é" * 128, "c": False})], ED25519_KEY)
@example([("v_star", [1e-7, 1, 0])], HMAC_KEY)
@example([("v_star", [0.6000000000000001, 0.64, 0.48])], HMAC_KEY)
@example([("r", 5e-324)], HMAC_KEY)
@example([("D_hat", 16)], HMAC_KEY)
@example([("coh_star", 0.05), ("budget", 1)], HMAC_KEY)
@example([("epoch", 2**53 - 1), ("seed", 2**53 - 1)], HMAC_KEY)
@example([("kid", "nobody-1")], HMAC_KEY)
@example([("kid", ED25519_KEY.kid)], HMAC_KEY)
def test_what_native_code_says_of_a_bent_record_python_says(
    changes: list[tuple[str, Any]], key: Key
) -> None:
    members: dict[str, Any] = {**MEMBERS, "kid": key.kid}
    for path, value in changes:
        try:
            members = changed(members, path, value)
        except (KeyError, IndexError, TypeError, ValueError):
            continue  # an earlier change took its place away
    bodies = []
    for each in (members, with_id_or_not(members)):
        try:
            bodies.append(signed_anyway(each, key))
        except ContractError:
            continue  # it has no canonical form
    agree(bodies)


PIECES = [b"}", b'"', b"1.0", b"1e3", b"-0", b'"d":3,', b" ", b"\\u0041", b"\\u000a", b"\\/", b"0"]
PIECES += [b",", b"\xff", b"\xc3\xa9", b"1e-7", b"0.10", b"007", b"true", b"null", b"\\u001F"]
UNSIGNED = canonical(removed(removed(MEMBERS, "sig"), "delivery"))


@given(st.data())
def test_what_native_code_says_of_bent_bytes_python_says(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(UNSIGNED)))
    end = data.draw(st.integers(start, min(len(UNSIGNED), start + 4)))
    piece = data.draw(st.binary(max_size=4) | st.sampled_from(PIECES))
    agree([spelled(UNSIGNED[:start] + piece + UNSIGNED[end:], HMAC_KEY)])


INTEGERS = [-SAFE - 1, -SAFE, -3, -1, 0, 1, 2, 3, 4, 7, 8, 9, 999, 1000, 1001, 1024, 1025, 4096]
INTEGERS += [4097, 65_536, 65_537, SAFE, SAFE + 1, 10**16, 10**21]
DECIMALS = "0.05 0.04999999999999999 0.049 1.000000001 1.5 -1.000000001 16.1 15.9 -16.1 0.999999999"
DECIMALS += (
    " 1e-6 1e-7 0.000001 0.0000001 0.0000012 1.2e-7 0.000099 9.9e-5 0.1 0.10 0.100000000000001"
)
DECIMALS += (
    " 0.1000000000000001 0.3000000000000000444 5e-324 1e21 1e+21 1e400 1.0 0.0 -0 -0.0 01 1. .5 +1"
)
DECIMALS += " 1e0 1E0 1e5 100000 -0.5 -0.50 0.6 0.6000000000000001 true null NaN - 1-1 1e 1.e1"
LITERALS = [*map(str, INTEGERS), *DECIMALS.split()]
NUMBERS = (
    "D_hat r budget coh_star v_star.0 v_star.1 n d epoch seed scales.0 scales.1 scales.4 N_j.2"
)
NUMBERS += " N_j.32 ft.clock_skew_ms meta.run"


def written(path: str, literal: str, members: dict[str, Any]) -> bytes:
    """Return a body of which one value is written so, signed as it stands."""
    body = canonical(removed(removed(changed(members, path, "\x7f"), "sig"), "delivery"))
    return spelled(body.replace(b'"\x7f"', literal.encode()), HMAC_KEY)


@pytest.mark.parametrize("path", NUMBERS.split())
def test_a_number_at_any_border_and_in_any_spelling_is_taken_as_python_takes_it(path: str) -> None:
    bodies = []
    for literal in LITERALS:
        members = MEMBERS
        if path == "epoch" and literal.isdecimal():
            members = with_id({**MEMBERS, "epoch": int(literal)})
        bodies.append(written(path, literal, members))
    assert any(agree(bodies)) or path.startswith(("v_star", "scales"))


def test_a_text_in_any_spelling_is_taken_as_python_takes_it() -> None:
    escapes = [f"\\u00{code:02x}" for code in range(0x30)]
    escapes += [f"\\u00{code:02X}" for code in range(0x30)]
    escapes += [f"\\{character}" for character in 'bfnrt"\\/auxv']
    escapes += ["\\u007f", "\\u00e9", "\\ud83d\\ude00", "\\ud83d", "\x01", "\x1f", "\x20", "é"]
    texts = [f'"{escape}"' for escape in escapes]
    texts += [f'"{"a" * length}"' for length in (63, 64, 65, 255, 256, 257)]
    texts += [f'"{"é" * length}"' for length in (32, 33, 128, 129)]
    for path in ("ft.fallbacks.0", "meta.model"):
        assert sum(agree([written(path, text, MEMBERS) for text in texts])) > len(texts) // 4
    for path in ("kid", "shard_id", "profile", "regime", "created_at", "schema", "version"):
        agree([written(path, text, MEMBERS) for text in texts])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"meta":{"model":"demo","run":3,', b'"meta":{"run":3,"model":"demo",'),
        (b'"run":3,', b'"run":3,"run":3,'),
        (b'"16":400,"2":8,', b'"2":8,"16":400,'),
        (b'"2":8,', b'"2":8,"2":8,'),
        (b'"2":8,', b'"02":8,'),
        (b'"coh_star":0.12,"created_at":"2026-11-21T06:00:00.123Z",', b'"coh_star":0.12,'),
        (b'"version":"1.0"}', b'"version":"1.0","x":1}'),
        (b'"version":"1.0"}', b'"version":"1.0"}}'),
    ],
)
def test_members_in_another_order_or_twice_are_left_to_python(old: bytes, new: bytes) -> None:
    assert old in UNSIGNED
    assert agree([spelled(UNSIGNED.replace(old, new), HMAC_KEY)]) == [False]


@pytest.mark.parametrize("count", range(19))
def test_so_many_items_are_taken_as_python_takes_them(count: int) -> None:
    scales = [2 ** (place + 1) for place in range(count)]
    many = {
        "ft": {**MEMBERS["ft"], "fallbacks": ["x"] * count},
        "meta": {f"a{place}": place for place in range(count)},
        "scales": scales,
        "N_j": {str(scale): 8 for scale in scales},
    }
    agree([signed_anyway({**MEMBERS, name: many[name]}, HMAC_KEY) for name in ("ft", "meta")])
    agree([signed_anyway({**MEMBERS, **many, "ft": MEMBERS["ft"], "meta": {}}, HMAC_KEY)])


def test_the_signature_of_other_bytes_stands_where_a_records_own_would() -> None:
    assert agree([spelled(UNSIGNED, HMAC_KEY)]) == [True]


def test_any_byte_that_is_changed_in_a_signed_record_is_left_to_python() -> None:
    for key in KEYS:
        body = signed_anyway({**MEMBERS, "kid": key.kid}, key)
        start, end = body.index(b',"delivery"'), body.index(b',"epoch"')
        for place in (*range(start), *range(end, len(body))):
            bent = bytearray(body)
            bent[place] ^= 1
            assert agree([bytes(bent)]) == [False]


@pytest.mark.parametrize("without", ["", "delivery", "meta"])
def test_what_an_agent_sends_is_taken(without: str) -> None:
    bodies = []
    for epoch in range(40):
        for key in KEYS:
            members: dict[str, Any] = with_id({**MEMBERS, "kid": key.kid, "epoch": epoch})
            bodies.append(signed_anyway(removed(members, without) if without else members, key))
    assert all(agree(bodies))


@pytest.mark.parametrize("name", BROKEN)
def test_what_only_several_members_show_is_left_to_python(name: str) -> None:
    members = MEMBERS
    for path, value in BROKEN[name]:
        members = changed(members, path, value)
    body = canonical(with_id(members)) if name == "pad bits" else None
    assert agree([body or signed_anyway(with_id(members), HMAC_KEY)]) == [False]


def golden_bodies() -> list[bytes]:
    """Return the body of every golden case that has one."""
    bodies: set[bytes] = set()
    for path in sorted(runner.FOLDER.glob("*.json")):
        for case in json.loads(path.read_text(encoding="utf-8"))["tests"]:
            body = case["input"].get("body")
            if isinstance(body, str):
                bodies.add(base64.b64decode(body))
    return sorted(bodies)


def signed_again(body: bytes) -> list[bytes]:
    """Return the record of a body, by each key; none where it is refused."""
    try:
        members = parse_record(body).members
    except Refusal:
        return []
    signed = [sign_record(members, key).members for key in KEYS]
    return [canonical(each) for each in signed]


def test_native_code_says_of_every_golden_body_what_python_says() -> None:
    bodies = golden_bodies()
    assert len(bodies) > 500
    agree(bodies)
    signed = [each for body in bodies for each in signed_again(body)]
    assert len(signed) > 200
    assert all(agree(signed))


def test_nothing_of_another_ring_is_taken() -> None:
    body = signed_anyway(MEMBERS, HMAC_KEY)
    assert agree([body], type(KEYRING)(keys={ED25519_KEY.kid: ED25519_KEY}, tokens={})) == [False]
    assert agree([body]) == [True]
