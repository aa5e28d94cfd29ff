"""The edges of ``POST /v1/pcs/batch`` over real sockets: bytes that parsers disagree about."""

import gzip
import json
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard
from tests.support.failing_disk import Effect
from tests.support.faulty_server import Fault, FaultyServer, check_here
from tests.support.server_process import WIDE_LANE, Folder, Reply, ServerProcess, until
from tests.support.signed import GLOBEX, body, members
from tests.support.wire import Wire, request

LINES = {"Content-Type": "application/x-ndjson"}
BYTES_MAX = 16 << 20
LINE_MAX = 65_536


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(Folder(tmp_path_factory.mktemp("edges") / "folder"), *WIDE_LANE) as server:
        yield server
        assert server.stop() == 0
        assert [line for line in server.log_lines() if line["level"] == "error"] == []


def packed(data: bytes, encoding: str) -> bytes:
    match encoding:
        case "gzip":
            return gzip.compress(data, 1)
        case "zstd":
            return zstandard.compress(data)
        case "zstd that does not tell":
            making = zstandard.ZstdCompressor(write_content_size=False).compressobj()
            return making.compress(data) + making.flush()
        case _:
            return data


def send(server: ServerProcess, data: bytes, encoding: str) -> Reply:
    headers = {"Content-Encoding": encoding.partition(" ")[0]} if encoding else {}
    return server.batch(packed(data, encoding), headers)


def full(first: int, size: int) -> bytes:
    """Return a batch of exactly so many bytes, every line as long as one may be, but the last."""
    line = body(first)
    line += b" " * (LINE_MAX - len(line)) + b"\n"
    data = line * (size // len(line))
    return data + b" " * (size - len(data) - 1) + b"\n"


@pytest.mark.parametrize("encoding", ["", "gzip", "zstd", "zstd that does not tell"])
def test_a_batch_of_16_mib_is_taken_and_one_byte_more_is_not(
    server: ServerProcess, fresh_epoch: int, encoding: str
) -> None:
    over = send(server, full(fresh_epoch, BYTES_MAX + 1), encoding)
    assert (over.status, over.json["code"]) == (413, "too_large")
    assert over.json.get("reason") == ("decoded_too_large" if encoding else None)
    taken = send(server, full(fresh_epoch, BYTES_MAX), encoding)
    assert [line["status"] for line in taken.lines] == [200] * 255 + [400]
    # Of the one that was refused nothing was decided.
    assert "replayed" not in taken.lines[0]


@pytest.mark.parametrize(
    ("count", "status"), [(10_000, 200), (10_001, 413)], ids=["10,000", "10,001"]
)
@pytest.mark.parametrize("is_ended", [True, False])
def test_ten_thousand_lines_are_taken_and_one_more_is_not(
    server: ServerProcess, *, count: int, status: int, is_ended: bool
) -> None:
    answer = send(server, b"\n".join([b"{}"] * count) + b"\n" * is_ended, "gzip")
    assert answer.status == status
    if status == 200:
        assert len(answer.lines) == count
    else:
        assert answer.json["reason"] == "too_many_records"


def test_a_line_may_have_64_kib_and_no_byte_more(server: ServerProcess, fresh_epoch: int) -> None:
    one, other = body(fresh_epoch), body(fresh_epoch + 1)
    one += b" " * (LINE_MAX - len(one))
    other += b" " * (LINE_MAX + 1 - len(other))
    taken, refused, last = server.batch(one + b"\n" + other + b"\n" + one).lines
    assert (taken["status"], refused["status"], last["status"]) == (200, 413, 200)
    assert refused["body"]["code"] == "too_large"
    assert last["replayed"]


SEPARATORS = {
    "carriage returns": b"\r",
    "next lines": b"\xc2\x85",
    "line separators": "\u2028".encode(),
    "vertical tabs": b"\x0b",
    "form feeds": b"\x0c",
    "record separators": b"\x1e",
    "NULs": b"\x00",
}


@pytest.mark.parametrize("separator", SEPARATORS.values(), ids=SEPARATORS)
def test_nothing_but_a_line_feed_ends_a_line(
    server: ServerProcess, fresh_epoch: int, separator: bytes
) -> None:
    two = body(fresh_epoch) + separator + body(fresh_epoch + 1)
    refused, taken = server.batch(two + b"\n" + body(fresh_epoch + 2)).lines
    assert (refused["status"], refused["body"]["code"]) == (400, "malformed_json")
    assert taken["status"] == 200
    for epoch in (fresh_epoch, fresh_epoch + 1):
        assert not server.submit(body(epoch)).is_replayed


@pytest.mark.parametrize("line", [b"\x00", b"%b\x00", b"\x00%b"], ids=["alone", "behind", "before"])
def test_a_nul_is_no_white_space(server: ServerProcess, fresh_epoch: int, line: bytes) -> None:
    sent = line % body(fresh_epoch) if b"%b" in line else line
    refused, taken = server.batch(sent + b"\n" + body(fresh_epoch)).lines
    assert (refused["status"], refused["body"]["code"]) == (400, "malformed_json")
    assert (taken["status"], "replayed" in taken) == (200, False)


def test_a_record_in_several_lines_is_several_bad_lines(
    server: ServerProcess, fresh_epoch: int
) -> None:
    spread = json.dumps(members(fresh_epoch), indent=1).encode()
    answer = server.batch(spread + b"\n" + body(fresh_epoch + 1))
    assert len(answer.lines) == spread.count(b"\n") + 2
    assert {line["status"] for line in answer.lines[:-1]} == {400}
    assert answer.lines[-1]["status"] == 200


def test_a_window_of_two_gigabytes_is_refused_by_its_head(server: ServerProcess) -> None:
    # A frame of no told size whose window is 2^31: RFC 8878 section 3.1.1.1.2.
    frame = b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + b"\x01\x00\x00"
    answer = server.batch(frame, {"Content-Encoding": "zstd"})
    assert (answer.status, answer.json["code"]) == (400, "bad_encoding")
    assert answer.json["reason"] == "window_too_large"


def test_a_dictionary_that_nobody_has_is_a_broken_stream(
    server: ServerProcess, fresh_epoch: int
) -> None:
    words = zstandard.ZstdCompressionDict(body(fresh_epoch) * 9)
    sent = zstandard.ZstdCompressor(dict_data=words).compress(body(fresh_epoch))
    answer = server.batch(sent, {"Content-Encoding": "zstd"})
    assert (answer.status, answer.json["reason"]) == (400, "broken_stream")
    assert not server.submit(body(fresh_epoch)).is_replayed


@pytest.mark.parametrize(
    "encodings",
    [
        ("gzip", "gzip"), ("identity", "gzip"), ("", ""), ("gzip,",), ("x-gzip",), ("*",),
        ("zstd;q=1",), ("gzip, identity",),
    ],
    ids=" and ".join,
)  # fmt: skip
def test_an_encoding_that_is_not_one_known_word_is_415(
    server: ServerProcess, fresh_epoch: int, encodings: tuple[str, ...]
) -> None:
    sent = gzip.compress(body(fresh_epoch))
    head = request("POST", "/v1/pcs/batch", sent, LINES)
    heads = b"".join(b"Content-Encoding: %b\r\n" % each.encode() for each in encodings)
    with Wire(server.address) as wire:
        wire.send(head.replace(b"\r\n", b"\r\n" + heads, 1))
        answer = wire.reply()
    assert (answer.status, answer.json["code"]) == (415, "unsupported_media_type")
    assert not server.submit(body(fresh_epoch)).is_replayed


def test_a_stop_in_the_middle_of_batches_answers_every_line_of_them(folder: Folder) -> None:
    epochs = range(1, 601)
    sent = gzip.compress(b"\n".join(body(epoch) for epoch in epochs), 1)
    head = request("POST", "/v1/pcs/batch", sent, {**LINES, "Content-Encoding": "gzip"})
    with (
        ServerProcess(folder, *WIDE_LANE, "--batch-timeout-s", "60", "--grace-s", "60") as server,
        Wire(server.address) as arriving,
        Wire(server.address) as deciding,
        Wire(server.address) as idle,
    ):
        arriving.send(head[:-1])
        deciding.send(head)
        # Behind both, which the server has therefore read as far as they came.
        assert idle.submit(body(0)).status == 200
        server.process.send_signal(signal.SIGTERM)
        until(lambda: idle.ask("GET", "/ready").status == 503, "draining")
        refused = idle.ask("POST", "/v1/pcs/batch", sent, {**LINES, "Content-Encoding": "gzip"})
        assert (refused.status, refused.json["code"]) == (503, "draining")
        arriving.send(head[-1:])
        answers = [deciding.reply().lines, arriving.reply().lines]
        assert server.process.wait(timeout=60) == 0
    firsts = set()
    for lines in answers:
        assert [line["status"] for line in lines] == [200] * len(epochs)
        firsts |= {line["body"]["pcs_id"] for line in lines if "replayed" not in line}
    assert len(firsts) == len(epochs)
    report = check_here(folder)
    assert (report.problems, report.records, report.stored_twice) == ([], 601, 0)
    assert report.undecided_inbox == 0


@pytest.mark.parametrize(
    ("sync", "effect"), [(1, Effect.WHOLE), (2, Effect.NONE), (2, Effect.WHOLE), (3, Effect.NONE)]
)
def test_a_server_that_starts_decides_the_rest_of_a_batch_by_itself(
    folder: Folder, sync: int, effect: Effect
) -> None:
    """Nobody sends it again: what is in the inbox is owed."""
    epochs = range(1, 601)
    lines = [body(epoch) for epoch in epochs]
    lines[300] = b"{"
    with FaultyServer(folder, unidentified_cpu_share="1") as server:
        server.tell(Fault(at=frozenset({sync}), error=None, only="datasync", effect=effect))
        with pytest.raises(ConnectionError), Wire(server.address) as wire:
            wire.ask("POST", "/v1/pcs/batch", b"\n".join(lines), LINES)
        server.wait()
    with FaultyServer(folder, unidentified_cpu_share="1") as server:
        received = set()
        for epoch in (1, 256, 257, 300, 302, 513, 600):
            found = server.get(members(epoch)["pcs_id"])
            assert found.status == 200, epoch
            received.add(found.json["received_at"])
        assert len(received) == 1
        assert server.get(members(301)["pcs_id"]).status == 404
        assert server.stop() == 0
    report = check_here(folder)
    assert (report.problems, report.records, report.undecided_inbox) == ([], 599, 0)


def test_a_tenant_of_many_batches_makes_no_other_wait_for_all_of_them(folder: Folder) -> None:
    forged = [body(epoch).replace(b'"n":64', b'"n":63') for epoch in range(1_000)]
    long, short = (gzip.compress(b"\n".join(forged * times), 1) for times in (10, 1))
    acme, globex = (
        {"Authorization": f"Bearer {folder.token(tenant, 'submit')}"}
        for tenant in ("acme", "globex")
    )
    with (
        ServerProcess(folder, *WIDE_LANE, "--batches-at-once-max", "1") as server,
        ThreadPoolExecutor(12) as pool,
    ):
        headers = {"Content-Encoding": "gzip", **acme}
        sent = [pool.submit(server.batch, each, headers) for each in (long, *[short] * 11)]
        # The first is at its turn, and the others have arrived.
        until(lambda: inbox_frames(server) >= len(sent), "all of them")
        honest = b"\n".join(body(n, kid=GLOBEX.kid, signer=GLOBEX) for n in (1, 2))
        lines = server.batch(honest, globex).lines
        answered = sum(each.done() for each in sent)
        assert [line["status"] for line in lines] == [200, 200]
        assert answered <= len(sent) // 2
        assert {line["status"] for each in sent for line in each.result().lines} == {401}


def inbox_frames(server: ServerProcess) -> float:
    text = server.ask("GET", "/metrics").body.decode()
    found = re.findall(r'^flk_batch_records_sum\{stream="inbox-0"\} (.*)$', text, re.MULTILINE)
    return sum(map(float, found))
