"""A running server reads what it stored again, and says what rotted; nothing is fenced by that."""

from tests.support.forked import run_command
from tests.support.server_disk import LEDGER, batches, flip
from tests.support.server_process import Folder, ServerProcess, until
from tests.support.signed import body

OFTEN = ("--scrub-interval-s", "0.1", "--scrub-bytes-per-s", "100000000")
DAMAGED = b'flk_scrub_problems{kind="ledger_damaged"} 1.0'


def scrubbed_since(server: ServerProcess, at: float) -> bool:
    (line,) = (
        each
        for each in server.ask("GET", "/metrics").body.splitlines()
        if each.startswith(b"flk_scrub_last_finished_seconds ")
    )
    return float(line.split()[1]) > at


def test_a_flipped_bit_is_found_beside_requests_and_forgotten_when_it_is_mended(
    folder: Folder,
) -> None:
    with ServerProcess(folder, *OFTEN) as server:
        for epoch in (1, 2, 3):
            assert server.submit(body(epoch)).status == 200
        until(lambda: scrubbed_since(server, 0.0), "a scrub")
        assert DAMAGED not in server.ask("GET", "/metrics").body
        _, second, _ = batches(folder.data, LEDGER)
        flip(second.path, second.start + 400)
        until(lambda: DAMAGED in server.ask("GET", "/metrics").body, "the damage in the metrics")
        assert server.ask("GET", "/ready").status == 200
        assert server.submit(body(4)).status == 200
        assert b'"code": "ledger_damaged"' in server.log.read_bytes()
        flip(second.path, second.start + 400)
        until(lambda: DAMAGED not in server.ask("GET", "/metrics").body, "a sound scrub")
        assert server.stop() == 0


def test_a_server_scrubs_nothing_wrong_while_it_is_written(folder: Folder) -> None:
    flags = (*OFTEN, "--index-flush-records", "3", "--segment-bytes-max", "300000")
    with ServerProcess(folder, *flags) as server:
        for epoch in range(200):
            assert server.submit(body(epoch)).status == 200
        until(lambda: scrubbed_since(server, 0.0), "a scrub")
        assert server.stop() == 0
        assert b"scrub found" not in server.log.read_bytes()
        assert b"scrub ended early" not in server.log.read_bytes()


def test_scrub_reads_once_by_hand_and_ends_as_fsck_does(folder: Folder) -> None:
    with ServerProcess(folder) as server:
        server.submit(body(1))
        done = run_command("fractal-server", "scrub", "--config", folder.config)
        assert (done.returncode, b'"records": 1' in done.stdout) == (0, True)
        assert server.stop() == 0
    (first,) = batches(folder.data, LEDGER)
    flip(first.path, first.start + 400)
    done = run_command("fractal-server", "scrub", "--config", folder.config)
    assert (done.returncode, b"ledger_damaged" in done.stdout) == (1, True)
