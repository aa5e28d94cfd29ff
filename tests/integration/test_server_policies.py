"""What is asked of one tenant is asked of no other."""

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

from tests.support.faulty_server import Fault, FaultyServer
from tests.support.forked import run_command
from tests.support.server_process import Folder, ServerProcess, until, until_ready
from tests.support.signed import GLOBEX, Signer, body

from fractal_lba.protocol.timestamps import format_timestamp
from fractal_lba.server.core.usage import Usage
from fractal_lba.server.storage.index import LmdbIndex

DAY_MS = 86_400_000
FORGER = Signer("acme", "acme-1", b"f" * 32)


def ask(folder: Folder, tenant: str, *lines: str) -> None:
    """Add what is asked of a tenant to the settings."""
    with (folder.path / "server.toml").open("a") as settings:
        settings.write("\n".join(["", f"[tenants.{tenant}]", *lines, ""]))


def usage(folder: Folder, *options: str) -> list[dict[str, object]]:
    done = run_command(
        "fractal-server", "tenants", "usage", "--config", folder.config, "--json", *options
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_tenant_has_a_horizon_of_its_own(folder: Folder) -> None:
    three_days_ago = format_timestamp(int(time.time() * 1000) - 3 * DAY_MS)
    ask(folder, "globex", "horizon_days = 1")
    with ServerProcess(folder) as server:
        late = server.submit(body(1, signer=GLOBEX, created_at=three_days_ago))
        assert (late.status, late.json["code"]) == (410, "beyond_horizon")
        assert server.submit(body(1, created_at=three_days_ago)).status == 200


def test_a_day_takes_what_it_may_and_a_restart_changes_nothing(folder: Folder) -> None:
    ask(folder, "acme", "records_per_day = 3")
    with ServerProcess(folder) as server:
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda epoch: server.submit(body(epoch)), range(1, 9)))
        taken = [epoch for epoch, reply in enumerate(replies, 1) if reply.status == 200]
        refused = [reply for reply in replies if reply.status == 429]
        assert (len(taken), len(refused)) == (3, 5)
        for reply in refused:
            assert reply.json["code"] == "quota_exceeded"
            assert 1 <= int(reply.headers["retry-after"]) <= 86_400
        # A repeat costs nothing, and nor does another tenant or a body that only claims to be ours.
        assert server.submit(body(taken[0])).is_replayed
        assert server.submit(body(taken[0], n=66)).status == 409
        assert server.submit(body(1, signer=GLOBEX)).status == 200
    with ServerProcess(folder) as server:  # it was killed
        assert server.submit(body(100)).json["code"] == "quota_exceeded"
        assert server.submit(body(taken[0])).is_replayed
        server.stop()
    shutil.rmtree(folder.data / "shard-0" / "index")
    with ServerProcess(folder) as server:
        assert server.submit(body(100)).json["code"] == "quota_exceeded"
        assert server.stop() == 0
    assert [(row["tenant"], row["records"]) for row in usage(folder)] == [
        ("acme", 3),
        ("globex", 1),
    ]
    code, report = folder.fsck()
    assert (code, report["records"]) == (0, 4)
    index = LmdbIndex(folder.data / "shard-0" / "index", map_bytes=1 << 30)
    index.charge("acme", 1, Usage(records=1, bytes=1))
    index.close()
    code, report = folder.fsck()
    assert code == 1
    assert "usage of acme on 1970-01-02" in report["problems"][0]["what"]


def test_nobody_spends_what_is_another_tenants(folder: Folder) -> None:
    ask(folder, "acme", "records_per_day = 1", "rate_per_s = 0.001", "burst = 1")
    with ServerProcess(folder) as server:
        globex = {"Authorization": f"Bearer {folder.token('globex', 'submit')}"}
        for epoch in range(1, 6):
            assert server.submit(body(epoch, signer=FORGER)).status == 401
            assert server.submit(body(epoch), globex).json["code"] == "tenant_mismatch"
        assert server.submit(body(1)).status == 200


def test_a_rate_is_asked_and_says_how_long_to_wait(folder: Folder) -> None:
    ask(folder, "acme", "rate_per_s = 0.01", "burst = 2")
    with ServerProcess(folder) as server:
        assert [server.submit(body(epoch)).status for epoch in (1, 2, 3)] == [200, 200, 429]
        over = server.submit(body(3))
        assert over.json["code"] == "quota_exceeded"
        assert 90 <= int(over.headers["retry-after"]) <= 100
        assert server.submit(body(1)).is_replayed
        metrics = server.ask("GET", "/metrics").body.decode()
        assert 'flk_rejected_total{code="quota_exceeded",tenant="acme"} 2.0' in metrics


def test_what_the_disk_refused_is_given_back_and_decided_when_it_is_sound(folder: Folder) -> None:
    ask(folder, "acme", "records_per_day = 2", "rate_per_s = 0.001", "burst = 2")
    with FaultyServer(folder) as server:
        assert server.submit(body(1)).status == 200
        server.tell(Fault(since=2, only="datasync"))  # the inbox takes it, the ledger does not
        assert server.submit(body(2)).status == 503
        server.tell(None)
        until_ready(server)
        until(lambda: server.submit(body(2)).is_replayed, "the body that was left open is decided")
        assert server.submit(body(3)).json["code"] == "quota_exceeded"
        assert server.stop() == 0
    (row,) = usage(folder)
    assert row["records"] == 2


def test_usage_is_read_beside_a_running_server(folder: Folder) -> None:
    ask(folder, "acme", "bytes_per_day = 100000")
    with ServerProcess(folder) as server:
        sent = [body(1), body(2, signer=GLOBEX)]
        for each in sent:
            assert server.submit(each).status == 200
        until(lambda: len(usage(folder)) == 2, "the index is committed when idle")
        (row,) = usage(folder, "--tenant", "acme")
        assert (row["records"], row["bytes"]) == (1, len(sent[0]))
        assert (row["records_per_day"], row["bytes_per_day"]) == (0, 100_000)
        assert usage(folder, "--day", str(row["day"])) == usage(folder)
        assert usage(folder, "--day", "1999-01-01") == []
        nobody = run_command(
            "fractal-server", "tenants", "usage", "--config", folder.config, "--tenant", "acmee"
        )
        assert (nobody.returncode, nobody.stdout) == (0, b"")
        assert nobody.stderr == (b"nothing was counted; tenants with records here: acme, globex\n")
        assert server.process.poll() is None
