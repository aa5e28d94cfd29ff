"""Listing and export: everything acknowledged, once, in order, to its own tenant alone."""

import json
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.support.load import Load, id_of
from tests.support.server_process import Folder, Reply, ServerProcess, until
from tests.support.signed import GLOBEX, body, members
from tests.support.wire import request

NDJSON = "application/x-ndjson"
RECORDS = 1_200
"""Of 6 KB each: more than a connection holds on its way."""
SMALL = ("--segment-bytes-max", "300000", "--index-flush-records", "40")

STREAMS = ("press-1", "press-2")
EPOCHS = (5, 3, 9, 3, 7, 1)
"""As they come: not in their order."""


def sent() -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield bodies of two streams, each epoch with what its row must say."""
    for number, epoch in enumerate(EPOCHS):
        for shard_id in STREAMS:
            window = f"{shard_id} {number}"
            escalated = number == 4
            changes: dict[str, Any] = {"regime": "sticky"} if escalated else {}
            made = members(epoch, shard_id=shard_id, window=window, **changes)
            row = {
                "pcs_id": made["pcs_id"],
                "shard_id": shard_id,
                "epoch": epoch,
                "outcome": "escalated" if escalated else "accepted",
                "regime": made["regime"],
            }
            yield body(epoch, shard_id=shard_id, window=window, **changes), row


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = Folder(tmp_path_factory.mktemp("listed") / "folder")
    with ServerProcess(folder) as server:
        for data, _ in sent():
            assert server.submit(data).status in {200, 202}
        for epoch in (3, 4):
            other = body(epoch, shard_id=STREAMS[0], window=f"{STREAMS[0]} 1", signer=GLOBEX)
            assert server.submit(other).status == 200
        assert (
            server.submit(body(3, shard_id=STREAMS[0], window=f"{STREAMS[0]} 1", n=65)).status
            == 409
        )
        yield server


def rows(server: ServerProcess, query: str = "", tenant: str = "acme") -> list[dict[str, Any]]:
    """Return what all pages of a listing hold."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = server.read(f"/v1/pcs?{query}{cursor}", tenant)
        assert page.status == 200, page
        found += page.json["records"]
        if page.json["next"] is None:
            return found
        cursor = f"&cursor={page.json['next']}"


def shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("pcs_id", "shard_id", "epoch", "outcome", "regime")}


ALL = [row for _, row in sent()]


@pytest.mark.parametrize("limit", ["", "limit=1&", "limit=5&", "limit=12&", "limit=1000&"])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ALL),
        ("outcome=escalated", [row for row in ALL if row["outcome"] == "escalated"]),
        ("outcome=not_accepted", []),
        ("regime=sticky", [row for row in ALL if row["regime"] == "sticky"]),
        ("from_epoch=3&to_epoch=5", [row for row in ALL if 3 <= row["epoch"] <= 5]),
        (
            "shard_id=press-1",
            sorted(
                (row for row in ALL if row["shard_id"] == "press-1"), key=lambda row: row["epoch"]
            ),
        ),
        (
            "shard_id=press-2&from_epoch=3&to_epoch=7",
            sorted(
                (row for row in ALL if row["shard_id"] == "press-2" and 3 <= row["epoch"] <= 7),
                key=lambda row: row["epoch"],
            ),
        ),
        ("shard_id=press-1&to_epoch=0", []),
        ("shard_id=press", []),
        ("since=2020-01-01T00:00:00.000Z", ALL),
        ("since=9999-01-01T00:00:00.000Z", []),
    ],
)
def test_a_listing_gives_what_it_asks_for_in_its_order_whatever_the_pages(
    listed: ServerProcess, query: str, expected: list[dict[str, Any]], limit: str
) -> None:
    found = rows(listed, limit + query)
    assert [shown(row) for row in found] == expected
    assert all(
        row["status"] == {"accepted": 200, "escalated": 202}[row["outcome"]] for row in found
    )
    export = listed.read(f"/v1/pcs?{query}", Accept=NDJSON)
    assert (export.status, export.headers["content-type"]) == (200, NDJSON)
    lines = [json.loads(line) for line in export.body.splitlines()]
    assert [line["pcs_id"] for line in lines] == [row["pcs_id"] for row in expected]
    for line in lines:
        cursor = line.pop("cursor")
        assert line == {"pcs_id": line["pcs_id"], **listed.get(line["pcs_id"]).json}
        following = f"/v1/pcs?{query}&cursor={cursor}"
        rest = listed.read(following, Accept=NDJSON).body.splitlines()
        assert [json.loads(each)["pcs_id"] for each in rest] == [
            each["pcs_id"] for each in lines[lines.index(line) + 1 :]
        ]


def test_a_row_counts_conflicts_and_a_tenant_sees_its_own_alone(listed: ServerProcess) -> None:
    conflicts = {row["pcs_id"]: row["conflicts"] for row in rows(listed)}
    assert sum(conflicts.values()) == 1
    theirs = rows(listed, tenant="globex")
    assert [row["epoch"] for row in theirs] == [3, 4]
    # One of them has the same id as one of ours, and none of our conflicts.
    assert conflicts[theirs[0]["pcs_id"]] == 1
    assert theirs[0]["conflicts"] == 0
    assert [row["epoch"] for row in rows(listed, "shard_id=press-1", "globex")] == [3, 4]
    assert rows(listed, "shard_id=press-2", "globex") == []


def test_a_cursor_is_its_tenants_and_its_querys_alone(listed: ServerProcess) -> None:
    ours = listed.read("/v1/pcs?limit=1").json["next"]
    stream = listed.read("/v1/pcs?limit=1&shard_id=press-1").json["next"]
    queue = listed.read("/v1/escalations?limit=1").json["next"]
    assert listed.read(f"/v1/pcs?cursor={ours}").status == 200
    forged = ours[:-2] + ("AA" if ours[-2:] != "AA" else "BB")
    for path, tenant in (
        (f"/v1/pcs?cursor={ours}", "globex"),
        (f"/v1/pcs?cursor={stream}", "acme"),
        (f"/v1/pcs?cursor={queue}", "acme"),
        (f"/v1/pcs?outcome=accepted&cursor={ours}", "acme"),
        (f"/v1/pcs?shard_id=press-2&cursor={stream}", "acme"),
        (f"/v1/escalations?cursor={ours}", "acme"),
        (f"/v1/pcs?cursor={forged}", "acme"),
        ("/v1/pcs?cursor=", "acme"),
    ):
        for headers in ({}, {"Accept": NDJSON}):
            refused = listed.read(path, tenant, **headers)
            assert (refused.status, refused.json["code"]) == (400, "bad_request"), path
            assert refused.json["detail"].startswith("cursor: expected")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=1&limit=1", "limit"),
        ("from_epoch=x", "from_epoch"),
        ("from_epoch=3&to_epoch=2", "to_epoch"),
        ("since=now", "since"),
        ("outcome=fine", "outcome"),
        ("regime=odd", "regime"),
        ("shard_id=", "shard_id"),
        ("tenant=globex", "parameters"),
    ],
)
def test_a_wrong_parameter_is_named(listed: ServerProcess, query: str, named: str) -> None:
    refused = listed.read(f"/v1/pcs?{query}")
    assert (refused.status, refused.json["code"]) == (400, "bad_request")
    assert refused.json["detail"].startswith(f"{named}: expected")


@pytest.mark.parametrize("path", ["/v1/pcs", "/v1/escalations"])
def test_a_listing_needs_a_reader(listed: ServerProcess, path: str) -> None:
    assert listed.ask("GET", path).json["code"] == "unauthenticated"
    token = listed.folder.token("acme", "submit")
    forbidden = listed.ask("GET", path, headers={"Authorization": f"Bearer {token}"})
    assert (forbidden.status, forbidden.json["code"]) == (403, "forbidden")


def test_an_acknowledged_record_is_listed_at_once_and_pages_hold_while_others_come(
    folder: Folder,
) -> None:
    load = Load()
    with ServerProcess(folder, *SMALL) as server:
        run = load.start(server, connections=4)
        run.wait_for(50)
        found: list[str] = []
        cursor, pages = "", 0
        while run.acknowledged < 400 or pages < 10:
            before = [id_of(epoch) for epoch in list(load.acknowledged)]
            page = server.read(f"/v1/pcs?limit=30{cursor}").json
            found += [row["pcs_id"] for row in page["records"]]
            pages += 1
            if page["next"] is None:
                # The end of the listing: nothing that was acknowledged before is not in it.
                assert set(before) <= set(found)
                # Nobody's cursor leads beyond the end; the next pass begins anew.
                found, cursor = [], ""
            else:
                cursor = f"&cursor={page['next']}"
            assert len(found) == len(set(found))
        run.end()
        everything = [row["pcs_id"] for row in rows(server, "limit=1000")]
        assert len(everything) == len(set(everything))
        assert {id_of(epoch) for epoch in load.acknowledged} <= set(everything)
        for row in rows(server, "limit=100")[::25]:
            stored = server.get(row["pcs_id"]).json
            assert stored["received_at"] == row["received_at"]
            assert len(stored["conflicts"]) == row["conflicts"]
            assert (stored["record"]["epoch"], stored["outcome"]["accepted"]) == (
                row["epoch"],
                row["outcome"] != "not_accepted",
            )
    assert not load.wrong, load.wrong


def test_a_cursor_survives_a_kill_and_an_index_that_is_built_again(folder: Folder) -> None:
    with ServerProcess(folder) as server:
        for epoch in range(1, 21):
            server.submit(body(epoch))
        whole = rows(server)
        first = server.read("/v1/pcs?limit=7").json
        stream = server.read("/v1/pcs?limit=7&shard_id=press-7").json
        server.kill()
    shutil.rmtree(folder.data / "shard-0" / "index")
    with ServerProcess(folder) as server:
        for epoch in range(21, 24):
            server.submit(body(epoch))
        rest = rows(server, f"cursor={first['next']}")
        assert [*first["records"], *rest][:20] == whole
        assert len(rest) == 16
        assert [
            row["epoch"] for row in rows(server, f"shard_id=press-7&cursor={stream['next']}")
        ] == [*range(8, 24)]


def test_an_export_waits_for_its_reader_and_one_that_takes_nothing_is_cut(folder: Folder) -> None:
    flags = ("--export-stall-s", "0.5", "--exports-per-tenant-max", "1")
    filling = {f"m{number}": "x" * 256 for number in range(16)}
    with ServerProcess(folder, *flags) as server:
        with ThreadPoolExecutor(8) as pool:
            records = [body(epoch, meta=filling) for epoch in range(1, RECORDS + 1)]
            assert {answer.status for answer in pool.map(server.submit, records)} == {200}
        headers = {
            "Authorization": f"Bearer {folder.token('acme')}",
            "Accept": NDJSON,
        }
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        slow.connect(server.address)
        slow.sendall(request("GET", "/v1/pcs", None, headers))
        assert slow.recv(12) == b"HTTP/1.1 200"
        # While it runs, another one of the tenant is refused, and one of another is not.
        refused = server.read("/v1/pcs", Accept=NDJSON)
        assert (refused.status, refused.json["code"]) == (429, "rate_limited")
        assert server.read("/v1/pcs", "globex", Accept=NDJSON).status == 200

        def again() -> Reply:
            return server.read("/v1/pcs", Accept=NDJSON)

        until(lambda: again().status == 200, "the stalled export is cut")
        assert len(again().body.splitlines()) == RECORDS
        got = b""
        try:
            while part := slow.recv(65_536):
                got += part
        except ConnectionResetError:
            pass
        slow.close()
        assert not got.endswith(b"0\r\n\r\n")  # nobody takes it for the whole
        assert server.stop() == 0


def test_an_accept_header_asks_for_an_export_among_others(listed: ServerProcess) -> None:
    whole = listed.read("/v1/pcs", Accept=NDJSON).body
    assert listed.read("/v1/pcs", Accept=f"text/html, {NDJSON.upper()};q=1, */*").body == whole
    assert listed.read("/v1/pcs", Accept="*/*").json["next"] is None
    refused = listed.read("/v1/pcs?limit=3", Accept=NDJSON)
    assert (refused.status, refused.json["code"]) == (400, "bad_request")
    assert refused.json["detail"].startswith("limit: expected none")
