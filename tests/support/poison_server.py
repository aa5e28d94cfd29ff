"""The real server with a parser that kills its process over some bodies.

``plant`` puts the bug into a server and has it try bodies in ``python -m
tests.support.poison_server``, which has it too.
"""

import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest
from tests.support.signed import body

from fractal_lba.protocol.versions import AnyRecord, parse_any_record
from fractal_lba.server import trial
from fractal_lba.server.app import Server
from fractal_lba.server.core import inbox_frame, names
from fractal_lba.server.core.inbox_frame import Received
from fractal_lba.wal import NewFrame, RealDisk, Stream

STREAM: Final = "poison"
COMMAND: Final = (sys.executable, "-m", "tests.support.poison_server")
_AUTHENTICATE: Final = import_module("fractal_lba.protocol.authenticate")
_QUICK: Final = import_module("fractal_lba.server.pipeline.quick")
_RECEIVED_NS: Final = 1_793_534_400_000_000_000


def poison(epoch: int) -> bytes:
    """Return a record that kills whoever parses it."""
    return body(epoch, shard_id=STREAM)


def _parse(data: bytes, *, accepts_legacy: bool) -> AnyRecord:
    if f'"{STREAM}"'.encode() in data:
        os.kill(os.getpid(), signal.SIGKILL)
    return parse_any_record(data, accepts_legacy=accepts_legacy)


def plant() -> None:
    """Put the bug into a process that is going to be a server."""
    patch = pytest.MonkeyPatch()  # for as long as the process lives
    patch.setattr(_AUTHENTICATE, "parse_any_record", _parse)
    patch.setattr(_QUICK, "NATIVE", None)  # the bug is one of Python's
    assert Server.__init__.__kwdefaults__ is not None
    patch.setitem(Server.__init__.__kwdefaults__, "trial", COMMAND)


def leave_open(data: Path, *bodies: bytes) -> None:
    """Leave bodies in an inbox as a server does that ends before it looked at them."""
    name = names.inbox(0)
    stream = Stream.open(RealDisk(), data / name, name)
    meta = inbox_frame.encode_received(Received())
    stream.append([NewFrame(received_ns=_RECEIVED_NS, meta=meta, payload=each) for each in bodies])
    stream.close()


if __name__ == "__main__":
    plant()
    trial.main()
