"""Start a server that listens on a port, wait until it answers, stop it by its id."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SECONDS_MAX: Final = 30


@contextmanager
def started(command: list[str], port: int, log: Path) -> Iterator[None]:
    """Run a server for as long as the block runs.

    Raises:
        RuntimeError: It ended, or did not listen in time; its own words are in the message.
    """
    with (
        log.open("ab") as stream,
        subprocess.Popen(command, stdout=stream, stderr=stream) as process,
    ):
        try:
            until = time.monotonic() + SECONDS_MAX
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(
                        f"{command[0]}: expected it to listen, got {log.read_text()[-500:]}"
                    )
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(SECONDS_MAX)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
