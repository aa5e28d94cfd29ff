"""A bug of the server's own, met on purpose."""

import pytest
from tests.support.buggy_server import COMMAND, SECRET, STREAM
from tests.support.server_process import Folder, ServerProcess
from tests.support.signed import body


def test_a_bug_is_a_problem_that_names_nothing(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLBA_NATIVE", "0")  # the bug is one of Python's
    met = body(1, shard_id=STREAM)
    with ServerProcess(folder, command=COMMAND) as server:
        answer = server.submit(met)
        assert (answer.status, answer.json["code"]) == (500, "internal_error")
        assert SECRET.encode() not in answer.body
        errors = [line["event"] for line in server.log_lines() if line["level"] == "error"]
        assert errors == ["a request met a bug"]
        # It goes on with what others send.
        assert server.submit(body(2)).status == 200
        lines = server.batch(b"\n".join([body(3), met, body(4)])).lines
        assert [line["status"] for line in lines] == [200, 500, 200]
        assert lines[1]["body"]["code"] == "internal_error"
        assert server.stop() == 0
    with ServerProcess(folder) as server:
        # The body was in the inbox: the next start settled it.
        answer = server.submit(met)
        assert (answer.status, answer.is_replayed) == (200, True)
