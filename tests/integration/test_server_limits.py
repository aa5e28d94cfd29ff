"""What bounds a flood, met over real sockets: size, time, rate, connections, what is in flight."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from tests.support.server_process import Folder, ServerProcess
from tests.support.signed import body
from tests.support.wire import Wire, head_of_submission, request, submission

from fractal_lba.server.core.inbox_frame import decode_received
from fractal_lba.wal import Damage, RealDisk, scan_folder
from fractal_lba.wal.framing import META_BYTES_MAX

BODY_MAX = 65_536
WAIT_S = 20.0


def padded(sent: bytes, size: int) -> bytes:
    """Return a body of this size: white space after the value is part of it."""
    return sent + b" " * (size - len(sent))


def chunked(sent: bytes, chunk: int = 16_000) -> bytes:
    head = submission(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    parts = [sent[start : start + chunk] for start in range(0, len(sent), chunk)]
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])


def until(is_true: Callable[[], bool]) -> None:
    """Ask again until it is true; a server that never gets there fails the test."""
    end = time.monotonic() + WAIT_S
    while not is_true():
        assert time.monotonic() < end, "expected it to become true"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with tight times, and room for one body in flight."""
    folder = Folder(tmp_path_factory.mktemp("limits") / "folder")
    flags = ("--body-timeout-s", "0.3", "--requests-in-flight-max", "1", "--idle-timeout-s", "5")
    with ServerProcess(folder, *flags) as server:
        yield server
        assert server.stop() == 0
        assert [line for line in server.log_lines() if line["level"] == "error"] == []


def is_idle(server: ServerProcess) -> bool:
    return server.submit(b"").status == 400


def test_a_body_of_the_largest_size_is_taken(server: ServerProcess, fresh_epoch: int) -> None:
    assert server.submit(padded(body(fresh_epoch), BODY_MAX)).status == 200
    with Wire(server.address) as wire:
        wire.send(chunked(padded(body(fresh_epoch), BODY_MAX)))
        assert wire.reply().is_replayed
        assert wire.submit(body(fresh_epoch + 1)).status == 200


def test_a_body_one_byte_larger_is_refused(server: ServerProcess, fresh_epoch: int) -> None:
    sent = padded(body(fresh_epoch), BODY_MAX + 1)
    for data in (submission(sent), chunked(sent), head_of_submission(BODY_MAX + 1)):
        with Wire(server.address) as wire:
            wire.send(data)
            answer = wire.reply()
            assert (answer.status, answer.json["code"]) == (413, "too_large")
            assert answer.headers["connection"] == "close"
            assert wire.is_ended()
    until(lambda: is_idle(server))
    assert not server.submit(body(fresh_epoch)).is_replayed


def test_a_body_that_does_not_come_is_given_up(server: ServerProcess, fresh_epoch: int) -> None:
    sent = body(fresh_epoch)
    parts = (submission(sent)[:-1], head_of_submission(10), chunked(sent)[:-5])
    with ExitStack() as stack:
        wires = []
        for part in parts:
            until(lambda: is_idle(server))
            wires.append(stack.enter_context(Wire(server.address)))
            wires[-1].send(part)
            answer = wires[-1].reply()
            assert (answer.status, answer.json["code"]) == (408, "timeout")
        assert all(wire.is_ended() for wire in wires)
    assert not server.submit(sent).is_replayed


def test_more_in_flight_than_fits_is_refused_before_its_body(
    server: ServerProcess, fresh_epoch: int
) -> None:
    sent = body(fresh_epoch)

    def is_refused_beside_a_slow_one() -> bool:
        until(lambda: is_idle(server))
        with Wire(server.address) as slow, Wire(server.address) as next_:
            slow.send(submission(sent)[:-1])
            answer = next_.submit(body(fresh_epoch + 1))
            if answer.status == 200:
                # The other head was read after it, or its body's time was over.
                return False
            assert (answer.status, answer.json["code"]) == (503, "overloaded")
            assert int(answer.headers["retry-after"]) >= 1
            slow.send(sent[-1:])
            assert slow.reply().status in {200, 408}
            until(lambda: next_.submit(body(fresh_epoch + 1)).status == 200)
        return True

    until(is_refused_beside_a_slow_one)


def test_a_head_that_never_ends_does_not_hold_its_connection(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = Folder(tmp_path_factory.mktemp("idle") / "folder")
    with ServerProcess(folder, "--idle-timeout-s", "0.2") as server:
        for sent in (b"", b"POST /v1/pcs/submit HTTP/1.1\r\nHost: x\r\n"):
            with Wire(server.address) as wire:
                wire.send(sent)
                assert wire.is_ended()
        with Wire(server.address) as wire:
            assert wire.ask("GET", "/health").body == b"OK"
            assert wire.is_ended()


def test_an_address_that_asks_too_often_is_told_when_to_come_back(folder: Folder) -> None:
    flags = ("--address-rate-per-s", "0.01", "--address-burst", "5")
    with ServerProcess(folder, *flags) as server:
        answers = [server.submit(body(epoch)) for epoch in range(8)]
        assert [answer.status for answer in answers] == [200] * 5 + [429] * 3
        for answer in answers[5:]:
            assert answer.json["code"] == "rate_limited"
            assert answer.headers["content-type"] == "application/problem+json"
            # A hundred seconds for a token, less what has passed.
            assert 50 < int(answer.headers["retry-after"]) <= 100
        # Probes and scrapes go on.
        assert server.ask("GET", "/health").status == 200
        assert server.ask("GET", "/metrics").status == 200
        # The rate is counted before the body is read: a bare head is enough to be refused.
        with Wire(server.address) as wire:
            wire.send(head_of_submission(100))
            assert wire.reply().status == 429
        server.stop()
    assert folder.fsck()[1]["inbox_bodies"] == 5


def test_a_connection_too_many_of_an_address_is_refused_and_the_others_stay(
    folder: Folder,
) -> None:
    flags = ("--connections-per-address-max", "3")
    with ServerProcess(folder, *flags) as server, ExitStack() as stack:
        wires = [stack.enter_context(Wire(server.address)) for _ in range(3)]
        assert [wire.ask("GET", "/health").status for wire in wires] == [200] * 3
        for _ in range(2):
            with Wire(server.address) as refused:
                answer = refused.reply()  # before anything was sent
                assert (answer.status, answer.body) == (503, b"")
                assert answer.headers["retry-after"] == "1"
                assert refused.is_ended()
        assert [wire.submit(body(1)).status for wire in wires] == [200] * 3
        wires.pop().close()

        def has_room() -> bool:
            with Wire(server.address) as wire:
                try:
                    return wire.ask("GET", "/health").status == 200
                except ConnectionError:
                    return False

        until(has_room)
        assert [wire.ask("GET", "/health").status for wire in wires] == [200] * 2


def test_requests_in_a_pipeline_are_answered_in_their_order(
    shared_server: ServerProcess, fresh_epoch: int
) -> None:
    good, late = body(fresh_epoch), body(fresh_epoch + 1)
    with Wire(shared_server.address) as wire:
        wire.send(
            submission(good)
            + request("GET", "/nope")
            + submission(b"{")
            + submission(good, {"Authorization": "Bearer no"})
            + submission(good, {"Content-Type": "text/plain"})
            + submission(good, {"X-Tenant-Id": "globex"})
            + request("GET", "/health")
            + submission(late)
        )
        answers = [wire.reply() for _ in range(8)]
    assert [answer.status for answer in answers] == [200, 404, 400, 401, 415, 403, 200, 200]
    assert answers[-1].json["pcs_id"] != answers[0].json["pcs_id"]


@pytest.mark.parametrize(
    ("sent", "headers", "status"),
    [
        (b"{", {}, 400),
        (body(1), {"X-Tenant-Id": "globex"}, 403),
        (body(1), {"Authorization": "Bearer no"}, 401),
        (body(1), {"Content-Encoding": "gzip"}, 415),
        (b" " * BODY_MAX, {"Content-Type": "text/plain"}, 415),
    ],
)
def test_a_refusal_leaves_the_connection_usable(
    shared_server: ServerProcess,
    fresh_epoch: int,
    sent: bytes,
    headers: dict[str, str],
    status: int,
) -> None:
    with Wire(shared_server.address) as wire:
        for n in range(3):
            assert wire.submit(sent, headers).status == status
            assert wire.submit(body(fresh_epoch + n)).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer no"}, 401),
        ({"Authorization": "Bearer read-token-of-acme"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Encoding": "zstd"}, 415),
    ],
)
def test_what_its_head_refuses_is_refused_before_a_byte_of_its_body(
    shared_server: ServerProcess, headers: dict[str, str], status: int
) -> None:
    with Wire(shared_server.address) as wire:
        wire.send(head_of_submission(1_000, headers))
        assert wire.reply().status == status


def test_one_address_cannot_take_every_place(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = Folder(tmp_path_factory.mktemp("places") / "folder")
    sent = body(1)
    with (
        ServerProcess(folder, "--requests-in-flight-per-address-max", "1") as server,
        Wire(server.address) as slow,
    ):
        slow.send(submission(sent)[:-1])
        until(lambda: server.submit(body(2)).status == 429)
        elsewhere = Wire(server.address, source="127.0.0.2")
        assert elsewhere.submit(body(3)).status == 200
        elsewhere.close()
        slow.send(sent[-1:])
        assert slow.reply().status == 200
        assert server.submit(body(4)).status == 200  # its place is free again


def test_a_header_that_no_frame_can_hold_harms_nobody_else(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = Folder(tmp_path_factory.mktemp("header") / "folder")
    with ServerProcess(folder) as server:
        # Together longer than the meta block of a frame may be.
        long = b"".join(b"X-Tenant-Id: " + b"a" * 8_100 + b"\r\n" for _ in range(9))
        assert len(long) > META_BYTES_MAX
        head = submission(b"{").partition(b"\r\n")
        with ThreadPoolExecutor(8) as pool:
            honest = pool.map(lambda epoch: server.submit(body(epoch)).status, range(200))
            for _ in range(100):
                with Wire(server.address) as hostile:
                    hostile.send(head[0] + b"\r\n" + long + head[2])
                    assert hostile.reply().status == 400
            assert set(honest) == {200}
        assert server.stop() == 0
    code, report = folder.fsck()
    assert (code, report["undecided_inbox"], report["records"]) == (0, 0, 200)


def test_a_tenant_header_that_names_no_tenant_is_refused_and_not_kept(folder: Folder) -> None:
    header = b"X-Tenant-Id: %b\r\n"
    sent = (header % (b"a" * 200), header % b"acme" + header % b"acme", header % b"acme")
    with ServerProcess(folder) as server:
        line, end, rest = submission(body(1)).partition(b"\r\n")
        answers = []
        for headers in sent:
            with Wire(server.address) as wire:
                wire.send(line + end + headers + rest)
                answers.append(wire.reply().status)
        assert answers == [403, 403, 200]
        server.stop()
    inbox = scan_folder(RealDisk(), folder.data / "inbox-0", "inbox-0")
    frames = [item[1] for item in inbox if not isinstance(item, Damage)]
    bodies = [decode_received(frame.meta) for frame in frames]
    kept = [received.tenant_header for received in bodies if received is not None]
    assert kept == ["?", "?", "acme"]
