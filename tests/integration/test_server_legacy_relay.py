"""Who carries an old record, spoils it or cuts it off does not decide for its sender."""

import http.client
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.oracle import legacy as oracle
from tests.oracle.canonical_json import canonical_bytes
from tests.support.failing_disk import Effect
from tests.support.faulty_server import Fault, FaultyServer, check_here, until_idle
from tests.support.legacy import OLD_LAB, body, signed
from tests.support.legacy_server import assert_first, assert_problem, decision, got, prepared
from tests.support.server_process import Folder, Reply, ServerProcess
from tests.support.signed import body as current_body
from tests.support.wire import JSON


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server for this module; each test takes epochs of its own."""
    folder = prepared(Folder(tmp_path_factory.mktemp("legacy") / "folder"))
    with ServerProcess(folder) as running:
        yield running


@pytest.fixture
def folder(folder: Folder) -> Folder:
    return prepared(folder)


# Of the calls of one submit: the inbox's write and sync, the ledger's write and sync.
INBOX_SYNC, LEDGER_WRITE = 2, 3


def test_an_old_record_is_listed_with_the_regime_of_its_numbers_and_resolved(
    server: ServerProcess,
) -> None:
    record = signed(345, budget=0.9, shard_id="Süd 345", coh_star=0.8)
    assert (record["regime"], server.submit(body(record)).status) == ("sticky", 202)
    reader = {"Authorization": f"Bearer {server.folder.token('default')}"}
    path = "/v1/pcs?shard_id=S%C3%BCd%20345&regime="
    (row,) = server.ask("GET", path + "sticky", headers=reader).json["records"]
    assert (row["pcs_id"], row["version"], row["regime"]) == (record["pcs_id"], "0.1", "sticky")
    assert server.ask("GET", path + "mixed", headers=reader).json["records"] == []
    operator = {"Authorization": f"Bearer {server.folder.token('default', 'operate')}"}
    path = f"/v1/escalations/{record['pcs_id']}/resolve"
    note = b'{"note": "seen"}'
    assert server.ask("POST", path, note, operator | JSON).status == 404
    assert server.ask("POST", path + "?version=0.1", note, operator | JSON).status == 200
    (resolution,) = got(server, record["pcs_id"]).json["resolutions"]
    assert resolution["note"] == "seen"


SPOILED: dict[str, tuple[dict[str, Any], str, str]] = {
    "fewer cells": ({"N_j": {"2": 4, "4": 4, "8": 4, "16": 4}}, "d_hat_mismatch", "N_j"),
    "falling cells": ({"N_j": {"2": 4, "4": 9, "8": 20, "16": 19}}, "n_j_inconsistent", "N_j"),
    "more cells than there are": (
        {"N_j": {"2": 9, "4": 20, "8": 45, "16": 70}},
        "n_j_inconsistent",
        "N_j",
    ),
    "another regime": ({"regime": "sticky"}, "regime_mismatch", "regime"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_relay_that_spoils_what_is_not_signed_does_not_decide_for_the_honest_sender(
    server: ServerProcess, name: str
) -> None:
    changes, reason, member = SPOILED[name]
    record = signed(400 + list(SPOILED).index(name))
    for _ in range(2):
        answer = server.submit(body({**record, **changes}))
        assert_problem(answer, 422, "unsigned_member_mismatch", reason)
        assert answer.json["member"] == member
        assert "x-received-at" not in answer.headers
    assert got(server, record["pcs_id"]).status == 404
    assert_first(server.submit(body(record)), record)
    # Once it is decided, a spoiled copy is a repeat of it like any other.
    again = server.submit(body({**record, **changes}))
    assert (again.status, again.body, again.is_replayed) == (200, decision(record), True)


def test_a_fault_in_what_was_signed_is_a_decision_that_leaves_no_trace(
    server: ServerProcess,
) -> None:
    record = signed(410, coh_star=1.06, r=-0.1, regime="sticky", budget=0)
    reasons = ["coh_star_bounds", "r_bounds", "budget_deviation"]
    expected = decision(record, accepted=False, reasons=reasons)
    for _ in range(2):
        answer = server.submit(body(record))
        assert (answer.status, answer.body, answer.is_replayed) == (422, expected, False)
    assert got(server, record["pcs_id"]).status == 404
    # The id is free: another content under it is no conflict.
    sound = signed(410)
    assert sound["pcs_id"] == record["pcs_id"]
    assert_first(server.submit(body(sound)), sound)


def test_what_is_not_signed_may_be_anything_else_and_is_not_kept(server: ServerProcess) -> None:
    record = signed(420)
    carried = {
        **record,
        "attempt": 9,
        "sent_at": "relay-word",
        "seed": 1,
        "v_star": [1, 0, 0],
        "N_j": {"2": 4, "4": 9, "8": 20, "16": 32},
        "ft": {"degraded": True, "fallbacks": ["relay-word"]},
        "note": "relay-word",
        "D_hat": record["D_hat"] + 4e-10,
    }
    assert_first(server.submit(body(carried)), record)
    again = server.submit(body(record))
    assert (again.status, again.body, again.is_replayed) == (200, decision(record), True)
    stored = got(server, record["pcs_id"])
    assert canonical_bytes(stored.json["record"]) == oracle.stored(record)
    assert b"relay-word" not in stored.body


def test_a_relay_beside_the_honest_sender_never_wins(server: ServerProcess) -> None:
    # Both at once, over and over: the honest one gets its decision, whoever came first.
    epochs = range(450, 470)
    start = threading.Barrier(2)

    def send(changes: dict[str, Any]) -> list[Reply]:
        connection = http.client.HTTPConnection(*server.address, timeout=60)
        answers = []
        start.wait()
        for epoch in epochs:
            data = body({**signed(epoch), **changes})
            connection.request("POST", "/v1/pcs/submit", data)
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            answers.append(Reply(answer.status, headers, answer.read()))
        connection.close()
        return answers

    with ThreadPoolExecutor(2) as pool:
        honest = pool.submit(send, {})
        relayed = pool.submit(send, {"regime": "sticky"})
    for epoch, answer, spoiled in zip(epochs, honest.result(), relayed.result(), strict=True):
        assert (answer.status, answer.body) == (200, decision(signed(epoch)))
        assert not answer.is_replayed
        assert spoiled.is_replayed or spoiled.json["code"] == "unsigned_member_mismatch"


def test_a_folder_with_both_versions_is_sound_and_is_rebuilt_from_its_ledger(
    folder: Folder,
) -> None:
    first, other = signed(1), signed(1, budget=0.9)
    with ServerProcess(folder) as server:
        assert_first(server.submit(body(first)), first)
        assert server.submit(current_body(1)).status == 200
        assert server.submit(body({**signed(2), "regime": "sticky"})).status == 422
        assert server.submit(body(signed(3, r=2))).status == 422
        assert server.submit(body(other)).status == 409
        server.stop()
    code, report = folder.fsck()
    assert (code, report["problems"]) == (0, [])
    assert (report["records"], report["conflicts"], report["not_accepted"]) == (2, 1, 0)
    for file in (folder.data / "shard-0" / "index").iterdir():
        file.unlink()
    with ServerProcess(folder) as server:
        again = server.submit(body({**first, "seed": 9}))
        assert (again.status, again.body, again.is_replayed) == (200, decision(first), True)
        assert len(got(server, first["pcs_id"]).json["conflicts"]) == 1
        assert got(server, signed(2)["pcs_id"]).status == 404


def test_an_old_body_left_open_is_decided_after_the_kill_with_its_tenant(folder: Folder) -> None:
    record = signed(5, signer=OLD_LAB)
    spoiled = {**signed(6, signer=OLD_LAB), "regime": "sticky"}
    for sent, call in ((record, LEDGER_WRITE), (spoiled, INBOX_SYNC)):
        with FaultyServer(folder) as server:
            until_idle(server)
            server.tell(Fault(at=frozenset({call}), error=None, effect=Effect.WHOLE))
            with pytest.raises(OSError, match=r"."):
                server.submit(body(sent), {"X-Tenant-Id": "lab"})
            server.wait()
        assert check_here(folder).undecided_inbox == 1
        with ServerProcess(folder) as server:
            # What it decided came from the inbox: nobody has sent anything again.
            stored = got(server, sent["pcs_id"], "lab")
            assert stored.status == (200 if sent is record else 404)
            assert got(server, sent["pcs_id"], "default").status == 404
            server.stop()
        report = check_here(folder)
        assert (report.problems, report.undecided_inbox, report.records) == ([], 0, 1)
    with ServerProcess(folder) as server:
        again = server.submit(body(record), {"X-Tenant-Id": "lab"})
        assert (again.status, again.body, again.is_replayed) == (200, decision(record), True)
