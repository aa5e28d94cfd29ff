"""Ids and digests: the bytes hashed, written out, and what each does not depend on."""

import hashlib
from typing import Any, TypeAlias

import pytest
from tests.support.records import changed, removed, valid_members

from fractal_lba.protocol import JsonValue, content_digest, pcs_id, record_digest, signing_input

JsonObject: TypeAlias = dict[str, JsonValue]


def test_the_pcs_id_is_the_hash_of_the_three_names() -> None:
    named = b"ab" * 32 + b"|9007199254740991|lab:line-1"
    assert pcs_id("ab" * 32, 2**53 - 1, "lab:line-1") == hashlib.sha256(named).hexdigest()


def test_the_pcs_id_of_the_first_prototype_still_holds() -> None:
    # The golden record of version 0.1 has the same identity rule.
    root = "e966b52c992aefad3c3d0196db02554f30d10d55e8a6e5e3038f88e79e414112"
    expected = "c50bb25a7aff94164147b73c846f0e5e10890d75df204875ca70c448f52c6edf"
    assert pcs_id(root, 1, "test-shard-001") == expected


def test_the_signing_input_is_the_label_and_the_canonical_rest() -> None:
    members: JsonObject = {"b": 1.0, "a": "x", "sig": "AA==", "delivery": {"attempt": 1}}
    assert signing_input(members) == b'fractal-lba/pcs/1\n{"a":"x","b":1}'
    expected = hashlib.sha256(b'fractal-lba/pcs/1\n{"a":"x","b":1}').hexdigest()
    assert record_digest(signing_input(members)) == expected


def test_the_content_is_the_label_and_the_canonical_rest() -> None:
    members: JsonObject = {"n": 3, "kid": "k", "created_at": "t", "sig": "", "delivery": {}}
    members |= {"ft": {}, "meta": {}, "r": 0, "budget": 0}
    expected = hashlib.sha256(b'fractal-lba/content/1\n{"n":3}').hexdigest()
    assert content_digest(members) == expected


def test_the_digests_of_one_record_are_pinned() -> None:
    # Computed with json.dumps(sort_keys=True), which is canonical for these members.
    members = valid_members()
    signed = "25ecbd3f3c66e5be89061c26c82a7d7d295b33768e702c1a430962fd35273de6"
    content = "21675de3127ecb044418777c645f717b98a99f2c25f88a31a880f4325bf7becf"
    assert record_digest(signing_input(members)) == signed
    assert content_digest(members) == content


OTHER: dict[str, Any] = {
    "schema": "x",
    "version": "1.1",
    "kid": "k2",
    "pcs_id": "cd" * 32,
    "merkle_root": "cd" * 32,
    "epoch": 8,
    "shard_id": "s",
    "created_at": "2027-01-01T00:00:00.000Z",
    "profile": "bytes/1",
    "n": 999,
    "d": 2,
    "seed": 43,
    "scales": [2, 4],
    "N_j": {"2": 7},
    "D_hat": 1.5,
    "coh_star": 0.5,
    "r": 0.5,
    "budget": 0.5,
    "v_star": [1, 0, 0],
    "regime": "sticky",
    "ft": {"degraded": True},
    "meta": {},
    "delivery": {"attempt": 2},
    "sig": "",
}
IN_NEITHER = {"delivery", "sig"}
NOT_IN_CONTENT = IN_NEITHER | {"kid", "created_at", "ft", "meta", "r", "budget"}


def test_the_table_below_names_every_member() -> None:
    assert OTHER.keys() == valid_members().keys()


@pytest.mark.parametrize("name", OTHER)
def test_a_digest_depends_on_exactly_the_members_of_its_column(name: str) -> None:
    before = valid_members()
    for after in (changed(before, name, OTHER[name]), removed(before, name)):
        is_signed = signing_input(after) != signing_input(before)
        is_content = content_digest(after) != content_digest(before)
        assert is_signed == (name not in IN_NEITHER)
        assert is_content == (name not in NOT_IN_CONTENT)
