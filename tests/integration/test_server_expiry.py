"""What is kept no longer is forgotten, and the same bytes are never decided a second time."""

import shutil
import time
from functools import partial
from typing import Final

from tests.integration.test_server_clock import jump_to, skew
from tests.support.server_process import Folder, ServerProcess, until
from tests.support.signed import body

from fractal_lba.protocol.timestamps import format_timestamp

DAY_S: Final = 86_400
FLAGS: Final = ("--expire-interval-s", "0.05", "--segment-age-s", "0.001")


def stamped(epoch: int, days: int = 0) -> bytes:
    """Return a record that was made so many days from now."""
    at_ms = int((time.time() + days * DAY_S) * 1_000)
    return body(epoch, created_at=format_timestamp(at_ms))


def test_a_forgotten_record_is_gone_and_its_bytes_are_refused_for_good(folder: Folder) -> None:
    offset = folder.path / "offset"
    jump_to(offset, 0)
    plant = partial(skew, offset)
    sent = stamped(1)
    with ServerProcess(folder, "--horizon-days", "1", plant=plant) as server:
        assert server.submit(sent).status == 200
        assert server.stop() == 0
    jump_to(offset, 3 * DAY_S)
    with ServerProcess(folder, *FLAGS, "--horizon-days", "1", plant=plant) as server:
        until(
            lambda: b"flk_forgotten_total 1.0" in server.ask("GET", "/metrics").body,
            "a record forgotten",
        )
        assert server.submit(sent).json["code"] == "beyond_horizon"
        until(
            lambda: b"flk_ledger_removed_bytes_total 0.0" not in server.ask("GET", "/metrics").body,
            "a segment removed",
        )
        assert server.stop() == 0
    shutil.rmtree(folder.path / "data/shard-0/index")
    # Neither a longer horizon nor an index that is built again brings anything back.
    with ServerProcess(folder, *FLAGS, "--horizon-days", "4000", plant=plant) as server:
        refused = server.submit(sent)
        assert (refused.status, refused.json["code"]) == (410, "beyond_horizon")
        # Done again over the same window it is a new record, with an answer of its own.
        again = server.submit(stamped(1, days=3))
        assert (again.status, again.is_replayed) == (200, False)
        assert server.submit(stamped(1, days=3)).is_replayed
        assert server.stop() == 0
    code, report = folder.fsck()
    assert (code, report["records"], report["problems"]) == (0, 1, []), report
