"""Escalations are resolved in the ledger, beside what was decided, which stays as it is."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

import pytest
from tests.support.failing_disk import Effect
from tests.support.faulty_server import Fault, FaultyServer, check_here
from tests.support.server_process import Folder, ServerProcess, until_ready
from tests.support.signed import GLOBEX, body, members

from fractal_lba.server.core.known import RESOLUTIONS_KEPT_MAX


def escalated(epoch: int) -> bytes:
    return body(epoch, regime="sticky")


def id_of(epoch: int) -> str:
    made: str = members(epoch)["pcs_id"]
    return made


def notes(server: ServerProcess, epoch: int, tenant: str = "acme") -> list[str]:
    return [each["note"] for each in server.get(id_of(epoch), tenant).json["resolutions"]]


def queue(server: ServerProcess, tenant: str = "acme") -> list[int]:
    return [row["epoch"] for row in server.read("/v1/escalations", tenant).json["records"]]


def test_a_resolution_is_shown_and_takes_its_record_out_of_the_queue(folder: Folder) -> None:
    with ServerProcess(folder) as server:
        first = server.submit(escalated(1))
        assert first.status == 202
        for epoch in (2, 3):
            server.submit(escalated(epoch))
        server.submit(body(4))
        assert queue(server) == [1, 2, 3]
        done = server.resolve(id_of(1), "a loose cable")
        assert done.status == 200
        assert done.json["resolutions"] == 1
        assert queue(server) == [2, 3]
        again = server.resolve(id_of(1), "no: a broken one")
        assert again.json["resolutions"] == 2
        stored = server.get(id_of(1)).json
        assert [each["note"] for each in stored["resolutions"]] == [
            "a loose cable",
            "no: a broken one",
        ]
        assert stored["resolutions"][0]["who"] == done.json["who"]
        assert stored["resolutions"][0]["at"] == done.json["at"]
        assert done.json["who"].startswith("token:")
        assert folder.token("acme", "operate") not in done.json["who"]
        # What was decided is as it was.
        repeat = server.submit(escalated(1))
        assert (repeat.status, repeat.is_replayed, repeat.body) == (202, True, first.body)
        assert server.submit(body(1, regime="sticky", n=65)).status == 409
        assert len(server.get(id_of(1)).json["conflicts"]) == 1
        assert "a loose cable" not in server.log.read_text()
        server.kill()
    shutil.rmtree(folder.data / "shard-0" / "index")
    with ServerProcess(folder) as server:
        assert server.get(id_of(1)).json["resolutions"] == stored["resolutions"]
        assert queue(server) == [2, 3]
        server.stop()
    code, report = folder.fsck()
    assert (code, report["records"], report["resolutions"], report["conflicts"]) == (0, 4, 2, 1)


def test_only_an_escalated_record_of_the_callers_own_is_resolved(folder: Folder) -> None:
    with ServerProcess(folder) as server:
        server.submit(escalated(1))
        server.submit(body(2))
        server.submit(body(1, signer=GLOBEX))
        assert queue(server, "globex") == []
        for epoch, tenant in ((2, "acme"), (3, "acme"), (1, "globex")):
            refused = server.resolve(id_of(epoch), "mine", tenant)
            assert (refused.status, refused.json["code"]) == (404, "not_found")
        assert notes(server, 1) == notes(server, 1, "globex") == []
        path = f"/v1/escalations/{id_of(1)}/resolve"
        for scope, status in (("read", 403), ("submit", 403), ("none", 401)):
            token = {"Authorization": f"Bearer {folder.token('acme', scope)}"}
            assert server.ask("POST", path, b'{"note":"x"}', token).status == status
        assert server.ask("POST", path, b'{"note":"x"}').status == 401
        operator = {"Authorization": f"Bearer {folder.token('acme', 'operate')}"}
        assert server.ask("POST", f"{path}?version=7", b'{"note":"x"}', operator).status == 404
        for sent in (
            b"",
            b"{",
            b"[]",
            b"{}",
            b'{"note":1}',
            b'{"note":""}',
            b'{"note":"x","who":"root"}',
            b'{"note":"x","note":"y"}',
            b'{"note":["x"]}',
            json.dumps({"note": "x" * 1_025}).encode(),
            json.dumps({"note": "é" * 513}).encode(),
            b'{"note":"\xff"}',
        ):
            refused = server.ask("POST", path, sent, operator)
            assert (refused.status, refused.json["code"]) == (400, "bad_request"), sent
        assert server.ask("POST", path, b" " * 70_000, operator).status == 413
        assert queue(server) == [1]
        assert server.resolve(id_of(1), "é" * 512).status == 200


def test_two_resolutions_at_once_are_both_kept_and_no_more_than_so_many(folder: Folder) -> None:
    with ServerProcess(folder) as server, ThreadPoolExecutor(8) as pool:
        server.submit(escalated(1))
        sent = [f"note {number}" for number in range(RESOLUTIONS_KEPT_MAX + 6)]
        answers = list(pool.map(lambda note: server.resolve(id_of(1), note), sent))
        kept = [note for note, answer in zip(sent, answers, strict=True) if answer.status == 200]
        assert len(kept) == RESOLUTIONS_KEPT_MAX
        assert sorted(notes(server, 1)) == sorted(kept)
        refused = [answer for answer in answers if answer.status != 200]
        assert {(each.status, each.json["code"]) for each in refused} == {(400, "bad_request")}
        assert server.stop() == 0
    assert check_here(folder).resolutions == RESOLUTIONS_KEPT_MAX


@pytest.mark.parametrize("call", ["write_at", "datasync"])
@pytest.mark.parametrize("effect", list(Effect))
def test_a_resolution_whose_commit_fails_is_there_or_not_and_the_next_one_is(
    folder: Folder, call: str, effect: Effect
) -> None:
    with FaultyServer(folder) as server:
        assert server.submit(escalated(1)).status == 202
        server.tell(Fault(at=frozenset({1}), effect=effect, only=call))
        refused = server.resolve(id_of(1), "first")
        if refused.status == 200:  # an idle mark met the fault
            assert notes(server, 1) == ["first"]
        else:
            assert (refused.status, refused.json["code"]) == (503, "storage_unavailable")
        server.tell(None)
        until_ready(server)
        before = notes(server, 1)
        assert before in ([], ["first"])
        assert queue(server) == ([] if before else [1])
        assert server.resolve(id_of(1), "second").status == 200
        assert notes(server, 1) == [*before, "second"]
        assert server.stop() == 0
    assert check_here(folder).problems == []


@pytest.mark.parametrize("at", range(1, 7))
def test_a_resolution_that_a_kill_meets_is_whole_or_not_there(folder: Folder, at: int) -> None:
    answered = 0
    with FaultyServer(folder) as server:
        assert server.submit(escalated(1)).status == 202
        server.tell(Fault(at=frozenset({at}), error=None, effect=Effect.PART))
        for number in range(4):
            try:
                answered += server.resolve(id_of(1), f"note {number}").status == 200
            except (OSError, HTTPException):
                break
    with ServerProcess(folder) as server:
        found = notes(server, 1)
        assert found == [f"note {number}" for number in range(len(found))]
        # What was acknowledged is there; at most what was under way besides.
        assert answered <= len(found) <= answered + 1
        assert queue(server) == ([] if found else [1])
        assert server.stop() == 0
    assert check_here(folder).problems == []
