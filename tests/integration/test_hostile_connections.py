"""Ten thousand connections, and others that only want to be open: shed, and callers are served."""

import itertools
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from tests.support.pki import Authority
from tests.support.server_process import SERVER, Folder, NotStartedError, ServerProcess, until
from tests.support.siege import MIB, Honest, Peak, besieged, open_connections
from tests.support.signed import body
from tests.support.wire import Wire, head_of_submission, request, submission

CROWD = 10_000
PROCESSES = 4
CHUNKED = (b"Content-Length: 0", b"Transfer-Encoding: chunked")
CONNECTIONS_MAX = 4_096
"""The default: a quarter of the crowd would do without the bound of an address."""
LINGERING_MAX = 64


@contextmanager
def crowd(server: ServerProcess, count: int, first: int, sent: bytes = b"") -> Iterator[None]:
    """Open so many connections, a thousand from each address, and hold them."""
    each = count // PROCESSES
    with ExitStack() as stack:
        members = [
            stack.enter_context(
                subprocess.Popen(
                    [
                        *(sys.executable, "-m", "tests.support.crowd"),
                        *("--port", str(server.address[1]), "--count", str(each)),
                        *("--first", str(first + number * (each // 1_000 + 1))),
                        *("--sent", sent.hex()),
                    ],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            for number in range(PROCESSES)
        ]
        for member in members:
            assert member.stdout is not None
            assert json.loads(member.stdout.readline()) == {"opened": each}
        yield
        for member in members:
            member.communicate()
            assert member.returncode == 0


def test_ten_thousand_idle_connections_are_shed_and_callers_are_served(folder: Folder) -> None:
    with besieged(folder) as server, Wire(server.address) as known, Honest(server) as honest:
        token = {"Authorization": f"Bearer {folder.token('acme', 'submit')}"}
        assert known.submit(body(1), token).status == 200
        peak = Peak(server.process.pid)
        with crowd(server, CROWD, first=10, sent=b"POST /v1/pcs/submit HTTP/1.1\r\nHost:"):
            # Who was not accepted yet is connected all the same, and so are for a while the last of
            # those that were cut.
            most = CONNECTIONS_MAX + LINGERING_MAX
            until(lambda: open_connections(server) <= most, "the rest is shed")
            # Who was identified keeps the connection, and who comes now gets one.
            assert known.submit(body(1), token).is_replayed
            assert server.submit(body(2), token).status == 200
            honest.served()
            # 16 KiB each.
            assert peak.growth < CONNECTIONS_MAX * 16 * 1024
        until(lambda: open_connections(server) <= 2, "what hung up is gone")
        assert known.submit(body(1), token).is_replayed


def test_one_address_has_only_its_part(folder: Folder) -> None:
    flags = ("--connections-max=100", "--connections-per-address-max=50")
    with besieged(folder, *flags) as server, ExitStack() as stack:
        wires = [stack.enter_context(Wire(server.address)) for _ in range(50)]
        with Wire(server.address) as over:
            assert over.reply().status == 503
            assert over.is_ended()
        with Wire(server.address, source="127.0.0.2") as elsewhere:
            assert elsewhere.submit(body(1)).status == 200
        assert [wire.ask("GET", "/health").status for wire in wires] == [200] * 50


def test_what_waited_longest_without_a_request_makes_room(folder: Folder) -> None:
    with besieged(folder, "--connections-max=3") as server, ExitStack() as stack:
        first, second, third = (stack.enter_context(Wire(server.address)) for _ in range(3))
        assert [wire.ask("GET", "/health").status for wire in (second, third, first)] == [200] * 3
        fourth = stack.enter_context(Wire(server.address))
        assert fourth.ask("GET", "/health").status == 200
        assert second.is_ended()
        assert b'flk_connections_cut_total{why="room"} 1.0' in fourth.ask("GET", "/metrics").body
        assert [wire.ask("GET", "/health").status for wire in (third, first)] == [200] * 2


def test_who_is_at_work_or_known_is_not_shed(folder: Folder) -> None:
    flags = ("--connections-max=2", "--body-timeout-s=60")
    sent = body(1)
    with (
        besieged(folder, *flags) as server,
        Wire(server.address) as known,
        Wire(server.address) as at_work,
    ):
        token = {"Authorization": f"Bearer {folder.token('acme', 'submit')}"}
        assert known.submit(body(2), token).status == 200
        at_work.send(submission(sent, {"Expect": "100-continue"})[: -len(sent)])
        assert at_work.reply().status == 100
        with Wire(server.address) as over:
            answer = over.reply()
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert over.is_ended()
        at_work.send(sent)
        assert at_work.reply().status == 200
        assert known.submit(body(2), token).is_replayed


def test_more_connections_than_files_are_refused_at_start(folder: Folder) -> None:
    with pytest.raises(NotStartedError, match="connections_max: expected at most") as caught:
        ServerProcess(folder, "--connections-max=1000000000")
    assert caught.value.code == 2


def test_a_soft_limit_of_open_files_is_raised_to_what_is_needed(folder: Folder) -> None:
    command = ["/bin/sh", "-c", 'ulimit -Sn 64; exec "$@"', "sh"]
    with ExitStack() as stack:
        server = stack.enter_context(
            ServerProcess(folder, "--connections-max=200", command=[*command, str(SERVER), "run"])
        )
        wires = [stack.enter_context(Wire(server.address)) for _ in range(150)]
        assert wires[-1].submit(body(1)).status == 200
        assert wires[0].ask("GET", "/ready").status == 200


def trickles(folder: Folder) -> list[tuple[bytes, bytes]]:
    """Return how a request begins and what comes of it now and then, none of them with an end."""
    token = {"Authorization": f"Bearer {folder.token('acme', 'submit')}"}
    lines = {"Content-Type": "application/x-ndjson", "Content-Length": "9000000", **token}
    return [
        (b"POST /v1/pcs/submit HTTP/1.1\r\nHost: x\r\nX: ", b"x"),
        (head_of_submission(60_000, token), b" "),
        (head_of_submission(0, token).replace(*CHUNKED), b"1\r\n \r\n"),
        (request("POST", "/v1/pcs/batch", headers=lines), b" "),
    ]


def test_whoever_trickles_meets_a_deadline_however_it_goes_on(folder: Folder) -> None:
    flags = ("--body-timeout-s=1", "--batch-timeout-s=1", "--idle-timeout-s=1")
    with besieged(folder, *flags) as server, Honest(server) as honest, ExitStack() as stack:
        peak = Peak(server.process.pid)
        wires = [
            (drop, stack.enter_context(Wire(server.address, source=f"127.0.0.{2 + number % 3}")))
            for number in range(100)
            for _, drop in trickles(folder)
        ]
        for (begin, _), (_, wire) in zip(trickles(folder) * 100, wires, strict=True):
            wire.send(begin)

        drops = itertools.count()

        def all_are_cut() -> bool:
            next(drops)
            # Bytes that keep coming do not move the deadline.
            wires[:] = [(drop, wire) for drop, wire in wires if wire.try_to_send(drop)]
            return not wires

        until(all_are_cut, "every trickle has met its deadline")
        assert next(drops) < 8_000  # by its time: over 8,190 a header is refused for its size
        honest.served()
        assert peak.growth < 400 * 64 * 1024


def test_an_answer_that_is_not_taken_in_time_is_cut(folder: Folder) -> None:
    blank = request(
        "POST", "/v1/pcs/batch", b"\n" * 4_000, {"Content-Type": "application/x-ndjson"}
    )
    with (
        besieged(folder, "--answer-timeout-s=0.5") as server,
        Wire(server.address, receive_bytes=4_096) as wire,
    ):
        wire.send(blank)  # its answer is a megabyte

        def is_counted() -> bool:
            metrics = server.ask("GET", "/metrics").body
            return b'flk_connections_cut_total{why="unread"} 1.0' in metrics

        until(is_counted, "the answer is cut")
        assert wire.is_cut()


def test_handshakes_that_are_never_finished_make_room(folder: Folder) -> None:
    authority = Authority(folder.path / "pki")
    own = authority.issue("own")
    stranger = Authority(folder.path / "pki", "other").issue("stranger")
    flags = (
        f"--tls-certificate={own.certificate}",
        f"--tls-key={own.key}",
        f"--tls-client-ca={authority.path}",
        "--tls-handshake-timeout-s=3600",
        "--connections-max=50",
    )
    hello = bytes.fromhex("1603010200010001fc0303") + bytes(64)
    with besieged(folder, *flags) as server, ExitStack() as stack:
        peak = Peak(server.process.pid)
        for number in range(300):
            raw = stack.enter_context(socket.create_connection(server.address, timeout=30))
            with suppress(ConnectionError):
                raw.sendall((b"", hello[:20], hello, b"GET / HTTP/1.1\r\n\r\n")[number % 4])
            if number % 50 == 0:
                assert server.ask("GET", "/health", tls=authority.client()).status == 200
                with pytest.raises((ssl.SSLError, OSError)):
                    server.ask("GET", "/health", tls=authority.client(stranger))
        assert server.submit(body(3), tls=authority.client()).status == 200
        until(lambda: open_connections(server) <= 50, "the rest is shed")
        # OpenSSL's state of a handshake is about 100 KiB.
        assert peak.growth < 50 * 256 * 1024 + 8 * MIB
