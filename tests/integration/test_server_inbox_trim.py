"""A running server removes what its inbox needs no more, and keeps what was refused for a while."""

from tests.support.server_process import Folder, ServerProcess, until
from tests.support.signed import body

from fractal_lba.wal import Damage, RealDisk, scan_folder

QUICK = ("--inbox-trim-s", "0.05")
REFUSED = b"{ not a record"


def bodies(folder: Folder) -> list[bytes]:
    """Return the bodies in the inbox; nothing of it may be missed."""
    items = list(scan_folder(RealDisk(), folder.data / "inbox-0", "inbox-0"))
    assert not [each for each in items if isinstance(each, Damage) and each.is_loss]
    return [
        each[1].payload for each in items if not isinstance(each, Damage) and each[1].received_ns
    ]


def test_finished_bodies_go_and_refused_ones_stay_as_long_as_is_set(folder: Folder) -> None:
    with ServerProcess(folder) as server:
        assert server.submit(body(1)).status == 200
        assert server.stop() == 0
    assert bodies(folder) == [body(1)]
    with ServerProcess(folder, *QUICK) as server:
        assert server.submit(body(2)).status == 200
        until(lambda: body(1) not in bodies(folder), "the first body gone")
        assert server.submit(REFUSED).status == 400
        assert server.stop() == 0
    with ServerProcess(folder, *QUICK) as server:
        assert server.submit(body(3)).status == 200
        # The answer of what is gone from the inbox is in the ledger.
        assert server.submit(body(1)).is_replayed
        assert server.stop() == 0
    assert REFUSED in bodies(folder)
    with ServerProcess(folder, *QUICK, "--inbox-evidence-s", "0.01") as server:
        assert server.submit(body(4)).status == 200
        until(lambda: REFUSED not in bodies(folder), "the refused body gone")
        assert server.stop() == 0
    code, report = folder.fsck()
    assert (code, report["records"], report["undecided_inbox"]) == (0, 4, 0)
