"""A server that was stopped, lost its locks to a hand that removed their files, and wakes late."""

import signal
from pathlib import Path

from tests.support.server_process import (
    WIDE_LANE,
    Folder,
    ServerProcess,
    until_ready,
)
from tests.support.signed import body

ONE = ("--workers", "1", *WIDE_LANE)


def test_a_server_whose_locks_were_removed_while_it_slept_acknowledges_nothing(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path / "server")
    with ServerProcess(folder, *ONE) as late:
        first = {epoch: late.submit(body(epoch)) for epoch in range(8)}
        assert {reply.status for reply in first.values()} == {200}
        late.process.send_signal(signal.SIGSTOP)
        for lock in folder.data.rglob(".lock"):
            lock.unlink()
        with ServerProcess(folder, *ONE) as successor:
            until_ready(successor)
            second = {epoch: successor.submit(body(epoch)) for epoch in range(8, 16)}
            late.process.send_signal(signal.SIGCONT)
            refused = [late.submit(body(epoch)) for epoch in range(16, 24)]
            assert {reply.status for reply in refused} == {503}
            # What either acknowledged is answered as it was; what it did not is decided anew.
            for epoch, reply in {**first, **second}.items():
                again = successor.submit(body(epoch))
                assert (again.is_replayed, again.body) == (True, reply.body)
            third = [successor.submit(body(epoch)) for epoch in range(16, 24)]
            assert [reply.status for reply in third] == [200] * 8
            assert successor.stop() == 0
        late.kill()
    code, report = folder.fsck()
    assert code == 0, report
