"""One outcome for each id, and the same answer ever after."""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.oracle import records as oracle
from tests.oracle import signals
from tests.oracle.canonical_json import canonical_bytes
from tests.support.server_process import Folder, ServerProcess
from tests.support.signed import ACME, ACME_NEXT, body, members
from tests.support.wire import Wire, submission

from fractal_lba.protocol.canonical import canonical
from fractal_lba.protocol.reading import parse_record

RECEIVED_AT = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ")


def expected(sent: bytes, **decision: object) -> bytes:
    """Return the decision body from the wire's words, by the plain implementation."""
    record: dict[str, Any] = dict(parse_record(sent).members)
    n_j = {int(scale): count for scale, count in record["N_j"].items()}
    return canonical_bytes(
        {
            "pcs_id": oracle.pcs_id(record["merkle_root"], record["epoch"], record["shard_id"]),
            "record_digest": oracle.record_digest(record),
            "params_version": "1",
            "recomputed_D_hat": signals.rounded(signals.theil_sen(n_j)),
            "recomputed_budget": signals.rounded(
                signals.budget_of(record["D_hat"], record["coh_star"], record["r"])
            ),
            **decision,
        }
    )


@pytest.mark.parametrize(
    ("changes", "status", "decision"),
    [
        ({}, 200, {"accepted": True, "escalated": False, "reasons": []}),
        (
            {"regime": "sticky"},
            202,
            {"accepted": True, "escalated": True, "reasons": ["regime_mismatch"]},
        ),
        (
            {"budget": 0.9, "ft": {"degraded": True, "fallbacks": ["x"], "clock_skew_ms": -5}},
            202,
            {"accepted": True, "escalated": True, "reasons": ["budget_deviation", "degraded"]},
        ),
        (
            {"N_j": {"2": 9, "4": 8, "8": 16, "16": 30, "32": 60}},
            422,
            {
                "accepted": False,
                "escalated": False,
                "reasons": ["d_hat_mismatch", "n_j_inconsistent"],
            },
        ),
    ],
    ids=["accepted", "escalated", "escalated twice", "not accepted"],
)
def test_a_decision_is_the_same_bytes_by_the_second_implementation(
    shared_server: ServerProcess,
    fresh_epoch: int,
    changes: dict[str, Any],
    status: int,
    decision: dict[str, object],
) -> None:
    sent = body(fresh_epoch, **changes)
    answer = shared_server.submit(sent)
    assert (answer.status, answer.body) == (status, expected(sent, **decision))
    assert answer.headers["content-type"] == "application/json"
    assert RECEIVED_AT.fullmatch(answer.headers["x-received-at"])
    assert "idempotent-replayed" not in answer.headers


@pytest.mark.parametrize("changes", [{}, {"regime": "sticky"}, {"D_hat": 3.0}])
def test_a_repeat_gets_the_first_answer_byte_for_byte(
    shared_server: ServerProcess, fresh_epoch: int, changes: dict[str, Any]
) -> None:
    first = shared_server.submit(body(fresh_epoch, **changes))
    assert not first.is_replayed
    for _ in range(3):
        again = shared_server.submit(body(fresh_epoch, **changes))
        assert again.is_replayed
        assert (again.status, again.body) == (first.status, first.body)
        assert again.headers["x-received-at"] == first.headers["x-received-at"]


@pytest.mark.parametrize(
    "changes",
    [
        {"created_at": "2026-11-03T00:00:00.000Z"},
        {"signer": ACME_NEXT},
        {"r": 0.49, "budget": 0.303},
        {"ft": {"degraded": True, "fallbacks": ["column 2 lost"], "clock_skew_ms": 7}},
        {"meta": {"model": "m", "task": 3, "ok": True}},
    ],
    ids=["later", "next key", "other deflate", "other ft", "meta"],
)
def test_a_rerun_over_the_same_window_is_a_repeat(
    shared_server: ServerProcess, fresh_epoch: int, changes: dict[str, Any]
) -> None:
    first = shared_server.submit(body(fresh_epoch))
    rerun = body(fresh_epoch, **changes)
    assert oracle.record_digest(dict(parse_record(rerun).members)) not in first.body.decode()
    again = shared_server.submit(rerun)
    assert (again.status, again.is_replayed, again.body) == (200, True, first.body)


def test_a_delivery_is_no_part_of_the_record(
    shared_server: ServerProcess, fresh_epoch: int
) -> None:
    record = dict(parse_record(body(fresh_epoch)).members)
    first, *others = (
        shared_server.submit(
            canonical(
                {
                    **record,
                    "delivery": {
                        "attempt": n,
                        "sent_at": "2026-11-03T00:00:00.000Z",
                        "outbox_seq": 5,
                    },
                }
            )
        )
        for n in (1, 2, 3)
    )
    assert [(other.is_replayed, other.body) for other in others] == [(True, first.body)] * 2
    kept = shared_server.get(first.json["pcs_id"]).json["record"]
    assert kept == record


def test_other_spellings_of_the_same_record_are_the_same_record(
    shared_server: ServerProcess, fresh_epoch: int
) -> None:
    sent = body(fresh_epoch)
    first = shared_server.submit(sent)
    spelled = sent.replace(b'"n":64', b' "n" : 6.4e1\n').replace(b'"epoch"', b'"\\u0065poch"')
    assert spelled != sent
    again = shared_server.submit(spelled)
    assert (again.status, again.is_replayed, again.body) == (200, True, first.body)


def test_an_id_is_the_hash_of_root_epoch_and_stream(
    shared_server: ServerProcess, fresh_epoch: int
) -> None:
    record = members(fresh_epoch)
    text = f"{record['merkle_root']}|{fresh_epoch}|press-7"
    right = hashlib.sha256(text.encode()).hexdigest()
    wrong = hashlib.sha256(text.upper().encode()).hexdigest()
    sent = body(fresh_epoch)
    answer = shared_server.submit(sent.replace(right.encode(), wrong.encode()))
    assert (answer.status, answer.json["code"]) == (400, "pcs_id_mismatch")
    assert shared_server.get(wrong).status == 404
    assert shared_server.submit(sent).json["pcs_id"] == right
    assert shared_server.get(right).json["record"]["pcs_id"] == right


def test_what_get_returns_is_the_record_and_its_first_answer(
    shared_server: ServerProcess, fresh_epoch: int
) -> None:
    sent = body(fresh_epoch, regime="sticky")
    answer = shared_server.submit(sent)
    got = shared_server.get(answer.json["pcs_id"])
    assert got.status == 200
    assert got.json == {
        "record": dict(parse_record(sent).members),
        "outcome": answer.json,
        "received_at": answer.headers["x-received-at"],
        "tier": "warm",
        "conflicts": [],
        "resolutions": [],
    }
    assert sent in got.body
    assert answer.body in got.body


def test_many_who_send_a_new_id_at_once_get_one_decision(folder: Folder) -> None:
    with ServerProcess(folder) as server:
        epochs = range(1, 9)
        # Half of them sign with the next key: whoever is first, it is one outcome.
        sent = [
            (epoch, body(epoch, signer=signer))
            for epoch in epochs
            for signer in (ACME, ACME_NEXT) * 12
        ]
        with ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(lambda item: (item[0], server.submit(item[1])), sent))
        for epoch in epochs:
            mine = [answer for each, answer in answers if each == epoch]
            assert {answer.status for answer in mine} == {200}
            assert len({answer.body for answer in mine}) == 1
            assert len({answer.headers["x-received-at"] for answer in mine}) == 1
            assert sum(not answer.is_replayed for answer in mine) == 1
        assert server.stop() == 0
    code, report = folder.fsck()
    assert (code, report["records"], report["stored_twice"]) == (0, len(epochs), 0)
    assert report["inbox_bodies"] == len(sent)


def test_repeats_in_one_pipeline_share_one_decision(
    shared_server: ServerProcess, fresh_epoch: int
) -> None:
    with Wire(shared_server.address) as wire:
        wire.send(submission(body(fresh_epoch)) * 5)
        first, *others = [wire.reply() for _ in range(5)]
    assert not first.is_replayed
    assert all(other.is_replayed and other.body == first.body for other in others)
