"""fsck as an operator runs it: it names what to do, and with the server stopped does it."""

import json
import shutil
from typing import Any

import lmdb
import pytest
from tests.support.forked import run_command
from tests.support.server_disk import LEDGER, batches, flip
from tests.support.server_process import Folder, ServerProcess
from tests.support.signed import body


def fsck(folder: Folder, *flags: str, code: int) -> dict[str, Any]:
    done = run_command("fractal-server", "fsck", "--config", folder.config, *flags)
    assert done.returncode == code, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_repaired_index_answers_as_the_one_before_it(folder: Folder, *, is_gone: bool) -> None:
    with ServerProcess(folder) as server:
        first = {epoch: server.submit(body(epoch)) for epoch in (1, 2, 3)}
        assert server.stop() == 0
    index = folder.data / "shard-0" / "index"
    if is_gone:
        shutil.rmtree(index)
    else:
        with lmdb.open(str(index), max_dbs=8) as env:
            database = env.open_db(b"records")
            with env.begin(write=True, db=database) as transaction, transaction.cursor() as cursor:
                assert cursor.first()
                assert cursor.delete()
        found = fsck(folder, code=1)
        assert {each["kind"] for each in found["problems"]} == {
            "index_lacks",
            "index_orders_differ",
        }
        assert all("fsck --repair" in each["remedy"] for each in found["problems"])
    before = {path.name: path.read_bytes() for path in (folder.data / LEDGER).glob("*.seg")}
    found = fsck(folder, "--repair", "--signatures", code=0)
    assert found["repairs"] == ["shard-0/index: rebuilt from 3 entries of the ledger"]
    assert found["signatures_checked"] == 3
    assert before == {path.name: path.read_bytes() for path in (folder.data / LEDGER).glob("*.seg")}
    with ServerProcess(folder) as server:
        for epoch, answer in first.items():
            again = server.submit(body(epoch))
            assert (again.status, again.body) == (answer.status, answer.body)
            assert again.is_replayed
        assert server.submit(body(4)).status == 200
        assert server.stop() == 0
    assert fsck(folder, code=0)["records"] == 4


def test_a_repair_beside_a_server_is_refused_with_its_process(folder: Folder) -> None:
    with ServerProcess(folder) as server:
        server.submit(body(1))
        done = run_command("fractal-server", "fsck", "--config", folder.config, "--repair")
        assert done.returncode == 2
        assert f"expected no other process, got pid {server.process.pid}" in done.stderr.decode()
        assert server.stop() == 0
    assert fsck(folder, "--repair", code=0)["repairs"] == []


def test_a_repair_that_would_forget_says_so_and_goes_on_with_the_operator_s_word(
    folder: Folder,
) -> None:
    with ServerProcess(folder) as server:
        for epoch in (1, 2, 3):
            server.submit(body(epoch))
        assert server.stop() == 0
    _, second, _ = batches(folder.data, LEDGER)
    flip(second.path, second.start + 400)
    with lmdb.open(str(folder.data / "shard-0" / "index"), max_dbs=8) as env:
        database = env.open_db(b"streams")
        with env.begin(write=True, db=database) as transaction, transaction.cursor() as cursor:
            assert cursor.first()
            assert cursor.delete()
    (said,) = fsck(folder, "--repair", code=1)["repairs"]
    assert "would forget 1 ids" in said
    found = fsck(folder, "--repair", "--accept-loss", code=1)
    assert found["repairs"] == ["shard-0/index: rebuilt from 2 entries of the ledger"]
    assert {each["kind"] for each in found["problems"]} == {"ledger_damaged"}
    done = run_command("fractal-server", "fsck", "--config", folder.config, "--accept-loss")
    assert (done.returncode, done.stdout) == (2, b"")
