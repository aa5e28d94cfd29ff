import base64
import itertools

import pytest
from msgspec.structs import replace

from fractal_lba.protocol.errors import ContractError, CorruptionError
from fractal_lba.server.core.cursor import Cursors
from fractal_lba.server.core.listing import BEGIN, Outcome, Query, Spot, Summary, summary_of
from fractal_lba.server.core.listing_request import (
    PAGE_DEFAULT,
    parse_escalations,
    parse_listing,
)

RECORD = (
    b'{"D_hat":1,"coh_star":0.5,"epoch":3,"n":64,"regime":"mixed","shard_id":"press-7",'
    b'"version":"1.0"}'
)
SUMMARY = Summary(version="1.0", shard_id="press-7", epoch=3, regime="mixed")


def test_a_summary_is_what_the_record_says() -> None:
    assert summary_of(RECORD) == SUMMARY


def test_a_record_that_keeps_no_regime_has_that_of_its_numbers() -> None:
    old = RECORD.replace(b'"regime":"mixed",', b"").replace(b"1.0", b"0.1")
    assert summary_of(old) == replace(SUMMARY, version="0.1")
    sticky = old.replace(b"0.5", b"0.7")
    assert summary_of(sticky).regime == "sticky"


@pytest.mark.parametrize("record", [b"", b"{}", RECORD.replace(b"3", b'"3"')])
def test_bytes_that_are_no_record_have_no_summary(record: bytes) -> None:
    with pytest.raises(CorruptionError, match="expected a record"):
        summary_of(record)


@pytest.mark.parametrize(
    ("query", "is_asked_for"),
    [
        (Query(), True),
        (Query(from_epoch=3, to_epoch=3), True),
        (Query(from_epoch=4), False),
        (Query(to_epoch=2), False),
        (Query(since_ns=1_000), True),
        (Query(since_ns=1_001), False),
        (Query(outcome=Outcome.ESCALATED), True),
        (Query(outcome=Outcome.ACCEPTED), False),
        (Query(regime="mixed"), True),
        (Query(regime="sticky"), False),
    ],
)
def test_a_query_asks_for_what_all_of_its_parts_ask_for(
    query: Query, *, is_asked_for: bool
) -> None:
    assert query.asks_for(SUMMARY, status=202, received_ns=1_000) is is_asked_for


def test_every_parameter_is_read() -> None:
    asked = parse_listing(
        [
            ("shard_id", "press-7"),
            ("from_epoch", "0"),
            ("to_epoch", "9007199254740991"),
            ("since", "1970-01-01T00:00:01.000Z"),
            ("outcome", "not_accepted"),
            ("regime", "non_sticky"),
            ("cursor", "c"),
            ("limit", "1000"),
        ]
    )
    assert asked.query == Query(
        shard_id="press-7",
        from_epoch=0,
        to_epoch=2**53 - 1,
        since_ns=10**9,
        outcome=Outcome.NOT_ACCEPTED,
        regime="non_sticky",
    )
    assert (asked.cursor, asked.limit) == ("c", 1000)
    nothing = parse_listing([])
    assert (nothing.query, nothing.cursor, nothing.limit) == (Query(), None, PAGE_DEFAULT)
    assert parse_escalations([("limit", "1")]).query == Query(is_open_escalation=True)


WRONG = [
    ("shard_id", ""),
    ("shard_id", "x" * 129),
    ("shard_id", "\udcff"),
    ("from_epoch", ""),
    ("from_epoch", "-1"),
    ("from_epoch", "1.0"),
    ("from_epoch", "\u0661"),
    ("to_epoch", "9007199254740992"),
    ("to_epoch", "1" * 5_000),
    ("since", "yesterday"),
    ("since", "2026-02-30T00:00:00.000Z"),
    ("outcome", "Accepted"),
    ("regime", "all"),
    ("limit", "0"),
    ("limit", "1001"),
    ("tenant", "globex"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_parameter_is_refused_by_its_name(name: str, value: str) -> None:
    named = "parameters" if name == "tenant" else name
    with pytest.raises(ContractError, match=f"^{named}: expected"):
        parse_listing([(name, value)])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Accepted", "'Accepted'"),
        ("é\n", r"'\xe9\n'"),
        ("x" * 40, f"'{'x' * 40}'"),
        ("x" * 41, f"'{'x' * 40}" + r"\u2026'"),
    ],
)
def test_a_wrong_parameter_is_shown_cut_to_what_a_line_can_show(value: str, shown: str) -> None:
    with pytest.raises(ContractError) as caught:
        parse_listing([("outcome", value)])
    expected = "outcome: expected one of accepted, escalated, not_accepted, got "
    assert str(caught.value) == expected + shown


def test_a_parameter_given_twice_and_epochs_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ContractError, match=r"^limit: expected it once"):
        parse_listing([("limit", "1"), ("limit", "1")])
    with pytest.raises(ContractError, match=r"^to_epoch: expected from_epoch or more"):
        parse_listing([("from_epoch", "2"), ("to_epoch", "1")])
    with pytest.raises(ContractError, match=r"^parameters: expected none but cursor, limit"):
        parse_escalations([("outcome", "escalated")])


SHARDS = ("north", "south")
CURSORS = Cursors("data-1", SHARDS)
SPOTS = {"north": Spot(7, 2**63), "south": Spot(0, 1)}
QUERY = Query(shard_id="press-7", from_epoch=1)


def test_a_cursor_comes_back_as_the_place_it_was_written_for() -> None:
    text = CURSORS.write(SPOTS, tenant="acme", query=QUERY)
    assert CURSORS.read(text, tenant="acme", query=QUERY) == SPOTS
    # The same server after a restart.
    assert Cursors("data-1", SHARDS).read(text, tenant="acme", query=QUERY) == SPOTS


@pytest.mark.parametrize(
    ("cursors", "tenant", "query"),
    [
        (Cursors("data-2", SHARDS), "acme", QUERY),
        (CURSORS, "globex", QUERY),
        (CURSORS, "acme", Query()),
        (CURSORS, "acme", Query(shard_id="press-7", from_epoch=2)),
        (CURSORS, "acme", Query(shard_id="press-7", to_epoch=1)),
        (CURSORS, "acme", Query(is_open_escalation=True)),
    ],
)
def test_a_cursor_of_another_folder_tenant_or_query_is_refused(
    cursors: Cursors, tenant: str, query: Query
) -> None:
    text = CURSORS.write(SPOTS, tenant="acme", query=QUERY)
    with pytest.raises(ContractError, match=r"^cursor: expected"):
        cursors.read(text, tenant=tenant, query=query)


def test_no_changed_bit_of_a_cursor_is_accepted() -> None:
    data = base64.urlsafe_b64decode(CURSORS.write(SPOTS, tenant="acme", query=QUERY) + "==")
    for at, bit in itertools.product(range(len(data)), range(8)):
        forged = bytearray(data)
        forged[at] ^= 1 << bit
        text = base64.urlsafe_b64encode(bytes(forged)).decode().rstrip("=")
        with pytest.raises(ContractError, match=r"^cursor"):
            CURSORS.read(text, tenant="acme", query=QUERY)


def test_a_shard_that_a_listing_has_not_come_to_begins_at_its_beginning() -> None:
    text = CURSORS.write({"south": Spot(0, 3)}, tenant="acme", query=QUERY)
    assert CURSORS.read(text, tenant="acme", query=QUERY) == {"north": BEGIN, "south": Spot(0, 3)}


def test_a_cursor_of_64_shards_fits_into_a_request_line() -> None:
    shards = [f"shard-{at}" for at in range(64)]
    spots = dict.fromkeys(shards, Spot(2**53 - 1, 2**64 - 1))
    cursors = Cursors("data-1", shards)
    text = cursors.write(spots, tenant="acme", query=QUERY)
    assert len(text) < 1_400
    assert cursors.read(text, tenant="acme", query=QUERY) == spots


@pytest.mark.parametrize("text", ["", "x", "=" * 44, "*" * 44, "é" * 44, "A" * 44, "A" * 66])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ContractError, match=r"^cursor"):
        CURSORS.read(text, tenant="acme", query=QUERY)
