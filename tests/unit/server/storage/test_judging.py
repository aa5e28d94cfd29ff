"""The note beside an inbox over disks that fail, and trials in processes that end."""

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.failing_disk import FailingDisk

from fractal_lba.keyfile import write_private
from fractal_lba.protocol.errors import ContractError, DurabilityError
from fractal_lba.server.core.inbox_frame import BATCH, Received
from fractal_lba.server.core.poison import (
    POISON_MAX,
    Note,
    Task,
    Tried,
    encode_note,
    encode_task,
    last_step,
)
from fractal_lba.server.ports import InboxFrame
from fractal_lba.server.storage import trial_process
from fractal_lba.server.storage.judging import Judging, read_note
from fractal_lba.server.storage.trial_process import RECORDS_OF_A_BODY_MAX, TrialProcess
from fractal_lba.server.telemetry.metrics import Metrics
from fractal_lba.wal import Disk, RealDisk

CHILD = """
import os, sys
from fractal_lba.server.core.poison import Task, decode_task, encode_step
task = decode_task(sys.stdin.buffer.read())
step = task.step
for at in range(task.first, len(task.bodies)):
    for number, record in enumerate((task.bodies[at].body, *task.bodies[at].records())):
        if number >= step:
            os.write(1, encode_step(at, number))
            if record == b"hangs":
                os.read(os.pipe()[0], 1)
            if record in (b"ends", b"ends whole"):
                os._exit(3)
    step = 0
"""
"""Ends over the record ``ends``, and before it looks into the body ``ends whole``."""


def opened(path: Path, disk: Disk | None = None) -> Judging:
    judging = Judging(disk or RealDisk(), path, meter=Metrics(), clock=lambda: 0)
    asyncio.run(judging.load())
    return judging


def frames(*bodies: bytes, route: str = BATCH) -> list[InboxFrame]:
    return [
        InboxFrame(seq=seq, received_ns=0, received=Received(route=route), body=body)
        for seq, body in enumerate(bodies)
    ]


def tried(bodies: Sequence[InboxFrame], *command: str) -> list[bytes]:
    return asyncio.run(TrialProcess(command or (sys.executable, "-c", CHILD))(bodies))


def test_what_was_noted_is_there_for_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "note"
    judging = opened(path)
    asyncio.run(judging.begin([3, 4]))
    assert opened(path).suspects == {3, 4}
    asyncio.run(judging.clear([b"ends"]))
    after = opened(path)
    assert after.suspects == {3, 4}
    assert [after.is_poison(each) for each in (b"ends", b"")] == [True, False]
    asyncio.run(judging.end())
    assert opened(path).suspects == frozenset()
    assert opened(path).is_poison(b"ends")


def test_of_too_much_poison_the_oldest_is_forgotten(tmp_path: Path) -> None:
    judging = opened(tmp_path / "note")
    bodies = [b"%d" % number for number in range(POISON_MAX + 1)]
    asyncio.run(judging.clear(bodies))
    assert [judging.is_poison(each) for each in (bodies[0], bodies[1], bodies[-1])] == [
        *(False, True, True)
    ]


def test_a_damaged_note_is_begun_anew_and_a_newer_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "note"
    path.write_bytes(b"{")
    assert opened(path).suspects == frozenset()
    path.write_bytes(encode_note(Note(format_version=2)))
    with pytest.raises(ContractError, match="got 2"):
        opened(path)


def test_a_disk_that_fails_leaves_the_old_note_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "note"
    counting = FailingDisk(RealDisk())
    judging = opened(path, counting)
    begun = len(counting.calls)
    asyncio.run(judging.begin([1]))
    calls = len(counting.calls)
    for call in range(1, calls + 1):
        path.unlink(missing_ok=True)
        disk = FailingDisk(RealDisk(), fail_at=call)
        with pytest.raises(DurabilityError):
            asyncio.run(opened(path, disk).begin([1]))
        assert disk.has_failed
        assert read_note(RealDisk(), path).run in {(), (1,)}
    assert calls > begun


def test_what_ends_a_process_is_found_and_everything_else_is_tried() -> None:
    bodies = frames(b"a\nends\nb\nends", b"c", b"ends whole", b"d\nends")
    assert tried(bodies) == [b"ends", b"ends", b"ends whole", b"ends"]
    assert tried(frames(b"a", b"b\nc")) == []
    assert tried(frames(b"ends", route="submit")) == [b"ends"]


def test_a_batch_of_much_poison_is_poison_as_a_whole() -> None:
    batch = b"\n".join([b"ends"] * (RECORDS_OF_A_BODY_MAX + 5))
    assert tried(frames(batch, b"a\nends")) == [*[b"ends"] * RECORDS_OF_A_BODY_MAX, batch, b"ends"]


def test_what_does_not_end_in_time_counts_as_what_ends_a_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trial_process, "TRIAL_S_MAX", 5.0)
    assert tried(frames(b"a\nhangs")) == [b"hangs"]


@pytest.mark.parametrize(
    "command", [("/nowhere/no-such-command",), (sys.executable, "-c", "raise SystemExit(2)")]
)
def test_a_process_that_cannot_try_finds_nothing(command: tuple[str, ...]) -> None:
    assert tried(frames(b"ends"), *command) == []


def test_a_stop_of_the_server_in_the_middle_of_a_trial_makes_no_poison(tmp_path: Path) -> None:
    keyring = tmp_path / "keyring.json"
    write_private(keyring, b'{"keys": []}')
    (frame,) = frames(b"{}\n" * 4_000)
    task = encode_task(Task((Tried(frame.received, frame.body),), 0, 0))
    said, end = os.pipe()
    # A pipe that takes a page and is not read holds the trial in the middle of the batch.
    fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 4_096)
    with (tmp_path / "task").open("w+b") as given, open(said, "rb") as reader:  # noqa: PTH123 - no path
        given.write(task)
        given.seek(0)
        command = (sys.executable, "-m", "fractal_lba.server.trial", str(keyring))
        with subprocess.Popen(command, stdin=given, stdout=end) as process:
            os.close(end)
            first = reader.read(1)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                process.send_signal(number)
            assert last_step(first + reader.read()) == (0, 4_000)
        assert process.returncode == 0


def test_what_another_inbox_found_to_be_poison_is_known_here_and_not_noted_again(
    tmp_path: Path,
) -> None:
    theirs, ours = (
        opened(tmp_path / "inbox-0-judging.json"),
        opened(tmp_path / "inbox-1-judging.json"),
    )
    asyncio.run(theirs.clear([b"ends"]))
    assert not ours.is_poison(b"ends")
    asyncio.run(ours.look_around())
    assert ours.is_poison(b"ends")
    assert not ours.is_poison(b"other")
    asyncio.run(ours.clear([b"ends"]))
    assert not (tmp_path / "inbox-1-judging.json").exists()
    # What is no note, or a later release's, says nothing and keeps nobody from the others.
    (tmp_path / "inbox-2-judging.json").write_bytes(b"no note")
    (tmp_path / "inbox-3-judging.json").write_bytes(b'{"format_version": 9}')
    asyncio.run(ours.look_around())
    assert ours.is_poison(b"ends")
    # Once the operator removed it, it may be judged again.
    (tmp_path / "inbox-0-judging.json").unlink()
    asyncio.run(ours.look_around())
    assert not ours.is_poison(b"ends")
