"""Old agents: the whole of their requests through the real server."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tests.oracle import legacy as oracle
from tests.oracle.canonical_json import canonical_bytes
from tests.support.legacy import (
    OLD,
    OLD_ED25519,
    OLD_LAB,
    LegacySigner,
    body,
    golden_record,
    members,
    signed,
)
from tests.support.legacy_server import (
    LATE,
    SHARED,
    SHUT,
    assert_first,
    assert_problem,
    decision,
    got,
    prepared,
)
from tests.support.server_process import Folder, ServerProcess
from tests.support.signed import GLOBEX
from tests.support.signed import body as current_body
from tests.support.wire import Wire, request


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server for this module; each test takes epochs of its own."""
    folder = prepared(Folder(tmp_path_factory.mktemp("legacy") / "folder"))
    with ServerProcess(folder) as running:
        yield running


def test_the_golden_record_is_accepted_and_given_back(server: ServerProcess) -> None:
    sent = golden_record()
    record = json.loads(sent)
    assert_first(server.submit(sent), record)
    again = server.submit(json.dumps(record).encode(), {"X-Tenant-Id": "default"})
    assert (again.status, again.body, again.is_replayed) == (200, decision(record), True)
    stored = got(server, record["pcs_id"])
    assert canonical_bytes(stored.json["record"]) == oracle.stored(record)
    assert canonical_bytes(stored.json["outcome"]) == decision(record)


EVERY = [(signer, spelling) for signer in (OLD, OLD_ED25519) for spelling in signer.spellings]
# Where the spellings differ from each other.
APART = {"coh_star": 1, "r": 5e-05, "D_hat": 1.0, "shard_id": "Süd-7", "N_j": {"2": 2, "4": 4}}


@pytest.mark.parametrize(("signer", "spelling"), EVERY)
def test_a_record_in_each_spelling_is_accepted(
    server: ServerProcess, signer: LegacySigner, spelling: int
) -> None:
    epoch = 100 + 10 * EVERY.index((signer, spelling))
    changes: dict[str, Any] = {**APART, "scales": [2, 4]}
    record = signed(epoch, signer=signer, spelling=spelling, **changes)
    assert_first(server.submit(body(record)), record)
    # The same signed again by another key, in another spelling: the same content.
    for other, its in EVERY:
        again = server.submit(body(signed(epoch, signer=other, spelling=its, **changes)))
        assert (again.status, again.body, again.is_replayed) == (200, decision(record), True)
    assert got(server, record["pcs_id"]).json["record"]["sig"] == record["sig"]


# What requests.post(json=…), requests.post(data=…), http.client and old shell scripts send.
TAKEN: dict[str, Mapping[str, str]] = {
    "json of an old agent": {"Content-Type": "application/json"},
    "text of an old agent": {},
    "a charset": {"Content-Type": "application/json; charset=utf-8"},
    "a charset in quotes": {"Content-Type": 'application/json;charset="UTF-8"'},
    "upper case": {"Content-Type": "APPLICATION/JSON"},
    "both, and more": {"Content-Type": "Application/Json ; Charset=UTF-8; v=1"},
}
NOT_TAKEN: dict[str, Mapping[str, str]] = {
    "a form, as curl --data says": {"Content-Type": "application/x-www-form-urlencoded"},
    "text": {"Content-Type": "text/plain"},
    "text/json": {"Content-Type": "text/json"},
    "bytes": {"Content-Type": "application/octet-stream"},
    "another json": {"Content-Type": "application/problem+json"},
    "nothing in it": {"Content-Type": ""},
}
OLD_HEADERS = {
    "User-Agent": "python-requests/2.31.0",
    "Accept-Encoding": "gzip, deflate, br",
    "Accept": "*/*",
    "Connection": "keep-alive",
    "X-Tenant-Id": "lab",
}


@pytest.mark.parametrize("name", TAKEN)
def test_the_whole_request_of_an_old_agent_works(server: ServerProcess, name: str) -> None:
    record = signed(200 + list(TAKEN).index(name), signer=OLD_LAB, agent="0.1.7", host={"pid": 7})
    with Wire(server.address) as wire:
        for is_replayed in (False, True):
            wire.send(
                request("POST", "/v1/pcs/submit", body(record), {**OLD_HEADERS, **TAKEN[name]})
            )
            answer = wire.reply()
            assert (answer.status, answer.is_replayed) == (200, is_replayed)
            assert answer.body == decision(record)


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_whoever_says_another_type_is_told_so(server: ServerProcess, name: str) -> None:
    record = signed(220, signer=OLD_LAB)
    with Wire(server.address) as wire:
        wire.send(
            request("POST", "/v1/pcs/submit", body(record), {**OLD_HEADERS, **NOT_TAKEN[name]})
        )
        answer = wire.reply()
    assert (answer.status, answer.json["code"]) == (415, "unsupported_media_type")


def test_the_tenant_is_the_key_s_and_the_header_only_says_which_keys_to_try(
    server: ServerProcess,
) -> None:
    record = signed(300, signer=OLD_LAB)
    for headers in ({}, {"X-Tenant-Id": ""}, {"X-Tenant-Id": "default"}):
        answer = server.submit(body(record), headers)
        assert_problem(answer, 401, "signature_invalid", "signature_mismatch")
    for nobody in ("nobody", "acme", "la b", "x" * 65):
        answer = server.submit(body(record), {"X-Tenant-Id": nobody})
        assert_problem(answer, 401, "unknown_key", "no_legacy_key")
    token = {"Authorization": f"Bearer {server.folder.token('acme', 'submit')}"}
    answer = server.submit(body(record), {"X-Tenant-Id": "lab", **token})
    assert_problem(answer, 403, "tenant_mismatch", "tenant_mismatch")
    assert got(server, record["pcs_id"], "lab").status == 404
    assert_first(server.submit(body(record), {"X-Tenant-Id": "lab"}), record)
    assert got(server, record["pcs_id"], "lab").status == 200
    assert got(server, record["pcs_id"], "default").status == 404


def test_the_same_secret_of_two_tenants_still_decides_for_each_alone(server: ServerProcess) -> None:
    record = signed(310)
    for headers in ({}, {"X-Tenant-Id": "globex"}):
        assert_first(server.submit(body(record), headers), record)


def test_the_versions_of_one_window_are_families_of_their_own(server: ServerProcess) -> None:
    current = current_body(320, signer=GLOBEX)
    window = json.loads(current)
    names = ("merkle_root", "epoch", "shard_id", "pcs_id")
    record = signed(signer=SHARED, **{name: window[name] for name in names})
    assert server.submit(current).status == 200
    assert_first(server.submit(body(record), {"X-Tenant-Id": "globex"}), record)
    assert got(server, window["pcs_id"], "globex", "1.0").json["record"]["version"] == "1.0"
    assert got(server, window["pcs_id"], "globex").json["record"]["version"] == "0.1"


def test_another_content_is_a_conflict_and_its_evidence_holds_what_was_signed(
    server: ServerProcess,
) -> None:
    first, other = signed(330), signed(330, coh_star=0.26)
    assert first["pcs_id"] == other["pcs_id"]
    assert_first(server.submit(body(first)), first)
    for _ in range(2):
        answer = server.submit(body({**other, "regime": "sticky", "seed": 3}))
        assert (answer.status, answer.json["code"]) == (409, "pcs_id_conflict")
        assert answer.json["first_content_digest"] == oracle.digest(first)
        assert answer.json["content_digest"] == oracle.digest(other)
    conflicts = got(server, first["pcs_id"]).json["conflicts"]
    assert [conflict["content_digest"] for conflict in conflicts] == [oracle.digest(other)]


def test_a_budget_that_is_off_is_accepted_escalated_and_remembered(server: ServerProcess) -> None:
    record = signed(340, budget=0.9)
    expected = decision(record, escalated=True, reasons=["budget_deviation"])
    for is_replayed in (False, True):
        answer = server.submit(body(record))
        assert (answer.status, answer.body, answer.is_replayed) == (202, expected, is_replayed)


def test_an_old_record_has_no_horizon_but_its_key_has_its_time(server: ServerProcess) -> None:
    record = signed(430, sent_at="1971-01-01T00:00:00Z")
    assert_first(server.submit(body(record)), record)
    late = server.submit(body(signed(431, signer=LATE)), {"X-Tenant-Id": "late"})
    assert_problem(late, 401, "key_not_valid_now", "key_not_valid_now")
    assert "member" not in late.json


def test_a_tenant_that_has_it_switched_off_is_refused_before_any_member(
    server: ServerProcess,
) -> None:
    header = {"X-Tenant-Id": "shut"}
    for record in (signed(440, signer=SHUT), {**members(440), "pcs_id": 7}):
        answer = server.submit(body(record), header)
        assert_problem(answer, 400, "unsupported_version", "legacy_switched_off")
        assert answer.json["member"] == "version"
    assert got(server, members(440)["pcs_id"], "shut").status == 404
    assert server.submit(b'{"version": "0.2"}', header).json["reason"] == "unsupported_version"
