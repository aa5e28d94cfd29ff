"""Bodies near a valid one: read or refused, never another error; and digests that hold."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.support.records import (
    ED25519_KEY,
    HMAC_KEY,
    KEYRING,
    changed,
    compact,
    removed,
    spaced,
    valid_members,
    with_id,
)

from fractal_lba.protocol import (
    CURRENT_PARAMS,
    JsonValue,
    Key,
    Record,
    Refusal,
    authenticate,
    canonical,
    content_digest,
    d_hat,
    judge,
    parse_record,
    record_digest,
    record_from_members,
    rounded,
    sign_record,
    signing_input,
    stored_bytes,
    stored_bytes_of,
)

SAFE = 2**53 - 1
BODY = compact(dict(sign_record(valid_members(), HMAC_KEY).members))
PATHS = [
    *valid_members(),
    *(f"{outer}.{inner}" for outer in ("ft", "meta", "N_j") for inner in valid_members()[outer]),
    *(f"v_star.{index}" for index in range(3)),
    *(f"scales.{index}" for index in range(5)),
    "ft.fallbacks.0",
    "ft.new",
    "new",
]

texts = st.text(max_size=8)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | texts
    | st.sampled_from(["1.0", "0.1", "points/1", "sticky", "a" * 64, "A" * 43 + "=", ""])
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def read_or_refused(body: bytes) -> Record | tuple[str, str, str | None]:
    try:
        return parse_record(body)
    except Refusal as refusal:
        return refusal.code, refusal.reason, refusal.member


@given(st.sampled_from(PATHS), anything)
def test_a_body_with_any_value_anywhere_is_read_or_refused(path: str, value: object) -> None:
    members = changed(valid_members(), path, value)
    # json.dumps writes NaN and infinities, and lone surrogates as escapes: all refused by name.
    bodies = [json.dumps(members).encode(), json.dumps(members, indent=1).encode()]
    found = [read_or_refused(body) for body in bodies]
    assert found[0] == found[1]
    if isinstance(found[0], Record):
        assert parse_record(stored_bytes(found[0])).members == {
            name: each for name, each in found[0].members.items() if name != "delivery"
        }


@given(st.data())
def test_a_body_with_any_bytes_anywhere_is_read_or_refused(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(BODY)))
    end = data.draw(st.integers(start, min(len(BODY), start + 4)))
    piece = data.draw(st.binary(max_size=4) | st.sampled_from([b"}", b"]", b'"', b"1e999", b"{"]))
    body = BODY[:start] + piece + BODY[end:]
    read_or_refused(body)
    try:
        found = authenticate(body, KEYRING)
    except Refusal:
        return
    # What still verifies says the same; only the delivery may differ.
    assert found.record_digest == authenticate(BODY, KEYRING).record_digest


@given(st.integers(0, len(BODY) - 1), st.integers(0, 7))
def test_a_flipped_bit_never_verifies_as_another_record(position: int, bit: int) -> None:
    body = bytearray(BODY)
    body[position] ^= 1 << bit
    try:
        found = authenticate(bytes(body), KEYRING)
    except Refusal:
        return
    assert found.record_digest == authenticate(BODY, KEYRING).record_digest


kids = st.sampled_from([HMAC_KEY, ED25519_KEY])
times = st.integers(0, 9999).map(lambda ms: f"2026-11-21T06:00:{ms // 1000:02d}.{ms % 1000:03d}Z")
meta = st.dictionaries(
    st.from_regex(r"[a-z0-9_.]{1,8}", fullmatch=True),
    texts.filter(lambda text: text.isprintable()) | st.integers(-SAFE, SAFE) | st.booleans(),
    max_size=4,
)
shares = st.floats(0, 1).map(rounded)
ft = st.fixed_dictionaries(
    {
        "degraded": st.booleans(),
        "fallbacks": st.lists(st.sampled_from(["", "lost", "é"]), max_size=8),
        "clock_skew_ms": st.integers(-SAFE, SAFE),
    }
)


reruns = st.fixed_dictionaries(
    {"created_at": times, "meta": meta, "ft": ft, "r": shares, "budget": shares}
)


@given(kids, reruns)
def test_a_rerun_and_the_next_key_have_the_same_content(key: Key, rerun: dict[str, Any]) -> None:
    first = sign_record(valid_members(), HMAC_KEY)
    second = sign_record({**valid_members(), **rerun}, key)
    assert content_digest(second.members) == content_digest(first.members)
    found = authenticate(stored_bytes(second), KEYRING)
    assert found.content_digest == content_digest(first.members)
    is_same = {**second.members, "sig": ""} == {**first.members, "sig": ""}
    assert is_same or found.record_digest != record_digest(signing_input(first.members))


@given(st.integers(1, SAFE), times, st.integers(1, SAFE), kids)
def test_the_delivery_changes_no_digest(
    attempt: int, sent_at: str, outbox_seq: int, key: Key
) -> None:
    members = dict(sign_record(removed(valid_members(), "delivery"), key).members)
    delivery: JsonValue = {"attempt": attempt, "sent_at": sent_at, "outbox_seq": outbox_seq}
    sent = authenticate(canonical({**members, "delivery": delivery}), KEYRING)
    kept = authenticate(canonical(members), KEYRING)
    assert sent.record_digest == kept.record_digest
    assert sent.content_digest == kept.content_digest
    assert stored_bytes_of(sent.record) == stored_bytes_of(kept.record)


windows = st.tuples(
    st.integers(3, 65_536),
    st.integers(1, 4_096),
    st.lists(st.integers(2, 3), min_size=1, max_size=8),
)


@given(st.data(), windows, st.integers(0, SAFE), st.integers(0, SAFE))
def test_a_record_made_of_valid_parts_is_read_and_judged(
    data: st.DataObject, window: tuple[int, int, list[int]], epoch: int, seed: int
) -> None:
    n, d, factors = window
    scales = [2]
    for factor in factors:
        if scales[-1] * factor <= 1_024:
            scales.append(scales[-1] * factor)
    points = n - 2 if d == 1 else n
    n_j = {str(scale): data.draw(st.integers(1, points)) for scale in scales}
    derived = d_hat({int(scale): cells for scale, cells in n_j.items()})
    members: dict[str, Any] = with_id(
        {
            **valid_members(),
            "epoch": epoch,
            "seed": seed,
            "n": n,
            "d": d,
            "scales": scales,
            "N_j": n_j,
            "D_hat": max(-16, min(16, derived)),
            "coh_star": max(0.05, data.draw(shares)),
            "r": data.draw(shares),
        }
    )
    record = record_from_members(members)
    assert parse_record(spaced(members)) == record
    outcome = judge(record, CURRENT_PARAMS)
    assert outcome == judge(parse_record(compact(members)), CURRENT_PARAMS)
    assert outcome.recomputed_d_hat == derived
    assert "d_hat_mismatch" not in outcome.reasons or abs(derived) > 16
