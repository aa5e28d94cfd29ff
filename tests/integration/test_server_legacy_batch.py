"""Old records in batches: each line as submit would, with the keys of the tenant that is named."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
import zstandard
from tests.support.failing_disk import Effect
from tests.support.faulty_server import Fault, FaultyServer, check_here
from tests.support.legacy import OLD, OLD_ED25519, OLD_LAB, body, signed
from tests.support.legacy_server import SHUT, decision, got, prepared
from tests.support.server_process import Folder, Reply, ServerProcess, until, until_ready
from tests.support.signed import GLOBEX
from tests.support.signed import body as current_body

LAB = {"X-Tenant-Id": "lab"}
SPOILED = {"regime": "sticky"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server for this module; each test takes epochs of its own."""
    folder = prepared(Folder(tmp_path_factory.mktemp("legacy") / "folder"))
    with ServerProcess(folder) as running:
        yield running


@pytest.fixture
def folder(folder: Folder) -> Folder:
    return prepared(folder)


def lines(*records: dict[str, Any] | bytes) -> bytes:
    return b"\n".join(each if isinstance(each, bytes) else body(each) for each in records)


def said(answers: Reply) -> list[tuple[int, object]]:
    return [(line["status"], line["body"].get("code")) for line in answers.lines]


def test_old_lines_are_answered_as_submit_would(server: ServerProcess) -> None:
    sound, escalated, wrong = signed(1), signed(2, budget=0.9), signed(3, r=2)
    spoiled, forged = {**signed(4), **SPOILED}, {**signed(5), "budget": 0.5}
    again = signed(1, signer=OLD_ED25519, spelling=3)
    conflict = signed(1, r=0.25)
    sent: list[dict[str, Any] | bytes] = [sound, current_body(1), escalated, wrong, spoiled]
    sent += [forged, again, conflict]
    answers = server.batch(lines(*sent))
    assert said(answers) == [
        (200, None),
        (200, None),
        (202, None),
        (422, None),
        (422, "unsigned_member_mismatch"),
        (401, "signature_invalid"),
        (200, None),
        (409, "pcs_id_conflict"),
    ]
    assert [line.get("replayed") for line in answers.lines] == [*[None] * 6, True, None]
    for record, line, raw in zip(sent, answers.lines, answers.body.splitlines(), strict=True):
        alone = server.submit(record if isinstance(record, bytes) else body(record))
        assert alone.status == line["status"]
        if record is not wrong:  # it is not remembered: each receipt is the first
            assert alone.headers.get("x-received-at") == line.get("received_at")
        if alone.status in {200, 202} or record is wrong:
            # Byte for byte.
            assert raw.startswith(b'{"status":%d,"body":%b,' % (alone.status, alone.body))
        else:
            said_alone, said_there = (
                {**each, "request_id": ""} for each in (alone.json, line["body"])
            )
            assert said_alone == said_there
    assert answers.lines[0]["body"] == json.loads(decision(sound))


def test_a_spoiled_line_beside_the_honest_one_does_not_decide(server: ServerProcess) -> None:
    epochs = range(100, 400)
    sent = [{**signed(epoch), **changes} for epoch in epochs for changes in (SPOILED, {}, SPOILED)]
    answers = server.batch(zstandard.compress(lines(*sent)), {"Content-Encoding": "zstd"}).lines
    for at, epoch in enumerate(epochs):
        before, honest, after = answers[3 * at : 3 * at + 3]
        assert before["body"]["code"] == "unsigned_member_mismatch"
        assert (honest["status"], "replayed" in honest) == (200, False)
        assert honest["body"] == json.loads(decision(signed(epoch)))
        # What was spoiled is a repeat of what is decided by now.
        assert (after["status"], after["replayed"], after["body"]) == (200, True, honest["body"])


def test_a_batch_tries_the_keys_of_the_tenant_it_names(server: ServerProcess) -> None:
    old, lab, shut = signed(500), signed(501, signer=OLD_LAB), signed(502, signer=SHUT)
    globex = current_body(503, signer=GLOBEX)
    sent = lines(old, lab, shut, globex)
    mismatch, another = (401, "signature_invalid"), (403, "tenant_mismatch")
    assert said(server.batch(sent, LAB)) == [mismatch, (200, None), mismatch, another]
    assert said(server.batch(sent)) == [(200, None), mismatch, mismatch, (200, None)]
    off = (400, "unsupported_version")
    assert said(server.batch(sent, {"X-Tenant-Id": "shut"})) == [off, off, off, another]
    no_key = (401, "unknown_key")
    assert said(server.batch(sent, {"X-Tenant-Id": "a b"})) == [no_key, no_key, no_key, another]
    assert got(server, old["pcs_id"], "lab").status == 404
    assert got(server, lab["pcs_id"]).status == 404


def assert_kept(server: ServerProcess, sent: list[dict[str, Any]], headers: dict[str, str]) -> None:
    answers = server.batch(lines(*sent), headers).lines
    assert {(line["status"], line.get("replayed")) for line in answers} == {(200, True)}
    assert [line["body"] for line in answers] == [json.loads(decision(each)) for each in sent]
    # The time of the first receipt.
    assert len({line["received_at"] for line in answers}) == 1


@pytest.mark.parametrize(("sync", "effect"), [(1, Effect.WHOLE), (2, Effect.NONE)])
def test_old_lines_cut_off_by_a_kill_are_decided_with_their_tenant(
    folder: Folder, sync: int, effect: Effect
) -> None:
    honest = [signed(epoch, signer=OLD_LAB) for epoch in range(40)]
    spoiled = [{**record, **SPOILED} for record in honest]
    alone = {**signed(99, signer=OLD_LAB), **SPOILED}
    wrong = signed(98, signer=OLD_LAB, r=2)
    sent = lines(*spoiled, alone, wrong, *honest)
    with FaultyServer(folder) as server:
        server.tell(Fault(at=frozenset({sync}), error=None, only="datasync", effect=effect))
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            server.batch(sent, LAB)
        server.wait()
    assert check_here(folder).undecided_inbox == 1
    with ServerProcess(folder) as server:
        # What is decided came from the inbox: nobody has sent anything again.
        assert got(server, honest[-1]["pcs_id"], "lab").status == 200
        for record, tenant in ((alone, "lab"), (wrong, "lab"), (honest[0], "default")):
            assert got(server, record["pcs_id"], tenant).status == 404
        assert_kept(server, honest, LAB)
        assert server.stop() == 0
    report = check_here(folder)
    assert (report.problems, report.undecided_inbox, report.records) == ([], 0, 40)


def test_what_was_answered_survives_kills(folder: Folder) -> None:
    batches = [[signed(100 * turn + n) for n in range(100)] for turn in range(3)]
    for turn, batch in enumerate(batches):
        with ServerProcess(folder) as server:
            assert {line["status"] for line in server.batch(lines(*batch)).lines} == {200}
            record = signed(1000 + turn, signer=OLD_LAB)
            assert server.submit(body(record), LAB).body == decision(record)
            server.kill()
    with ServerProcess(folder) as server:
        for batch in batches:
            assert_kept(server, batch, {})
        for turn in range(3):
            record = signed(1000 + turn, signer=OLD_LAB)
            again = server.submit(body({**record, **SPOILED}), LAB)
            assert (again.body, again.is_replayed) == (decision(record), True)
        assert server.stop() == 0
    report = check_here(folder)
    assert (report.problems, report.records, report.undecided_inbox) == ([], 303, 0)


def test_an_old_body_that_the_disk_refused_is_decided_with_its_tenant_when_it_is_sound(
    folder: Folder,
) -> None:
    record = signed(1, signer=OLD_LAB)
    with FaultyServer(folder) as server:
        # The inbox takes it, the ledger does not.
        server.tell(Fault(since=2, only="datasync", first_sync_of="inbox-0"))
        assert server.submit(body(record), LAB).status == 503
        # A spoiled copy meanwhile is judged by itself.
        spoiled = server.submit(body({**record, **SPOILED}), LAB)
        assert spoiled.status in {422, 503}
        server.tell(None)
        until_ready(server)
        until(lambda: got(server, record["pcs_id"], "lab").status == 200, "it is decided")
        again = server.submit(body(record), LAB)
        assert (again.body, again.is_replayed) == (decision(record), True)
        assert got(server, record["pcs_id"]).status == 404
        assert server.stop() == 0
    # The spoiled copy may have been left open, too, and a stop waits for nobody it was not answered
    # for: a start settles it before it serves.
    with ServerProcess(folder) as server:
        assert server.stop() == 0
    report = check_here(folder)
    assert (report.problems, report.records, report.undecided_inbox) == ([], 1, 0)


def test_the_switch_is_asked_when_a_body_is_settled_and_what_was_decided_stays(
    folder: Folder,
) -> None:
    decided, left = signed(1, signer=OLD), signed(2, signer=OLD)
    with ServerProcess(folder) as server:
        assert server.submit(body(decided)).status == 200
        server.stop()
    with FaultyServer(folder) as server:
        server.tell(Fault(at=frozenset({1}), error=None, only="datasync", effect=Effect.WHOLE))
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            server.batch(lines(left))
        server.wait()
    with folder.config.open("a") as settings:
        settings.write("\n[tenants.default]\naccepts_legacy = false\n")
    with ServerProcess(folder) as server:
        assert got(server, left["pcs_id"]).status == 404
        assert got(server, decided["pcs_id"]).status == 200
        assert server.submit(body(decided)).json["reason"] == "legacy_switched_off"
        assert server.stop() == 0
    assert check_here(folder).problems == []
