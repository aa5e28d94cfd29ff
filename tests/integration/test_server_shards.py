"""Several shards in one server: each id has one owner, and who reads over all misses nothing."""

import json
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.oracle.ring import owner, point
from tests.support.forked import run_command
from tests.support.server_process import Folder, ServerProcess, until, until_ready
from tests.support.shard_faults import fail_while
from tests.support.signed import GLOBEX, body, members

SHARDS = ["shard-0", "shard-1", "shard-2", "shard-3"]
SET = [(name, 1) for name in SHARDS]
ODD: list[dict[str, Any]] = [{}, {"regime": "sticky"}]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "four", shards="4")


def id_of(epoch: int) -> str:
    made: str = members(epoch)["pcs_id"]
    return made


def owner_of(epoch: int, tenant: str = "acme") -> str:
    return owner(SET, point(tenant, id_of(epoch)))


def epochs_of(shard: str, count: int, *, after: int = 0) -> list[int]:
    found: list[int] = []
    epoch = after
    while len(found) < count:
        epoch += 1
        if owner_of(epoch) == shard:
            found.append(epoch)
    return found


def some_of_each(count: int, *, after: int = 0) -> list[int]:
    return sorted(epoch for shard in SHARDS for epoch in epochs_of(shard, count, after=after))


def command(folder: Folder, *words: str) -> list[dict[str, Any]]:
    done = run_command("fractal-server", *words, "--config", folder.config, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def walked(server: ServerProcess, path: str, *, limit: int) -> list[dict[str, Any]]:
    """Every row of a listing, a page after the other."""
    rows: list[dict[str, Any]] = []
    after = ""
    while True:
        page = server.read(f"{path}{'&' if '?' in path else '?'}limit={limit}{after}").json
        rows += page["records"]
        if page["next"] is None:
            return rows
        after = f"&cursor={page['next']}"


def exported(server: ServerProcess, path: str) -> list[dict[str, Any]]:
    return server.read(path, Accept="application/x-ndjson").lines


def test_an_id_of_every_shard_is_decided_once_and_answered_alike_for_ever(folder: Folder) -> None:
    epochs = some_of_each(3)
    firsts = {}
    with ServerProcess(folder) as server:
        with ThreadPoolExecutor(8) as pool:
            twice = list(pool.map(lambda epoch: server.submit(body(epoch)), [*epochs, *epochs]))
        for epoch, one, other in zip(
            epochs, twice[: len(epochs)], twice[len(epochs) :], strict=True
        ):
            assert (one.status, one.body) == (200, other.body)
            assert sorted([one.is_replayed, other.is_replayed]) == [False, True]
            firsts[epoch] = one
        lines = b"\n".join(body(epoch) for epoch in epochs)
        assert all(line["status"] == 200 and line["replayed"] for line in server.batch(lines).lines)
        server.kill()
    with ServerProcess(folder) as server:
        for epoch, first in firsts.items():
            again = server.submit(body(epoch))
            assert (again.status, again.body, again.is_replayed) == (200, first.body, True)
            conflict = server.submit(body(epoch, n=66))
            assert (conflict.status, conflict.json["code"]) == (409, "pcs_id_conflict")
            assert server.get(id_of(epoch)).json["outcome"] == first.json
            assert server.get(id_of(epoch), "globex").status == 404
        assert server.stop() == 0
    held = Counter(row["ledger"] for row in command(folder, "records", "list"))
    assert held == dict.fromkeys(SHARDS, 3)
    code, report = folder.fsck()
    assert (code, report["records"], report["conflicts"]) == (0, 12, 12)
    found = command(folder, "conflicts", "list")
    assert sorted(row["pcs_id"] for row in found) == sorted(map(id_of, epochs))


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_pages_and_exports_over_all_shards_give_each_record_once(
    folder: Folder, limit: int
) -> None:
    epochs = some_of_each(3)
    with ServerProcess(folder) as server:
        for epoch in epochs:
            server.submit(body(epoch, **ODD[epoch % 2]))
        server.submit(body(1, signer=GLOBEX))
        rows = walked(server, "/v1/pcs", limit=limit)
        # Received one after the other: so they are listed, whatever shard each is in.
        assert [row["epoch"] for row in rows] == epochs
        assert [row["ledger"] for row in rows] == [owner_of(epoch) for epoch in epochs]
        assert {row["number"] for row in rows} == {1, 2, 3}
        stream = rows[0]["shard_id"]
        of_stream = walked(server, f"/v1/pcs?shard_id={stream}", limit=limit)
        assert [row["epoch"] for row in of_stream] == epochs
        lines = exported(server, "/v1/pcs")
        assert [line["pcs_id"] for line in lines] == [row["pcs_id"] for row in rows]
        # Behind the cursor of any line comes the rest, of each shard.
        rest = exported(server, f"/v1/pcs?cursor={lines[4]['cursor']}")
        assert rest == lines[5:]
        late = epochs_of(owner_of(epochs[0]), 1, after=epochs[-1])[0]
        server.submit(body(late))
        later = exported(server, f"/v1/pcs?cursor={lines[-1]['cursor']}")
        assert [line["pcs_id"] for line in later] == [id_of(late)]


def test_escalations_of_every_shard_are_listed_and_resolved(folder: Folder) -> None:
    epochs = some_of_each(1)
    with ServerProcess(folder) as server:
        for epoch in epochs:
            assert server.submit(body(epoch, regime="sticky")).status == 202
        queue = [row["epoch"] for row in walked(server, "/v1/escalations", limit=2)]
        assert queue == epochs
        for epoch in epochs[:-1]:
            assert server.resolve(id_of(epoch), "a loose cable").status == 200
        assert [row["epoch"] for row in walked(server, "/v1/escalations", limit=2)] == epochs[-1:]
        assert server.get(id_of(epochs[0])).json["resolutions"][0]["note"] == "a loose cable"
        assert server.stop() == 0
    assert [row["epoch"] for row in command(folder, "escalations", "list")] == epochs[-1:]


def test_a_fenced_shard_keeps_no_other_from_being_served(folder: Folder, tmp_path: Path) -> None:
    flag = tmp_path / "broken"
    theirs, (before, first, second) = epochs_of("shard-0", 3), epochs_of("shard-2", 3)
    flags = ("--mend-interval-s", "0.05", "--left-open-max", "4")
    with ServerProcess(folder, *flags, plant=partial(fail_while, flag, "shard-2")) as server:
        assert server.submit(body(before)).status == 200
        flag.touch()
        for _ in range(8):  # more than may be left open of all: the others are let in all the same
            failed = server.submit(body(first))
            assert (failed.status, failed.json["code"]) == (503, "storage_unavailable")
        ready = server.ask("GET", "/ready")
        assert ready.status == 503
        assert all("shard-2/ledger" in reason for reason in ready.json["reasons"]), ready.json
        for epoch in theirs:
            assert server.submit(body(epoch)).status == 200
        # What it decided is still known, what is new to it is not.
        assert server.submit(body(before)).is_replayed
        assert server.get(id_of(before)).status == 200
        assert server.get(id_of(second)).status == 503
        mixed = server.batch(b"\n".join([body(theirs[0]), body(second)])).lines
        assert [line["status"] for line in mixed] == [200, 503]
        flag.unlink()
        until_ready(server)
        until(lambda: server.get(id_of(first)).status == 200, "what was left open, decided")
        assert server.submit(body(second)).status == 200
        assert server.stop() == 0
    code, report = folder.fsck()
    assert (code, report["records"]) == (0, 6)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("where", ["shard-1", "shard-1/ledger"])
def test_a_shard_whose_folder_is_gone_is_not_begun_again_and_is_taken_up_once_it_is_back(
    folder: Folder, tmp_path: Path, where: str, workers: str
) -> None:
    gone, away = folder.data / where, tmp_path / "away"
    (before, new), (other,) = epochs_of("shard-1", 2), epochs_of("shard-3", 1)
    with ServerProcess(folder) as server:
        first = server.submit(body(before))
        assert server.stop() == 0
    gone.rename(away)
    gone.mkdir()  # what it was mounted on
    with ServerProcess(folder, "--workers", workers, "--mend-interval-s", "0.05") as server:
        assert server.submit(body(other)).status == 200
        for epoch in (before, new):
            assert server.submit(body(epoch)).status == 503
        (reason,) = {
            each for each in server.ask("GET", "/ready").json["reasons"] if "shard-1" in each
        }
        assert "expected the ledger that init began, got none" in reason
        assert not list(gone.iterdir())
        gone.rmdir()
        away.rename(gone)
        until_ready(server)
        again = server.submit(body(before))
        assert (again.is_replayed, again.body) == (True, first.body)
        until(lambda: server.get(id_of(new)).status == 200, "what was left open, decided")
        assert server.stop() == 0


def test_a_shard_whose_folder_goes_while_it_serves_is_not_begun_again(
    folder: Folder, tmp_path: Path
) -> None:
    flag = tmp_path / "broken"
    gone, away = folder.data / "shard-1" / "ledger", tmp_path / "away"
    before, new = epochs_of("shard-1", 2)
    plant = partial(fail_while, flag, "shard-1", writes=True)
    with ServerProcess(folder, "--mend-interval-s", "0.05", plant=plant) as server:
        first = server.submit(body(before))
        gone.rename(away)
        gone.mkdir()
        flag.touch()
        assert server.submit(body(new)).status == 503
        flag.unlink()
        until(
            lambda: any(
                "expected its segments, got none" in line.get("error", "")
                for line in server.log_lines()
            ),
            "a try to open it again",
        )
        assert not list(gone.iterdir())
        gone.rmdir()
        away.rename(gone)
        until_ready(server)
        again = server.submit(body(before))
        assert (again.is_replayed, again.body) == (True, first.body)
        assert server.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_shard_that_cannot_be_opened_keeps_no_other_from_being_served_and_is_taken_up(
    folder: Folder, tmp_path: Path, workers: str
) -> None:
    ledger = folder.data / "shard-1" / "ledger"
    (before, new), (other,) = epochs_of("shard-1", 2), epochs_of("shard-3", 1)
    with ServerProcess(folder) as server:
        first = server.submit(body(before))
        assert first.status == 200
        assert server.stop() == 0
    ledger.rename(tmp_path / "away")
    ledger.write_bytes(b"in the way")
    flags = ("--workers", workers, "--mend-interval-s", "0.05")
    with ServerProcess(folder, *flags) as server:

        def is_told_alone() -> bool:
            ready = server.ask("GET", "/ready")
            assert ready.status == 503
            return all("shard-1: expected to be opened" in each for each in ready.json["reasons"])

        # Beside it a worker may not have heard yet that the other one serves.
        until(is_told_alone, "nothing but that shard is told of")
        metrics = server.ask("GET", "/metrics").body.decode()
        assert 'flk_wal_errors_total{stream="shard-1/ledger"}' in metrics
        for epoch in (before, new):
            away = server.submit(body(epoch))
            assert (away.status, away.json["code"]) == (503, "storage_unavailable")
            assert int(away.headers["retry-after"]) >= 1
        assert server.get(id_of(before)).status == 503
        assert server.submit(body(other)).status == 200
        said = [line for line in server.log_lines() if line["event"] == "shard not opened"]
        assert [line["stream"] for line in said] == ["shard-1"]
        ledger.unlink()
        (tmp_path / "away").rename(ledger)
        until_ready(server)
        again = server.submit(body(before))
        assert (again.is_replayed, again.body) == (True, first.body)
        until(lambda: server.get(id_of(new)).status == 200, "what was left open, decided")
        assert server.stop() == 0
    # The other copy of a repeat may still stand open in the inbox of the other worker.
    code, report = folder.fsck()
    assert (code, report["records"], report["stored_twice"]) == (0, 3, 0)


@pytest.mark.parametrize("writes", [True, False])
def test_a_day_over_four_shards_takes_exactly_what_it_may(
    folder: Folder, tmp_path: Path, *, writes: bool
) -> None:
    flag = tmp_path / "broken"
    with (folder.path / "server.toml").open("a") as settings:
        settings.write("\n[tenants.acme]\nrecords_per_day = 20\n")
    plant = partial(fail_while, flag, "shard-1", writes=writes)
    with ServerProcess(folder, "--mend-interval-s", "0.05", plant=plant) as server:
        for epoch in some_of_each(2):
            assert server.submit(body(epoch)).status == 200
        server.kill()
    with ServerProcess(folder, "--mend-interval-s", "0.05", plant=plant) as server:  # 8 are there
        flag.touch()
        doubtful = epochs_of("shard-1", 3, after=1_000)
        for epoch in doubtful:
            assert server.submit(body(epoch)).status == 503
        others = [epoch for epoch in range(2_000, 2_100) if owner_of(epoch) != "shard-1"]
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda epoch: server.submit(body(epoch)), others))
        taken = sum(reply.status == 200 for reply in replies)
        # One append was in doubt: it counts while nobody knows.
        assert taken == 11
        assert {reply.status for reply in replies} == {200, 503}
        flag.unlink()
        until_ready(server)
        until(lambda: server.get(id_of(doubtful[0])).status == 200, "what was left open, decided")
        again = [server.submit(body(epoch)) for epoch in doubtful]
        rest = [server.submit(body(epoch)) for epoch in others]
        total = 8 + sum(reply.status == 200 for reply in [*again, *rest])
        assert total == 20
        assert {reply.json["code"] for reply in rest if reply.status != 200} == {"quota_exceeded"}
        assert server.stop() == 0
    used = command(folder, "tenants", "usage")
    assert [row["records"] for row in used] == [20]
    with ServerProcess(folder) as server:
        assert server.submit(body(5_000)).status == 429
        assert server.submit(body(5_000, signer=GLOBEX)).status == 200


def test_losses_are_told_and_accepted_for_each_shard(folder: Folder) -> None:
    (lost,), (sound, new) = epochs_of("shard-3", 1), epochs_of("shard-0", 2)
    with ServerProcess(folder) as server:
        for epoch in (lost, sound):
            assert server.submit(body(epoch)).status == 200
        assert server.stop() == 0
    segment = min((folder.data / "shard-3" / "ledger").glob("*.seg"))
    data = bytearray(segment.read_bytes())
    data[data.index(b"record_digest")] ^= 1
    segment.write_bytes(bytes(data))
    shutil.rmtree(folder.data / "shard-3" / "index")
    with ServerProcess(folder) as server:
        reasons = server.ask("GET", "/ready").json["reasons"]
        assert reasons == [
            "damaged: decisions 1 to 1 of shard-3 cannot be read; new ids of it are refused"
        ]
        assert server.submit(body(lost)).status == 503
        assert server.submit(body(sound)).is_replayed
        assert server.submit(body(new)).status == 200
        assert server.stop() == 0
    with ServerProcess(folder, "--accept-loss") as server:
        assert server.ask("GET", "/ready").status == 200
        assert server.submit(body(lost)).status == 200


def test_a_record_in_another_shard_than_its_own_is_a_problem(folder: Folder) -> None:
    epochs = some_of_each(2)
    with ServerProcess(folder) as server:
        for epoch in epochs:
            server.submit(body(epoch))
        assert server.stop() == 0
    path = folder.data / "shards.json"
    edited = msgspec.json.decode(path.read_bytes())
    edited["shards"][0]["weight"] = 16
    path.write_bytes(msgspec.json.encode(edited))
    refused = run_command("fractal-server", "fsck", "--config", folder.config)
    assert refused.returncode == 2
    assert b"expected the configured shards shard-0, shard-1" in refused.stderr
    done = run_command("fractal-server", "fsck", "--config", folder.config, "--shards", "")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    moved = [
        epoch
        for epoch in epochs
        if owner([("shard-0", 16), *SET[1:]], point("acme", id_of(epoch))) != owner_of(epoch)
    ]
    assert moved
    assert {each["kind"] for each in report["problems"]} == {"wrong_shard"}
    assert len(report["problems"]) == len(moved)
    for epoch in moved:
        what = f"expected an id of {owner_of(epoch)}, got {id_of(epoch)} of shard-0"
        assert what in [each["what"] for each in report["problems"]]
