"""A server that gets no more memory: refusals, silence or its end; nothing acknowledged is lost."""

import contextlib
import http.client
import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from tests.support.server_process import WIDE_LANE, Folder, NotStartedError, ServerProcess
from tests.support.signed import body

MARGINS: Final = tuple(megabytes << 20 for megabytes in (16, 48, 80))
"""Left for a server beyond what it takes before it begins: too little to start, and on to some."""
FLAGS: Final = ("--index-map-bytes", str(1 << 24), *WIDE_LANE)
BATCHES: Final = 4
LINES: Final = 700
GONE: Final = (http.client.HTTPException, ConnectionError, TimeoutError)


def limit(margin: int) -> None:
    """Give a process that is going to be a server so much address space and no more."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + margin, taken + margin))


def batch(number: int) -> bytes:
    return b"\n".join(body(number * LINES + line) for line in range(LINES))


def send(server: ServerProcess, data: bytes) -> list[int]:
    """Return the statuses of a batch's lines, none where the whole was refused or unanswered."""
    with contextlib.suppress(*GONE):
        reply = server.batch(data)
        if reply.status == 200:
            return [line["status"] for line in reply.lines]
        assert reply.status in {429, 500, 503}, reply
    return []


@pytest.mark.timeout(300)
def test_a_server_out_of_memory_keeps_what_it_acknowledged(
    folder: Folder, tell: Callable[[str, str], None]
) -> None:
    batches = [batch(number) for number in range(BATCHES)]
    acknowledged: set[bytes] = set()
    met = []
    for margin in MARGINS:
        try:
            server = ServerProcess(folder, *FLAGS, plant=partial(limit, margin))
        except NotStartedError:
            met.append(f"{margin >> 20} MiB: no start")
            continue
        with server, ThreadPoolExecutor(BATCHES) as pool:
            answers = list(pool.map(partial(send, server), batches))
            for data, statuses in zip(batches, answers, strict=True):
                for line, status in zip(data.splitlines(), statuses, strict=False):
                    assert status in {200, 500, 503}, status
                    acknowledged |= {line} if status == 200 else set()
            refused = sum(LINES - statuses.count(200) for statuses in answers)
            if refused or "MemoryError" in server.log.read_text():
                met.append(f"{margin >> 20} MiB: {refused} of {BATCHES * LINES} not acknowledged")
    assert any("not acknowledged" in each for each in met), met

    with ServerProcess(folder, *FLAGS) as server:
        for data in batches:
            for line, answer in zip(data.splitlines(), server.batch(data).lines, strict=True):
                assert answer["status"] == 200, answer
                assert line not in acknowledged or answer["replayed"]
        assert server.stop() == 0
    code, report = folder.fsck()
    assert (code, report["records"], report["undecided_inbox"]) == (0, BATCHES * LINES, 0)
    tell("faults", f"a limit of memory: {'; '.join(met)}")
