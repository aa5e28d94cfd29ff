"""A server with native code beside one without: the same answers, byte for byte."""

import re
import sys
from pathlib import Path

import pytest
from tests.support.checked_twice import needs_native
from tests.support.server_process import WIDE_LANE, Folder, ServerProcess
from tests.support.signed import ACME_NEXT, GLOBEX, body, members

pytestmark = needs_native

# A program of its own: native code is loaded, or left aside, once for a process.
PROGRAM = [sys.executable, "-m", "fractal_lba.server"]
RECEIVED = re.compile(rb'"received_at":"[^"]*"|"first_received_at":"[^"]*"|"request_id":"[^"]*"')


def lines() -> list[bytes]:
    """Return lines of every kind: taken natively, left to Python, and refused."""
    sound = [body(epoch) for epoch in range(40)] + [
        body(epoch, signer=signer) for signer in (ACME_NEXT, GLOBEX) for epoch in range(100, 120)
    ]
    odd = [
        body(200, regime="sticky"),
        body(201, D_hat=3.0),
        body(202).replace(b",", b", ", 1),
        body(203).replace(b'"n":64', b'"n":6.4e1'),
        body(204).replace(b'"n":64', b'"n":65'),
        body(205).replace(b"acme-1", b"acme-9"),
        body(0),
        body(1, window="another"),
        b"{}",
        b"[1",
        b"\xff",
    ]
    assert members(0)["n"] == 64
    return [*sound, *odd, *sound[:3]]


def settled(folder: Path, monkeypatch: pytest.MonkeyPatch, switch: str) -> tuple[list[bytes], str]:
    """Return the answers to a batch, without when they were given, and what the log says."""
    monkeypatch.setenv("FLBA_NATIVE", switch)
    with ServerProcess(Folder(folder), *WIDE_LANE, command=[*PROGRAM, "run"]) as server:
        answers = server.batch(b"\n".join(lines())).body.splitlines()
        assert server.stop() == 0
        (ready,) = [line for line in server.log_lines() if line["event"] == "ready"]
    code, report = server.folder.fsck()
    assert (code, report["undecided_inbox"], report["stored_twice"]) == (0, 0, 0)
    return [RECEIVED.sub(b"", answer) for answer in answers], ready["native"]


def test_a_batch_is_answered_the_same_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    natively, yes = settled(tmp_path / "native", monkeypatch, "1")
    in_python, no = settled(tmp_path / "python", monkeypatch, "0")
    assert (yes, no) == ("yes", "FLBA_NATIVE=0")
    assert natively == in_python
    assert len(natively) == len(lines())
