"""Over its disk budget a server refuses bodies before they are logged, and goes on by itself."""

import re

from tests.support.server_process import Folder, ServerProcess, until
from tests.support.signed import body


def gauge(server: ServerProcess, name: str) -> float:
    text = server.ask("GET", "/metrics").body.decode()
    (value,) = re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(value)


def test_a_full_budget_is_a_503_before_the_inbox_and_ends_when_there_is_room(
    folder: Folder,
) -> None:
    flags = ("--disk-bytes-max", "40000000", "--disk-poll-s", "0.05")
    ballast = folder.data / "ballast"
    with ServerProcess(folder, *flags) as server:
        assert server.submit(body(1)).status == 200
        assert gauge(server, "flk_disk_room_bytes") > 0
        ballast.write_bytes(b"x" * 40_000_000)
        until(lambda: server.ask("GET", "/ready").status == 503, "the disk to be full")
        (reason,) = server.ask("GET", "/ready").json["reasons"]
        assert reason.startswith("disk: expected less than 40000000 bytes in the data folder, got")
        refused = server.submit(body(2))
        assert (refused.status, refused.json["code"]) == (503, "storage_unavailable")
        assert refused.headers["retry-after"] == "30"
        assert (
            gauge(server, "flk_disk_room_bytes") == gauge(server, "flk_disk_full_in_seconds") == 0
        )
        # What is known is still read.
        assert server.ask("GET", "/health").status == 200
        ballast.unlink()
        until(lambda: server.ask("GET", "/ready").status == 200, "room")
        assert server.submit(body(2)).status == 200
        assert server.stop() == 0
    code, report = folder.fsck()
    assert (code, report["records"], report["inbox_bodies"]) == (0, 2, 2)


def test_free_room_that_has_to_stay_is_refused_for_too(folder: Folder) -> None:
    with ServerProcess(folder, "--disk-free-bytes-min", str(1 << 52)) as server:
        answer = server.ask("GET", "/ready")
        assert answer.status == 503
        assert re.match(
            rf"disk: expected more than {1 << 52} bytes free", answer.json["reasons"][0]
        )
        assert server.submit(body(1)).status == 503
        assert server.stop() == 0
    assert folder.fsck()[1]["inbox_bodies"] == 0
