"""Kill the real server, again and again: nothing acknowledged is lost, nothing is decided twice."""

import json
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.faulty_server import check_here
from tests.support.load import Connection, Load, check, id_of, record_of
from tests.support.server_process import WIDE_LANE, Folder, NotStartedError, ServerProcess

from fractal_lba.protocol.timestamps import format_timestamp
from fractal_lba.server.core import entry as entries
from fractal_lba.server.core import inbox_frame, names
from fractal_lba.wal import Damage, Frame, RealDisk, scan_folder

KILLS = 20
ACKNOWLEDGED_MIN = 100
CONNECTIONS = 8
SEED = 20261101
LATE = 1_000_000
"""An epoch no load reaches."""
FSCK_EACH = 5
SMALL = (
    *("--segment-bytes-max", "400000", "--index-flush-records", "60"),
    *("--inbox-trim-s", "0.05"),
    *WIDE_LANE,
)
"""Segments and index commits small enough for kills to meet rotations and commits."""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "server")


def frames(folder: Path, stream: str) -> Iterator[Frame]:
    for item in scan_folder(RealDisk(), folder, stream):
        if isinstance(item, Damage):
            assert not item.is_loss, item
        else:
            yield item[1]


def ledger(folder: Folder) -> list[entries.Entry]:
    return [
        entries.decode_entry(frame.meta, frame.payload)
        for frame in frames(folder.data / "shard-0" / names.LEDGER, "shard-0/ledger")
    ]


def decided_ids(folder: Folder) -> set[str]:
    return {entry.pcs_id for entry in ledger(folder) if isinstance(entry, entries.Decision)}


def left_open(folder: Folder, load: Load) -> tuple[int, dict[str, int]]:
    """Return how many bodies are open, and which will get a decision: ids, with their receipts.

    What is finished has one, or was refused.
    """
    bodies: dict[int, tuple[list[str], int]] = {}
    finished: set[str] = set()
    for frame in frames(folder.data / names.inbox(0), names.inbox(0)):
        if inbox_frame.decode_received(frame.meta) is None:
            for seq in inbox_frame.decode_finished(frame.payload):
                if seq in bodies:
                    finished.update(bodies.pop(seq)[0])
        else:
            ids = [json.loads(line)["pcs_id"] for line in frame.payload.splitlines()]
            bodies[frame.seq] = ids, frame.received_ns
    excluded = decided_ids(folder) | {id_of(epoch) for epoch in load.forged}
    assert finished <= excluded
    found: dict[str, int] = {}
    for ids, received_ns in bodies.values():
        for pcs_id in set(ids) - excluded:
            found.setdefault(pcs_id, received_ns)
    return len(bodies), found


def assert_decided_as_received(server: ServerProcess, left: dict[str, int]) -> None:
    with closing(Connection(server)) as connection:
        for pcs_id, received_ns in left.items():
            stored = connection.get(pcs_id)
            assert stored.status == 200, (pcs_id, stored)
            assert stored.json["received_at"] == format_timestamp(received_ns // 1_000_000)


def assert_each_once(folder: Folder, load: Load) -> None:
    """Hold the whole folder to everything that was ever acknowledged."""
    with ServerProcess(folder) as server:
        check(server, load, load.acknowledged)
        with closing(Connection(server)) as connection:
            for epoch in load.forged:
                assert connection.get(id_of(epoch)).status == 404
        assert server.stop() == 0
    code, report = folder.fsck()
    assert (code, report["problems"], report["stored_twice"]) == (0, [], 0), report
    assert report["undecided_inbox"] == 0
    decisions = [entry for entry in ledger(folder) if isinstance(entry, entries.Decision)]
    evidence = [entry for entry in ledger(folder) if isinstance(entry, entries.Conflict)]
    assert report["records"] == len(decisions) == len({entry.pcs_id for entry in decisions})
    assert {id_of(epoch) for epoch in load.acknowledged} <= {entry.pcs_id for entry in decisions}
    assert report["conflicts"] == len(evidence) == len({entry.pcs_id for entry in evidence})
    assert {id_of(epoch) for epoch in load.conflicts} <= {entry.pcs_id for entry in evidence}


@pytest.mark.starts_first
def test_twenty_kills_under_load_lose_nothing_and_decide_nothing_twice(
    folder: Folder, tell: Callable[[str, str], None]
) -> None:
    chance = random.Random(SEED)  # noqa: S311 - which moment, not a secret
    load = Load()
    left: dict[str, int] = {}
    before = counted = with_open = with_undecided = 0
    while counted < KILLS:
        server = ServerProcess(folder, *SMALL)
        older = chance.sample(sorted(load.acknowledged), k=min(20, len(load.acknowledged)))
        recovered = check(server, load, {*list(load.acknowledged)[before:], *older})
        assert_decided_as_received(server, left)
        before = len(load.acknowledged)

        run = load.start(server, connections=CONNECTIONS)
        run.wait_for(ACKNOWLEDGED_MIN + chance.randrange(60), in_flight=chance.randint(1, 4))
        in_flight = run.kill()
        assert not load.wrong, load.wrong
        counted += in_flight > 0

        still_open, left = left_open(folder, load)
        if counted % FSCK_EACH == 0:
            report = check_here(folder)
            assert report.is_sound, report
            assert report.undecided_inbox == still_open
        with_open += still_open > 0
        with_undecided += bool(left)
        tell(
            "kills",
            f"kill {counted:2}: in flight {in_flight}, acknowledged {run.acknowledged},"
            f" recovered {recovered}; open in the inbox {still_open},"
            f" of them undecided {len(left)}",
        )
    assert_each_once(folder, load)
    tell(
        "kills",
        f"{counted} kills: {len(load.acknowledged)} acknowledged,"
        f" {load.repeats_in_flight} sent twice at once, {len(load.conflicts)} conflicts,"
        f" {len(load.forged)} forged, answers {dict(load.statuses)},"
        f" {len(load.unanswered)} unanswered; {with_open} kills left open frames,"
        f" {with_undecided} undecided ones",
    )
    assert with_open
    assert with_undecided


def test_a_server_stopped_in_mid_load_by_sigterm_answers_what_it_took(folder: Folder) -> None:
    load = Load()
    for _ in range(3):
        with ServerProcess(folder, *SMALL) as server:
            run = load.start(server, connections=CONNECTIONS)
            run.wait_for(ACKNOWLEDGED_MIN, in_flight=2)
            server.process.terminate()
            run.end()
            assert server.stop() == 0
        assert not load.wrong, load.wrong
        code, report = folder.fsck()
        assert (code, report["undecided_inbox"], report["torn_bytes"]) == (0, 0, 0), report
    assert_each_once(folder, load)


def test_a_server_frozen_and_woken_late_answers_as_before_and_lets_no_second_one_in(
    folder: Folder,
) -> None:
    load = Load()
    with ServerProcess(folder, *SMALL) as server:
        for _ in range(3):
            run = load.start(server, connections=CONNECTIONS)
            run.wait_for(ACKNOWLEDGED_MIN, in_flight=2)
            server.process.send_signal(signal.SIGSTOP)
            # Frozen, it still holds its folder: nobody else decides meanwhile.
            with pytest.raises(NotStartedError) as refused:
                ServerProcess(folder)
            assert refused.value.code == 2
            server.process.send_signal(signal.SIGCONT)
            run.end()
        assert not load.wrong, load.wrong
        assert server.stop() == 0
    assert_each_once(folder, load)


def test_a_frozen_server_that_is_killed_leaves_its_folder_to_the_next(folder: Folder) -> None:
    load = Load()
    with ServerProcess(folder, *SMALL) as server:
        run = load.start(server, connections=CONNECTIONS)
        run.wait_for(ACKNOWLEDGED_MIN, in_flight=2)
        server.process.send_signal(signal.SIGSTOP)
        # What is sent from here on is in flight, whatever was answered just before.
        with closing(Connection(server)) as late:
            late.send(record_of(LATE))
            run.kill()
            with pytest.raises(ConnectionError):
                late.answer()
    assert not load.wrong, load.wrong
    assert_each_once(folder, load)


def test_servers_killed_right_after_they_are_ready_recover_every_time(folder: Folder) -> None:
    load = Load()
    with ServerProcess(folder, *SMALL) as server:
        run = load.start(server, connections=CONNECTIONS)
        run.wait_for(ACKNOWLEDGED_MIN)
        run.kill()
    for _ in range(5):
        ServerProcess(folder, *SMALL).kill()
    assert not load.wrong, load.wrong
    assert_each_once(folder, load)
