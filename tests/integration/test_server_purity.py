"""The same record has the same outcome anywhere, and what was decided is never judged again."""

from typing import Any

from tests.support import params_server
from tests.support.server_process import Folder, Reply, ServerProcess
from tests.support.signed import ACME_NEXT, body

from fractal_lba.protocol.judge import Params

LENIENT = Params(version="test-lenient", tol_d=100.0, tol_budget=100.0)
"""Neither D̂ nor the budget can miss by so much."""

DEVIATES: dict[str, Any] = {"budget": 0.9}
MISMATCHES: dict[str, Any] = {"D_hat": 3.0, "regime": "non_sticky", "budget": 0.7}


def some_records() -> list[bytes]:
    return [
        body(1),
        body(2, signer=ACME_NEXT),
        body(3, regime="sticky"),
        body(4, **DEVIATES),
        body(5, D_hat=3.0),
        body(6, **MISMATCHES),
        body(7, ft={"degraded": True, "fallbacks": ["a column"], "clock_skew_ms": 0}),
        body(8, N_j={"2": 9, "4": 8, "8": 16, "16": 30, "32": 60}),
        body(1, n=65),  # a conflict
        body(9).replace(b'"n":64', b'"n":2'),
        body(9).replace(b'"seed":42', b'"seed":43'),
        b"{",
    ]


def verdict(answer: Reply) -> tuple[int, bytes]:
    return answer.status, answer.body


def test_two_servers_give_the_same_bytes(folder: Folder) -> None:
    other_folder = Folder(folder.path.with_name("other"))
    with ServerProcess(folder) as one, ServerProcess(other_folder, "--region", "eu") as other:
        for sent in some_records():
            first, second = one.submit(sent), other.submit(sent)
            assert first.status == second.status
            if first.status == 409:
                ours, theirs = first.json, second.json
                for member in ("first_received_at", "request_id"):
                    del ours[member], theirs[member]
                assert ours == theirs
            else:
                assert first.said == second.said


def test_another_parameter_set_changes_no_outcome_that_was_decided(folder: Folder) -> None:
    decided = some_records()[:8]
    with ServerProcess(folder) as server:
        answers = [server.submit(sent) for sent in decided]
        assert {answer.json["params_version"] for answer in answers} == {"1"}
        assert {answer.status for answer in answers} == {200, 202, 422}
        server.kill()
    command = params_server.command(LENIENT)
    with ServerProcess(folder, command=command) as server:
        for sent, first in zip(decided, answers, strict=True):
            again = server.submit(sent)
            assert again.is_replayed
            assert verdict(again) == verdict(first)
            assert server.get(first.json["pcs_id"]).json["outcome"] == first.json
        # The same flaws under ids that are new: judged by the set of now, which names itself.
        deviates, mismatches = (
            server.submit(body(14, **DEVIATES)),
            server.submit(body(16, **MISMATCHES)),
        )
        assert [answer.status for answer in (deviates, mismatches)] == [200, 200]
        assert deviates.json["params_version"] == LENIENT.version
        # A conflict with what the old set decided is one still.
        assert server.submit(body(5)).status == 409
        server.kill()
    # And back again: what the other set decided stays as well.
    with ServerProcess(folder) as server:
        again = server.submit(body(14, **DEVIATES))
        assert again.is_replayed
        assert verdict(again) == verdict(deviates)
        assert server.submit(body(15, **DEVIATES)).status == 202
        server.stop()
    assert folder.fsck()[0] == 0


def test_an_index_rebuilt_under_another_parameter_set_changes_no_outcome(folder: Folder) -> None:
    decided = some_records()[:8]
    with ServerProcess(folder) as server:
        answers = [server.submit(sent) for sent in decided]
        server.stop()
    for file in (folder.data / "shard-0" / "index").iterdir():
        file.unlink()
    with ServerProcess(folder, command=params_server.command(LENIENT)) as server:
        again = [server.submit(sent) for sent in decided]
    assert all(answer.is_replayed for answer in again)
    assert [verdict(answer) for answer in again] == [verdict(answer) for answer in answers]
