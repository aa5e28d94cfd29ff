"""Real processes: a second one is refused by name, and a killed one leaves its lock to the next."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.wal_streams import NAME, labels_of, new_frame, open_stream

from fractal_lba.protocol.errors import LockedError
from fractal_lba.wal import RealDisk, lock_folder

HOLDER = f"""
import sys
from pathlib import Path
from fractal_lba.wal import NewFrame, RealDisk, Stream, lock_folder

folder = Path(sys.argv[2])
if sys.argv[1] == "stream":
    held = Stream.open(RealDisk(), folder, {NAME!r})
    held.append([NewFrame(1, b"", b"from the holder")])
else:
    held = lock_folder(RealDisk(), folder)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(what: str, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run a process that holds a stream or a folder until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, what, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_second_process_on_a_stream_is_refused_by_name(tmp_path: Path) -> None:
    with holder("stream", tmp_path / "s") as process:
        with pytest.raises(LockedError) as refused:
            open_stream(tmp_path / "s")
        assert str(refused.value) == (
            f"stream {NAME}: expected no other process, got pid {process.pid}"
        )


def test_a_second_process_on_a_data_folder_is_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with holder("folder", folder) as process:
        with pytest.raises(LockedError) as refused:
            lock_folder(RealDisk(), folder)
        assert str(refused.value) == (
            f"data folder {folder}: expected no other process, got pid {process.pid}"
        )


def test_a_process_that_was_killed_leaves_its_stream_to_the_next(tmp_path: Path) -> None:
    with holder("stream", tmp_path / "s") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        stream = open_stream(tmp_path / "s")
        assert labels_of(stream) == {1: "from the holder"}
        stream.append([new_frame("after")])
        stream.close()


def test_a_stopped_process_keeps_its_stream(tmp_path: Path) -> None:
    # A zombie that goes on later must not find that another one wrote in between.
    with holder("stream", tmp_path / "s") as process:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(LockedError):
            open_stream(tmp_path / "s")
        process.send_signal(signal.SIGCONT)


def test_a_stream_is_locked_against_its_own_process_too(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "s")
    with pytest.raises(LockedError):
        open_stream(tmp_path / "s")
    stream.close()
    open_stream(tmp_path / "s").close()
