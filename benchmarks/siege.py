"""The memory of a server under siege, beside the bound that ``specs/server.md`` states for it.

Hostile callers come from this process, from many loopback addresses. A sample is how much more
memory the server takes at its highest than when it had just started (``VmHWM`` less the first
``VmRSS``), so that what an earlier round left behind counts as well. Linux alone.
"""

import gzip
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import psutil
from benchmarks.figures import Figure
from benchmarks.submit import prepare_server, real_command, serving, token_of

from fractal_lba.server.config import Settings

MIB: Final = 1 << 20
ROUNDS: Final = 5
CROWD: Final = 10_000
OF_AN_ADDRESS: Final = 1_000
IDLE_BYTES: Final = 16 * 1024
"""Of one idle connection, by ``runbooks/FlbaConnectionsCut.md``."""
BATCH_BYTES: Final = 64 * MIB
"""Of one batch that is inflated and decided."""
BOMBS: Final = 8
BOMB_BYTES: Final = 256 * MIB
BODIES: Final = 24
SECONDS_MAX: Final = 120.0
_OTHER_FILES: Final = 128


def resident(pid: int, name: str) -> int:
    """Return the bytes of a process that are in memory: ``VmRSS`` now, ``VmHWM`` at the highest."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{name}: expected a process that runs, got one that is gone")


def rounds(
    pid: int, port: int, siege: Callable[[int], None], count: int = ROUNDS
) -> tuple[float, ...]:
    """Lay siege so many times; return MiB above the beginning, at the highest, of each.

    Of the server and its workers together: each at its highest, whenever that was.
    """
    # The workers take what comes; the process that was started only watches them.
    pids = [pid, *(each.pid for each in psutil.Process(pid).children(recursive=True))]
    begin = sum(resident(each, "VmRSS") for each in pids)
    samples = []
    for _ in range(count):
        for each in pids:
            # 5: begin the high-water mark anew (proc_pid_clear_refs(5)).
            Path(f"/proc/{each}/clear_refs").write_text("5", encoding="ascii")
        siege(port)
        check_alive(port)
        samples.append((sum(resident(each, "VmHWM") for each in pids) - begin) / MIB)
    return tuple(samples)


def connect(port: int, number: int) -> socket.socket:
    """Return a connection to a server, the thousandth of them from another address."""
    connection = socket.socket()
    connection.settimeout(SECONDS_MAX)
    connection.bind((f"127.0.2.{1 + number // OF_AN_ADDRESS}", 0))
    connection.connect(("127.0.0.1", port))
    return connection


def check_alive(port: int) -> None:
    """Ask as somebody else.

    Raises:
        RuntimeError: The answer was not ``OK``: no figure of a server that serves nobody.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS_MAX) as honest:
        honest.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: honest.recv(4096), b""))
    if not answer.endswith(b"OK"):
        raise RuntimeError(f"siege: expected OK, got {answer[:80]!r}")


def idle(count: int) -> Callable[[int], None]:
    """Open so many connections, half a head on each, and hold them."""

    def siege(port: int) -> None:
        with ExitStack() as stack:
            for number in range(count):
                connection = stack.enter_context(connect(port, number))
                try:
                    connection.sendall(b"POST /v1/pcs/submit HTTP/1.1\r\nHost:")
                except ConnectionError:
                    continue  # it made room for another one at once
            check_alive(port)

    return siege


def head_of_batch(token: str, *headers: str) -> bytes:
    """Return the head of a batch; of callers without a token fewer are let in."""
    lines = (
        "POST /v1/pcs/batch HTTP/1.1",
        "Host: x",
        "Content-Type: application/x-ndjson",
        f"Authorization: Bearer {token}",
        *headers,
    )
    return "\r\n".join([*lines, "", ""]).encode()


def bombs(token: str) -> Callable[[int], None]:
    """Send batches at once that say a quarter of a gigabyte each, and read their answers."""
    bomb = gzip.compress(b"\0" * BOMB_BYTES, 1)
    head = head_of_batch(
        token, "Content-Encoding: gzip", "Connection: close", f"Content-Length: {len(bomb)}"
    )

    def siege(port: int) -> None:
        with ExitStack() as stack:
            thrown = [stack.enter_context(connect(port, number)) for number in range(BOMBS)]
            for connection in thrown:
                connection.sendall(head + bomb)
            for connection in thrown:
                expect(connection, b"413")

    return siege


def endless(token: str) -> Callable[[int], None]:
    """Send batches at once that do not end, as far as the server takes them."""
    head = head_of_batch(token, "Transfer-Encoding: chunked")
    chunk = b"40000\r\n" + b" " * 0x40000 + b"\r\n"

    def siege(port: int) -> None:
        with ExitStack() as stack:
            sending = [
                stack.enter_context(connect(port, number * OF_AN_ADDRESS // 4))
                for number in range(BODIES)
            ]
            for connection in sending:
                connection.sendall(head)
            while sending:
                sending = [connection for connection in sending if goes_on(connection, chunk)]

    return siege


def goes_on(connection: socket.socket, data: bytes) -> bool:
    """Send more, and tell whether the server took it."""
    try:
        connection.sendall(data)
    except ConnectionError:
        return False
    return True


def expect(connection: socket.socket, status: bytes) -> None:
    """Read the status of an answer.

    Raises:
        RuntimeError: It is another one.
    """
    line = connection.recv(4096).partition(b"\r\n")[0]
    if line.split()[1:2] != [status]:
        raise RuntimeError(f"siege: expected {status!r}, got {line!r}")


@contextmanager
def room_for(count: int) -> Iterator[int]:
    """Give how many connections, at most ``count``, this process may open meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, min(count + _OTHER_FILES, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield min(count, wanted - _OTHER_FILES)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def measure(folder: Path) -> list[Figure]:
    """Return the figures of this module."""
    prepare_server(folder)
    token = token_of(folder)
    settings = Settings()
    figures = []
    with room_for(CROWD) as count:
        for name, siege, bytes_max in (
            (
                f"{count:,} idle connections, {settings.connections_max:,} of them held",
                idle(count),
                settings.connections_max * IDLE_BYTES,
            ),
            (
                f"{BOMBS} gzip bombs of {BOMB_BYTES // MIB} MiB at once",
                bombs(token),
                settings.batches_at_once_max * BATCH_BYTES,
            ),
            (
                f"{BODIES} endless batches at once",
                endless(token),
                2 * settings.bytes_in_flight_max,
            ),
        ):
            with serving(real_command(folder), folder / "siege.log") as (pid, port):
                check_alive(port)
                figures.append(
                    Figure(
                        name=f"server memory under {name}",
                        unit="MiB",
                        samples=rounds(pid, port, siege),
                        at_most=bytes_max / MIB,
                    )
                )
    return figures
