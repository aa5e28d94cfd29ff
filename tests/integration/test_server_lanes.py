"""Callers nobody knows share a lane: what they do leaves identified callers unharmed.

Rates are set so low that nothing is earned while a test runs: what is let in is counted, not timed.
"""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import pytest
from tests.support.server_process import Folder, Reply, ServerProcess, until
from tests.support.signed import ACME, GLOBEX, Signer, body
from tests.support.wire import JSON, Wire, head_of_submission, request

MIB = 1 << 20
FORGER = Signer(ACME.tenant, ACME.kid, b"f" * 32)
NOTHING_EARNED = ("--unidentified-rate-per-s", "0.001", "--unidentified-bytes-per-s", "1")
NDJSON = {"Content-Type": "application/x-ndjson"}
CONTINUE = b"HTTP/1.1 100 Continue\r\n"


def known(folder: Folder, tenant: str = ACME.tenant) -> dict[str, str]:
    return {"Authorization": f"Bearer {folder.token(tenant, 'submit')}"}


def counted(server: ServerProcess, name: str) -> float:
    text = server.ask("GET", "/metrics").body.decode()
    return sum(float(line.split()[1]) for line in text.splitlines() if line.startswith(name + " "))


def inbox_syncs(server: ServerProcess) -> float:
    return counted(server, 'flk_fsync_seconds_count{stream="inbox-0"}')


def inbox_bytes(folder: Folder) -> int:
    return sum(path.stat().st_size for path in (folder.data / "inbox-0").iterdir())


def codes(replies: list[Reply]) -> Counter[str]:
    return Counter(reply.json["code"] for reply in replies)


def lines_of(server: ServerProcess, *events: str) -> list[dict[str, object]]:
    return [line for line in server.log_lines() if line["event"] in events]


def test_a_flood_of_forgeries_costs_what_its_lane_may_and_no_more(folder: Folder) -> None:
    sources = cycle(f"127.0.0.{last}" for last in range(2, 22))
    with ServerProcess(folder, *NOTHING_EARNED, "--unidentified-burst", "30") as server:
        before = inbox_syncs(server), inbox_bytes(folder)

        def forge(epoch: int, source: str) -> Reply:
            # Neither another address nor what a proxy would say is another lane.
            with Wire(server.address, source=source) as wire:
                headers = {"X-Forwarded-For": f"10.0.0.{epoch}", "X-Tenant-Id": GLOBEX.tenant}
                return wire.submit(body(epoch, signer=FORGER), headers)

        with ThreadPoolExecutor(8) as pool:
            flood = list(pool.map(forge, range(1, 101), sources))
        assert codes(flood) == {"signature_invalid": 30, "rate_limited": 70}
        assert all("retry-after" in reply.headers for reply in flood if reply.status == 429)
        # What was refused did not reach the disk, and who is known does not notice.
        assert counted(server, "flk_ingest_total") == 30
        assert counted(server, "flk_unidentified_refused_total") == 70
        assert inbox_syncs(server) - before[0] <= 30 + 30  # bodies, and marks when idle
        assert inbox_bytes(folder) - before[1] < 30 * 2_048 + 65_536
        for epoch in range(1, 41):
            assert server.submit(body(epoch), known(folder)).status == 200
        assert server.submit(body(50)).json["code"] == "rate_limited"
        assert server.stop() == 0
        # The first lines, then one with a count: nothing is silent, and the log does not grow.
        refused = [line for line in server.log_lines() if line.get("code") == "signature_invalid"]
        assert len(refused) == 11
        assert sum(int(line.get("count", 1)) for line in refused) == 30
        assert "request_id" not in refused[-1]
        assert len(server.log_lines()) < 11 + 40 + 20


def test_one_record_sent_over_and_over_does_not_fill_the_log(folder: Folder) -> None:
    with ServerProcess(folder) as server:
        replies = [server.submit(body(1)) for _ in range(40)]
        assert [reply.is_replayed for reply in replies] == [False] + [True] * 39
        assert server.batch(b"\n".join([body(1)] * 100)).status == 200
        assert server.stop() == 0
        told = lines_of(server, "settled", "more of the same")
        assert len(told) == 1 + 10 + 1 + 1
        shown = {(line.get("code"), line.get("count")) for line in told if "count" in line}
        assert shown == {("replayed", 129), ("batch", 1)}


def test_a_decision_is_always_in_the_log(folder: Folder) -> None:
    with ServerProcess(folder) as server:
        for epoch in range(1, 31):
            server.submit(body(epoch, signer=FORGER))
        assert server.submit(body(1)).status == 200
        assert server.stop() == 0
        assert [line["pcs_id"] for line in lines_of(server, "settled") if line["status"] == 200]


def test_a_known_caller_that_sends_forgeries_is_logged_in_counts(folder: Folder) -> None:
    with ServerProcess(folder, *NOTHING_EARNED) as server:
        for epoch in range(1, 31):
            forged = server.submit(body(epoch, signer=FORGER), known(folder))
            assert forged.json["code"] == "signature_invalid"
        assert server.submit(body(1, signer=GLOBEX), known(folder, GLOBEX.tenant)).status == 200
        assert server.stop() == 0
        lines = [line for line in server.log_lines() if line.get("code") == "signature_invalid"]
        assert [line.get("tenant") for line in lines] == [None] * 10 + [ACME.tenant]
        assert lines[-1]["count"] == 20


def test_a_token_that_nobody_holds_costs_neither_disk_nor_log(folder: Folder) -> None:
    with ServerProcess(folder) as server:
        before = inbox_bytes(folder), len(server.log_lines())
        guessed = {"Authorization": "Bearer " + "x" * 4_000}
        for path in ("/v1/pcs/submit", "/v1/pcs/batch"):
            media = JSON if path.endswith("submit") else {"Content-Type": "application/x-ndjson"}
            for _ in range(30):
                reply = server.ask("POST", path, body(1), {**media, **guessed})
                assert (reply.status, reply.json["code"]) == (401, "unauthenticated")
        assert counted(server, "flk_ingest_total") == 0
        assert (inbox_bytes(folder), len(server.log_lines())) == before


class TestABatchIsNoWayAround:
    """What a batch holds is charged when it is known."""

    def test_its_lines_are_charged(self, folder: Folder) -> None:
        with ServerProcess(folder, *NOTHING_EARNED, "--unidentified-burst", "30") as server:
            forged = b"\n".join(body(epoch, signer=FORGER) for epoch in range(1, 101))
            assert {line["status"] for line in server.batch(forged).lines} == {401}
            for again in (server.batch(forged), server.submit(body(1))):
                assert again.json["code"] == "rate_limited"
                # 70 records are owed, at a thousandth of one a second.
                assert int(again.headers["retry-after"]) > 60_000
            assert counted(server, "flk_ingest_total") == 100
            assert len(server.batch(forged, known(folder)).lines) == 100

    def test_its_bytes_are_charged_and_the_next_body_is_not_read(self, folder: Folder) -> None:
        with ServerProcess(folder, *NOTHING_EARNED) as server:
            large = b" " * (10 * MIB)
            assert [server.batch(large).status for _ in range(2)] == [200, 200]
            with Wire(server.address) as wire:
                wire.send(head_of_submission(100))
                assert wire.reply().json["code"] == "rate_limited"
            assert server.batch(large, known(folder)).status == 200

    def test_the_batches_of_others_wait_for_none_of_theirs(self, folder: Folder) -> None:
        # So small a share that their batch does not come to its end while this test runs.
        with ServerProcess(folder, "--unidentified-cpu-share", "0.00001") as server:
            theirs = request(
                "POST",
                "/v1/pcs/batch",
                b"\n".join(body(epoch, signer=FORGER) for epoch in range(1, 1_001)),
                {"Content-Type": "application/x-ndjson"},
            )
            with Wire(server.address) as first, Wire(server.address) as second:
                for wire in (first, second):
                    wire.send(theirs)
                while counted(server, "flk_ingest_total") < 1_000:
                    pass
                sent = b"\n".join(body(epoch) for epoch in range(1, 301))
                assert {line["status"] for line in server.batch(sent, known(folder)).lines} == {200}
                assert server.submit(body(301), known(folder)).status == 200
                assert not first.has_answer()
                assert not second.has_answer()

    def test_few_may_be_in_flight(self, folder: Folder) -> None:
        with ServerProcess(folder, "--unidentified-batches-max", "1") as server:
            head = request(
                "POST",
                "/v1/pcs/batch",
                b"",
                {
                    "Content-Type": "application/x-ndjson",
                    "Content-Length": "100",
                    "Expect": "100-continue",
                },
            )
            with Wire(server.address) as slow:
                slow.send(head)
                assert slow.line() == CONTINUE
                assert server.batch(body(1)).json["code"] == "rate_limited"
                assert server.submit(body(1)).status == 200
                assert server.batch(body(1), known(folder)).lines[0]["status"] == 200


def test_a_strangers_batch_does_not_keep_another_stranger_waiting_for_all_of_it(
    folder: Folder,
) -> None:
    # 250 lines that take the lane's thread some 40 s at its share of a core.
    dear = b'{"a":[' + b",".join([b"1.5e3"] * 10_800) + b"]}\n"
    with ServerProcess(folder) as server, Wire(server.address, source="127.0.0.2") as wire:
        wire.send(request("POST", "/v1/pcs/batch", dear * 250, NDJSON))
        until(lambda: counted(server, "flk_ingest_total") == 250, "its lines are counted")
        assert server.submit(body(1)).status == 200
        assert not wire.has_answer()


def test_a_lane_that_is_full_of_slow_bodies_leaves_room_for_who_is_known(folder: Folder) -> None:
    with ServerProcess(folder, "--unidentified-in-flight-max", "2") as server:
        slow = [Wire(server.address, source=f"127.0.0.{last}") for last in (2, 3)]
        for wire in slow:
            wire.send(head_of_submission(100, {"Expect": "100-continue"}))
            assert wire.line() == CONTINUE
        assert server.submit(body(1)).json["code"] == "rate_limited"
        assert server.submit(body(1), known(folder)).status == 200
        for wire in slow:
            wire.close()


def test_a_tenant_that_fills_its_places_leaves_those_of_others(folder: Folder) -> None:
    with ServerProcess(folder, "--requests-in-flight-per-tenant-max", "2") as server:
        slow = [Wire(server.address, source=f"127.0.0.{last}") for last in (2, 3)]
        for wire in slow:
            wire.send(head_of_submission(100, {"Expect": "100-continue", **known(folder)}))
            assert wire.line() == CONTINUE
        refused = server.submit(body(1), known(folder))
        assert (refused.status, refused.json["code"]) == (429, "rate_limited")
        assert server.submit(body(1, signer=GLOBEX), known(folder, GLOBEX.tenant)).status == 200
        assert server.submit(body(1)).status == 200
        for wire in slow:
            wire.close()


@pytest.mark.parametrize("tenant", [None, ACME.tenant])
def test_the_bytes_one_owner_may_hold_are_bounded_over_all_its_addresses(
    folder: Folder, tenant: str | None
) -> None:
    headers = known(folder, tenant) if tenant else {}
    setting = "bytes-in-flight-per-tenant-max" if tenant else "unidentified-bytes-in-flight-max"
    head = request(
        "POST",
        "/v1/pcs/batch",
        b"",
        {"Content-Type": "application/x-ndjson", "Content-Length": str(16 * MIB), **headers},
    )
    with (
        ServerProcess(folder, f"--{setting}", str(16 * MIB)) as server,
        Wire(server.address, source="127.0.0.2") as one,
        Wire(server.address, source="127.0.0.3") as other,
    ):
        for wire in (one, other):
            wire.send(head)
            wire.send(b"\n" * (9 * MIB))
        refused = one if one in Wire.with_answers(one, other) else other
        answer = refused.reply()
        assert (answer.status, answer.json["code"]) == (429, "rate_limited")
        someone_else = known(folder, GLOBEX.tenant)
        full = b"\n".join([body(1, signer=GLOBEX)] * 100)
        assert json.loads(server.batch(full, someone_else).body.splitlines()[0])["status"] == 200
