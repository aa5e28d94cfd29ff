"""Bytes that claim to be JSON, or a record: read or refused for a reason that is true.

What is accepted must say the same when it is written and read again, and to readers that are not
ours. What is refused must break the rule that the refusal names, found here by other means.
"""

import json
import re
from hashlib import sha256
from typing import Any, Final

import orjson
from tests.oracle.canonical_json import canonical_bytes
from tests.support.records import ED25519_KEY, HMAC_KEY, KEYRING, compact, spaced, valid_members

from fractal_lba.protocol import (
    JCS_DEPTH_MAX,
    RECORD_DEPTH_MAX,
    Refusal,
    RefusalCode,
    authenticate,
    canonical,
    parse_json,
    parse_record,
    sign_record,
    stored_bytes,
)

MESSAGE_CHARACTERS_MAX: Final = 300
LONG_NUMBER: Final = re.compile(rb"[-+.0-9eE]{65}")
SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")

PIECES: Final = (
    # numbers
    b"1e400", b"-1e400", b"-0", b"-0.0", b"0.1e-400", b"1e-400", b"5e-324", b"1.0", b"1e0",
    b"9007199254740991", b"9007199254740992", b"9007199254740993", b"-9007199254740993",
    b"1" * 64, b"1" * 65, b"0." + b"0" * 62, b"0." + b"0" * 63, b"1e+16", b"1e21", b"1e-7", b"01",
    b"1.", b".5", b"+1", b"1e", b"-", b"0x10", b"1_0", b"NaN", b"Infinity", b"-Infinity",
    b"1.7976931348623157e308", b"1.7976931348623159e308", b"4.35", b"333333333.33333329",
    # strings
    rb'"\ud800"', rb'"\udc00"', rb'"\ud83d\ude00"', rb'"\ud83d\ud83d"', rb'"\u0000"', rb'"\/"',
    rb'"\u0061"', rb'"\x41"', rb'"\u12"', '"\ufffe"'.encode(), '"é"'.encode(), b'"\x7f"', b'"\x1f"',
    "\u2028".encode(), '"\U0001f600"'.encode(), '"\uff3b"'.encode(), "٣".encode(), b"\\", b'"',
    # bytes that are no text
    b"\xef\xbb\xbf", b"\xc0\x80", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xff",
    b"\xf8\x88\x80\x80\x80", b"\x00", b"\xc3",
    # structure
    b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"false", b"tru", b'"a"', b'"a":1',
    rb'"a":1,"\u0061":2', b"[" * 7, b"[" * 8, b"]" * 8, b"[" * 64, b"]" * 64, b'{"a":' * 9,
    b" ", b"\r\n\t", b" ", b"//", b"/**/", b"\x0b", b"\xc2\xa0", b"\x0c",
    # what a record holds
    b'"kid"', b'"sig"', b'"delivery"', b'"meta"', b'"N_j"', b'"scales"', b'"version"', b'"0.1"',
    b'"1.0"', b'"points/1"', b'"bytes/1"', b'"sticky"', b'"__proto__"', b"0.05", b"16", b"-16",
    b"65536", b"65537", b"1024", b"1.0000001",
)  # fmt: skip

_MEMBERS: Final = valid_members()
_SIGNED: Final = tuple(sign_record(_MEMBERS, key) for key in (HMAC_KEY, ED25519_KEY))
_HONEST: Final = frozenset(
    authenticate(stored_bytes(signed), KEYRING).record_digest for signed in _SIGNED
)
_FEW: Final = {
    name: value for name, value in _MEMBERS.items() if name not in {"meta", "delivery", "sig"}
}
RECORDS: Final = (
    *(stored_bytes(signed) for signed in _SIGNED),
    compact({**_SIGNED[0].members, "delivery": _MEMBERS["delivery"]}),
    spaced(_SIGNED[1].members),
    compact({**_FEW, "profile": "bytes/1", "d": 1}),
    compact(_FEW),
)
VALUES: Final = (
    rb'[56,{"d":true,"10":null,"1":[]},"\u20ac$\u000f\nA'
    rb'"' + rb"]",
    b'{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001,-0.0,1e21]}',
    b'{"a":{"b":[1,2.5,"x",{"c":null}]},"\xc3\xa9":"\xf0\x9f\x98\x80","":[[[[[[[]]]]]]]}',
    b"[" * JCS_DEPTH_MAX + b"]" * JCS_DEPTH_MAX,
    b'{"a":' * (RECORD_DEPTH_MAX - 1) + b"[]" + b"}" * (RECORD_DEPTH_MAX - 1),
    b' { "a" : 1 , "b" : [ ] } ',
    b'"text"',
    b"-12.5e-3",
)


def jcs(data: bytes) -> str:
    """Read the bytes as the JCS layer does."""
    return _json(data, JCS_DEPTH_MAX)


def record_json(data: bytes) -> str:
    """Read the bytes as the record layer does."""
    return _json(data, RECORD_DEPTH_MAX)


def record(data: bytes) -> str:
    """Read the bytes as a record, and check its signature."""
    try:
        found = parse_record(data)
    except Refusal as refusal:
        return _told(refusal)
    stored = stored_bytes(found)
    again = parse_record(stored)
    kept = {name: value for name, value in found.members.items() if name != "delivery"}
    assert canonical(again.members) == canonical(kept) == stored
    assert stored_bytes(again) == stored
    assert set(found.members) <= set(_MEMBERS)
    named = f"{found.merkle_root}|{found.epoch}|{found.shard_id}"
    assert found.pcs_id == sha256(named.encode()).hexdigest()
    assert canonical_bytes(_without_delivery(json.loads(data))) == stored
    try:
        verified = authenticate(data, KEYRING)
    except Refusal as refusal:
        return _told(refusal)
    # Nobody here can sign: what verifies is what was signed, but for its delivery.
    assert verified.record_digest in _HONEST
    return "verified"


def _json(data: bytes, depth_max: int) -> str:
    try:
        value = parse_json(data, depth_max=depth_max)
    except Refusal as refusal:
        _assert_true(refusal.reason, data, depth_max)
        return _told(refusal)
    written = canonical(value)
    again = parse_json(written, depth_max=depth_max)
    assert canonical(again) == written
    assert canonical_bytes(json.loads(data)) == written
    assert not _has_duplicate(data)
    assert not _is_refused_by_another(data)
    return f"accepted {type(value).__name__}"


def _told(refusal: Refusal) -> str:
    assert refusal.code in RefusalCode
    assert len(str(refusal)) <= MESSAGE_CHARACTERS_MAX
    # What a message may quote of a body is of a form that harms no log and no header.
    assert str(refusal).isprintable()
    return f"{refusal.reason} {refusal.member or ''}".strip()


def _assert_true(reason: str, data: bytes, depth_max: int) -> None:
    """Assert that the bytes break the rule a refusal names."""
    match reason:
        case "byte_order_mark" | "invalid_utf8" | "syntax" | "trailing_data":
            assert _is_refused_by_another(data)
        case "too_deep":
            assert data.count(b"[") + data.count(b"{") > depth_max
        case "number_too_long":
            assert LONG_NUMBER.search(data)
        case "number_overflow":
            # Every member: a later one of the same name would hide it.
            assert "inf" in repr(json.loads(data, object_pairs_hook=list))
        case "lone_surrogate":
            assert SURROGATE.search(data)
        case "duplicate_member":
            assert _has_duplicate(data)
        case _:
            raise AssertionError(reason)


def _is_refused_by_another(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return True
    return False


def _has_duplicate(data: bytes) -> bool:
    names: list[bool] = []

    def members(pairs: list[tuple[str, Any]]) -> None:
        names.append(len({name for name, _ in pairs}) < len(pairs))

    json.loads(data, object_pairs_hook=members)
    return any(names)


def _without_delivery(members: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in members.items() if name != "delivery"}
