"""``POST /v1/pcs/batch`` over real sockets: every line answered as submit would, in order."""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zstandard
from tests.support.server_process import WIDE_LANE, Folder, Reply, ServerProcess, until
from tests.support.signed import ACME_NEXT, GLOBEX, Signer, body, members
from tests.support.wire import Wire, request

from fractal_lba.protocol.canonical import canonical

LINES = {"Content-Type": "application/x-ndjson"}
MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(Folder(tmp_path_factory.mktemp("batch") / "folder"), *WIDE_LANE) as server:
        yield server
        assert server.stop() == 0
        assert [line for line in server.log_lines() if line["level"] == "error"] == []
    code, report = server.folder.fsck()
    assert (code, report["undecided_inbox"], report["stored_twice"]) == (0, 0, 0)


def known(server: ServerProcess) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.folder.token('acme', 'submit')}"}


def metric(server: ServerProcess, name: str) -> float:
    """Return the sum of a metric over its labels."""
    text = server.ask("GET", "/metrics").body.decode()
    found = re.findall(rf"^{re.escape(name)}(?:{{.*}})? (.*)$", text, re.MULTILINE)
    return sum(float(value) for value in found)


def compressed(data: bytes, encoding: str) -> bytes:
    match encoding:
        case "gzip":
            return gzip.compress(data)
        case "zstd":
            return zstandard.compress(data)
        case _:
            return data


def without_request(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name != "request_id"}


@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "zstd", "GZIP"])
def test_a_batch_is_decided_line_by_line_as_submit_decides(
    server: ServerProcess, fresh_epoch: int, encoding: str
) -> None:
    epochs = range(fresh_epoch, fresh_epoch + 40)
    sent = [
        body(epoch, regime="sticky")
        if epoch % 4 == 1
        else body(epoch, D_hat=3.0)
        if epoch % 4 == 2
        else body(epoch)
        for epoch in epochs
    ]
    data = b"\n".join(sent)
    data = compressed(data, encoding.lower())
    first = server.batch(data, {"Content-Encoding": encoding} if encoding else {})
    assert [line["status"] for line in first.lines] == [200, 202, 422, 200] * 10
    for line, raw, one in zip(first.lines, first.body.splitlines(), sent, strict=True):
        again = server.submit(one)
        assert (again.status, again.is_replayed) == (line["status"], True)
        assert raw.startswith(b'{"status":%d,"body":%b,' % (line["status"], again.body))
        assert line["received_at"] == again.headers["x-received-at"]
        assert set(line) == {"status", "body", "received_at"}
    repeated = server.batch(b"\n".join(sent) + b"\n")
    assert repeated.lines == [{**line, "replayed": True} for line in first.lines]


STRANGER = Signer("x", "x-1", b"x" * 32)
REFUSED_LINES = {
    "no UTF-8": body(1).replace(b"press-7", b"press\xff7"),
    "a byte order mark": b"\xef\xbb\xbf" + body(1),
    "no JSON": b"{",
    "white space": b"  ",
    "two records": body(1) + body(2),
    "a member twice": body(1)[:-1] + b',"epoch":1}',
    "an array": b"[]",
    "a later version": canonical(members(1, version="1.1")),
    "an unknown member": canonical(members(1, extra=1)),
    "an id that is not its own": canonical(members(1, pcs_id="0" * 64)),
    "no key of the ring": body(1, signer=STRANGER),
    "no signature": canonical(members(1)),
    "another signature": body(1).replace(b'"n":64', b'"n":63'),
    "a window of long ago": body(1, created_at="2020-01-01T00:00:00.000Z"),
    "65,537 bytes": body(1) + b" " * (65_537 - len(body(1))),
}


def test_a_bad_line_is_a_problem_on_its_line_as_submit_says_it(
    server: ServerProcess, fresh_epoch: int
) -> None:
    good = [body(fresh_epoch + n) for n in range(len(REFUSED_LINES) + 1)]
    lines = [good[0]]
    for bad, next_ in zip(REFUSED_LINES.values(), good[1:], strict=True):
        lines += [bad, next_]
    answer = server.batch(b"\n".join(lines), {"X-Request-Id": "batch-1"})
    assert answer.status == 200
    assert [line["status"] for line in answer.lines[::2]] == [200] * len(good)
    for bad, line in zip(REFUSED_LINES.values(), answer.lines[1::2], strict=True):
        alone = server.submit(bad)
        assert line["status"] == alone.status == line["body"]["status"]
        assert without_request(line["body"]) == without_request(alone.json)
        assert line["body"]["request_id"] == "batch-1"
        assert "received_at" not in line


@pytest.mark.parametrize(
    ("line", "reason"),
    [(b"", "blank_line"), (b"\r", "carriage_return"), (b"{}\r", "carriage_return")],
)
def test_blank_lines_and_carriage_returns_are_refused_on_their_line(
    server: ServerProcess, fresh_epoch: int, line: bytes, reason: str
) -> None:
    data = line + b"\n" + body(fresh_epoch) + b"\n" + line + b"\n" + body(fresh_epoch + 1)
    refused, first, again, last = server.batch(data).lines
    assert (first["status"], last["status"]) == (200, 200)
    for each in (refused, again):
        assert (each["status"], each["body"]["code"]) == (400, "malformed_json")
        assert each["body"]["reason"] == reason


def test_a_record_with_a_carriage_return_behind_it_is_not_decided(
    server: ServerProcess, fresh_epoch: int
) -> None:
    (line,) = server.batch(body(fresh_epoch) + b"\r\n").lines
    assert (line["status"], line["body"]["reason"]) == (400, "carriage_return")
    assert not server.submit(body(fresh_epoch)).is_replayed


def test_one_id_many_times_in_a_batch_is_decided_in_the_order_of_its_lines(
    server: ServerProcess, fresh_epoch: int
) -> None:
    # Over more lines than are decided together, and the first of each id forged.
    one, other = body(fresh_epoch), body(fresh_epoch, n=65)
    forged = body(fresh_epoch, n=66).replace(b'"n":66', b'"n":67')
    late, later = body(fresh_epoch + 1, n=65), body(fresh_epoch + 1)
    lines = [forged, one, other, one, other, late] + [one] * 300 + [later, late, other]
    answers = server.batch(b"\n".join(lines)).lines
    statuses = [(answer["status"], answer.get("replayed", False)) for answer in answers]
    assert statuses[:6] == [
        (401, False), (200, False), (409, False), (200, True), (409, False), (200, False),
    ]  # fmt: skip
    assert set(statuses[6:306]) == {(200, True)}
    assert statuses[306:] == [(409, False), (200, True), (409, False)]
    assert len(server.get(members(fresh_epoch)["pcs_id"]).json["conflicts"]) == 1


def test_tenants_do_not_meet_in_a_batch(server: ServerProcess, fresh_epoch: int) -> None:
    acme, next_, globex = (
        body(fresh_epoch),
        body(fresh_epoch, kid=ACME_NEXT.kid, signer=ACME_NEXT),
        body(fresh_epoch, kid=GLOBEX.kid, signer=GLOBEX, n=65),
    )
    answers = server.batch(b"\n".join([acme, globex, next_, globex])).lines
    assert [(line["status"], line.get("replayed", False)) for line in answers] == [
        (200, False), (200, False), (200, True), (200, True),
    ]  # fmt: skip
    for headers in ({"X-Tenant-Id": "acme"}, {"Authorization": "Bearer submit-token-of-acme"}):
        mixed = server.batch(globex + b"\n" + acme, headers).lines
        assert [line["status"] for line in mixed] == [403, 200]
        assert mixed[0]["body"]["code"] == "tenant_mismatch"


def test_a_batch_of_a_thousand_costs_a_handful_of_syncs(
    server: ServerProcess, fresh_epoch: int
) -> None:
    sent = b"\n".join(body(fresh_epoch + n) for n in range(1_000))
    names = ("flk_fsync_seconds_count", "flk_batch_records_sum", "flk_ingest_total")
    before = [metric(server, name) for name in names]
    answer = server.batch(sent)
    after = [metric(server, name) for name in names]
    syncs, frames, ingested = (now - was for now, was in zip(after, before, strict=True))
    assert {line["status"] for line in answer.lines} == {200}
    assert syncs <= 6  # one of the inbox, and one of the ledger for each 512 lines
    assert frames in {1_001, 1_002}  # the batch, its decisions, a mark of the one before
    assert ingested == 1_000


def test_every_line_is_counted_as_a_submit_is(server: ServerProcess, fresh_epoch: int) -> None:
    names = [
        f"flk_{name}_total"
        for name in ("ingest", "accepted", "escalated", "rejected", "dedup_hits", "conflicts")
    ]
    before = [metric(server, name) for name in names]
    good = body(fresh_epoch)
    lines = [good, good, body(fresh_epoch, n=65), body(fresh_epoch + 1, regime="sticky"), b"", b"{"]
    assert server.batch(b"\n".join(lines)).status == 200
    assert [metric(server, name) - was for name, was in zip(names, before, strict=True)] == [
        6, 2, 1, 2, 1, 1,
    ]  # fmt: skip


def test_the_log_names_what_verified_and_adds_up_the_rest(
    server: ServerProcess, fresh_epoch: int
) -> None:
    lines = [body(fresh_epoch)] + [b""] * 500 + [body(fresh_epoch + 1)]
    name = f"log-{fresh_epoch}"
    server.batch(b"\n".join(lines), {"X-Request-Id": name, **known(server)})
    found = [line for line in server.log_lines() if line.get("request_id") == name]
    assert [line["event"] for line in found] == ["settled", "settled", "batch settled"]
    assert [line["pcs_id"] for line in found[:2]] == [
        members(fresh_epoch + n)["pcs_id"] for n in range(2)
    ]
    assert (found[2]["count"], found[2]["outcomes"]) == (502, {"200": 2, "malformed_json": 500})


class TestRefusedAsAWhole:
    """Nothing of such a batch is decided."""

    def refused(
        self, server: ServerProcess, epoch: int, data: bytes, encoding: str = "", *, of: bytes = b""
    ) -> dict[str, Any]:
        answer = server.batch(data, {"Content-Encoding": encoding} if encoding else {})
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json
        assert problem["request_id"] == answer.headers["x-request-id"]
        assert problem["status"] == answer.status
        if of:
            assert not server.submit(body(epoch)).is_replayed
        return problem

    @pytest.mark.parametrize("encoding", ["", "gzip", "zstd"])
    def test_an_empty_batch(self, server: ServerProcess, encoding: str) -> None:
        problem = self.refused(server, 0, compressed(b"", encoding), encoding)
        assert (problem["status"], problem["code"]) == (400, "malformed_json")
        assert problem["reason"] == "empty_batch"

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda data: data[:-1], "truncated_stream"),
            (lambda data: data[: len(data) // 2], "truncated_stream"),
            (lambda _: b"", "truncated_stream"),
            (lambda _: b"not a stream at all", "broken_stream"),
            (lambda data: data + b"\n", "trailing_bytes"),
            (lambda data: data + data, "trailing_bytes"),
        ],
    )
    @pytest.mark.parametrize("encoding", ["gzip", "zstd"])
    def test_a_stream_that_is_not_one_whole(
        self,
        server: ServerProcess,
        fresh_epoch: int,
        encoding: str,
        change: Callable[[bytes], bytes],
        reason: str,
    ) -> None:
        sent = change(compressed(body(fresh_epoch), encoding))
        problem = self.refused(server, fresh_epoch, sent, encoding, of=body(fresh_epoch))
        assert (problem["status"], problem["code"]) == (400, "bad_encoding")
        assert problem["reason"] == reason

    @pytest.mark.parametrize("encoding", ["gzip", "zstd"])
    def test_a_bomb(self, server: ServerProcess, fresh_epoch: int, encoding: str) -> None:
        bomb = compressed(body(fresh_epoch) + b"\n" + bytes(64 * MIB), encoding)
        problem = self.refused(server, fresh_epoch, bomb, encoding, of=body(fresh_epoch))
        assert (problem["status"], problem["code"]) == (413, "too_large")
        assert problem["reason"] == "decoded_too_large"

    def test_too_many_lines(self, server: ServerProcess, fresh_epoch: int) -> None:
        data = gzip.compress(body(fresh_epoch) + b"\n" * 10_001)
        problem = self.refused(server, fresh_epoch, data, "gzip", of=body(fresh_epoch))
        assert (problem["status"], problem["code"]) == (413, "too_large")
        assert problem["reason"] == "too_many_records"

    def test_too_many_bytes_on_the_wire(self, server: ServerProcess, fresh_epoch: int) -> None:
        sent = body(fresh_epoch)
        chunks = b"%x\r\n%b\n\r\n" % (len(sent) + 1, sent)
        chunks += (b"10000\r\n" + b" " * 65_536 + b"\r\n") * 257
        heads = (
            request("POST", "/v1/pcs/batch", b"", {**LINES, "Content-Length": str(16 * MIB + 1)}),
            request("POST", "/v1/pcs/batch", b"", LINES).replace(
                b"Content-Length: 0", b"Transfer-Encoding: chunked"
            )
            + chunks,
        )
        for head in heads:
            with Wire(server.address) as wire:
                wire.send(head)
                answer = wire.reply()
                assert (answer.status, answer.json["code"]) == (413, "too_large")
                assert answer.headers["connection"] == "close"
        assert not server.submit(sent).is_replayed

    @pytest.mark.parametrize(
        ("headers", "status", "code"),
        [
            ({"Content-Type": "application/json"}, 415, "unsupported_media_type"),
            ({"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
            ({"Content-Encoding": "br"}, 415, "unsupported_media_type"),
            ({"Content-Encoding": "gzip, zstd"}, 415, "unsupported_media_type"),
            ({"Content-Encoding": "deflate"}, 415, "unsupported_media_type"),
            ({"Authorization": "Bearer no"}, 401, "unauthenticated"),
            ({"Authorization": "Bearer read-token-of-acme"}, 403, "forbidden"),
        ],
    )
    def test_a_head(
        self,
        server: ServerProcess,
        fresh_epoch: int,
        headers: dict[str, str],
        status: int,
        code: str,
    ) -> None:
        answer: Reply = server.batch(body(fresh_epoch), headers)
        assert (answer.status, answer.json["code"]) == (status, code)
        assert not server.submit(body(fresh_epoch)).is_replayed


def test_the_largest_batches_are_taken(server: ServerProcess, fresh_epoch: int) -> None:
    lines = [b"{}"] * 9_999 + [body(fresh_epoch)]
    packed = gzip.compress(b"\n".join(lines))
    answer = server.batch(packed, {"Content-Encoding": "gzip", **known(server)})
    assert [line["status"] for line in answer.lines] == [400] * 9_999 + [200]
    sent = body(fresh_epoch + 1)
    full = b"\n".join([sent + b" " * (65_535 - len(sent))] * 256)
    full += b"\n" * (16 * MIB - len(full))
    answer = server.batch(full, known(server))
    assert {line["status"] for line in answer.lines} == {200}
    assert len(answer.lines) == 256


def test_a_batch_that_does_not_come_is_given_up(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = Folder(tmp_path_factory.mktemp("slow") / "folder")
    with ServerProcess(folder, *WIDE_LANE, "--batch-timeout-s", "0.3") as server:
        with Wire(server.address) as wire:
            wire.send(request("POST", "/v1/pcs/batch", b"{", {**LINES, "Content-Length": "9"}))
            answer = wire.reply()
            assert (answer.status, answer.json["code"]) == (408, "timeout")
            assert wire.is_ended()
        assert server.stop() == 0
    assert folder.fsck()[1]["inbox_bodies"] == 0


@pytest.mark.parametrize(
    ("setting", "status", "code"),
    [
        ("bytes-in-flight-max", 503, "overloaded"),
        ("bytes-in-flight-per-address-max", 429, "rate_limited"),
    ],
)
def test_more_bytes_in_flight_than_fit_are_refused_while_records_go_on(
    tmp_path_factory: pytest.TempPathFactory, setting: str, status: int, code: str
) -> None:
    folder = Folder(tmp_path_factory.mktemp("bytes") / "folder")
    flags = (f"--{setting}", str(16 * MIB))
    with ServerProcess(folder, *WIDE_LANE, *flags) as server:
        caller = known(server)
        length = {"Content-Length": str(16 * MIB)}
        head = request("POST", "/v1/pcs/batch", b"", {**LINES, **length, **caller})
        with Wire(server.address) as one, Wire(server.address) as other:
            # Announced and not sent is not held.
            for wire in (one, other):
                wire.send(head)
            assert server.submit(body(1), caller).status == 200
            for wire in (one, other):
                wire.send(b"\n" * (9 * MIB))
            # Together they are over the bound: whichever comes to it is refused.
            refused = one if one in Wire.with_answers(one, other) else other
            answer = refused.reply()
            assert (answer.status, answer.json["code"]) == (status, code)
            assert int(answer.headers["retry-after"]) >= 1
            assert server.submit(body(2), caller).status == 200
        # What was held is given back with the connection that held it.
        full = b"\n".join([body(3)] * 1_000) + b"\n"
        until(lambda: server.batch(full, caller).status == 200, "room again")
        assert json.loads(server.batch(body(3), caller).body)["replayed"]
        assert server.stop() == 0
