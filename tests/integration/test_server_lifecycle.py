"""Start to end: probes, a graceful end under load, keys that come and go, an index that is gone."""

import itertools
import os
import shutil
import signal
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.server_process import Folder, Reply, ServerProcess
from tests.support.signed import ACME, ACME_NEXT, GLOBEX, Signer, body, members
from tests.support.wire import Wire, request, submission

WAIT_S = 20.0
NDJSON = {"Content-Type": "application/x-ndjson"}
QUICK_POLL = ("--keyring-poll-s", "0.02")


def until(is_true: Callable[[], bool]) -> None:
    """Ask again until it is true; a server that never gets there fails the test."""
    end = time.monotonic() + WAIT_S
    while not is_true():
        assert time.monotonic() < end, "expected it to become true"


def test_the_probes_say_ok_and_ready(shared_server: ServerProcess) -> None:
    health = shared_server.ask("GET", "/health")
    assert (health.status, health.body) == (200, b"OK")
    ready = shared_server.ask("GET", "/ready")
    growth = ready.json["growth"]
    assert (ready.status, ready.json) == (200, {"ready": True, "reasons": [], "growth": growth})
    assert growth["data_bytes"] > growth["index_bytes"] > 0
    assert growth["index_bytes_in_a_day"] >= 0
    metrics = shared_server.ask("GET", "/metrics")
    assert metrics.status == 200
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_metrics_ask_for_their_user_when_there_is_one(folder: Folder) -> None:
    (folder.path / "password").write_text("geheim:ü\n", encoding="utf-8")
    flags = ("--metrics-user", "prometheus", "--metrics-password", "file:password")
    with ServerProcess(folder, *flags) as server:

        def scrape(authorization: str | None) -> Reply:
            headers = {"Authorization": authorization} if authorization else {}
            with Wire(server.address) as wire:
                return wire.ask("GET", "/metrics", None, headers)

        right = b64encode("prometheus:geheim:ü".encode()).decode()
        assert scrape(f"Basic {right}").status == 200
        wrong = (b"prometheus:geheim", b"prometheus", b":", b"", b"other:geheim:\xc3\xbc")
        for authorization in (
            None,
            f"Bearer {right}",
            "Basic",
            "Basic ü",
            "Basic ????",
            *(f"Basic {b64encode(each).decode()}" for each in wrong),
        ):
            refused = scrape(authorization)
            assert (refused.status, refused.json["code"]) == (401, "unauthenticated")
            assert refused.headers["www-authenticate"] == 'Basic realm="metrics"'
        assert server.ask("GET", "/ready").status == 200
        assert "geheim" not in server.log.read_text()


def test_a_stop_answers_what_was_accepted_and_refuses_what_is_new(folder: Folder) -> None:
    with ServerProcess(folder, "--body-timeout-s", "30") as server, Wire(server.address) as idle:
        assert idle.ask("GET", "/health").status == 200
        slow = [Wire(server.address) for _ in range(20)]
        for epoch, wire in enumerate(slow):
            wire.send(submission(body(epoch))[:-1])
        # Answered in order behind the slow ones' heads, which the server has therefore read.
        assert idle.submit(body(1_000)).status == 200
        server.process.send_signal(signal.SIGTERM)
        until(lambda: idle.ask("GET", "/ready").status == 503)
        ready = idle.ask("GET", "/ready").json
        assert (ready["ready"], ready["reasons"]) == (False, ["draining"])
        refused = idle.submit(body(1_001))
        assert (refused.status, refused.json["code"]) == (503, "draining")
        assert refused.headers["retry-after"] == "1"
        with pytest.raises(ConnectionRefusedError):
            Wire(server.address)
        for epoch, wire in enumerate(slow):
            wire.send(body(epoch)[-1:])
        answers = [wire.reply() for wire in slow]
        assert {answer.status for answer in answers} == {200}
        assert server.process.wait(timeout=WAIT_S) == 0
        for wire in slow:
            wire.close()
    code, report = folder.fsck()
    assert (code, report["records"], report["undecided_inbox"]) == (0, 21, 0)
    with ServerProcess(folder) as server:
        for epoch, first in enumerate(answers):
            again = server.submit(body(epoch))
            assert (again.is_replayed, again.body) == (True, first.body)
        assert not server.submit(body(1_001)).is_replayed


def test_a_stop_under_load_loses_nothing_that_was_answered(folder: Folder) -> None:
    answered: dict[int, Reply] = {}
    epochs = itertools.count(1)
    enough = threading.Event()

    def send(server: ServerProcess) -> None:
        with Wire(server.address) as wire:
            while True:
                epoch = next(epochs)
                try:
                    answer = wire.submit(body(epoch))
                except OSError:  # closed: nothing was promised
                    return
                if answer.status == 503:
                    assert answer.json["code"] == "draining"
                    continue
                answered[epoch] = answer
                if len(answered) > 200:
                    enough.set()

    with ServerProcess(folder) as server:
        threads = [threading.Thread(target=send, args=(server,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert enough.wait(WAIT_S)
        assert server.stop() == 0
        for thread in threads:
            thread.join()
    code, report = folder.fsck()
    assert (code, report["undecided_inbox"], report["stored_twice"]) == (0, 0, 0)
    assert report["records"] >= len(answered)
    with ServerProcess(folder) as server, Wire(server.address) as wire:
        for epoch, first in answered.items():
            again = wire.submit(body(epoch))
            assert (again.is_replayed, again.body) == (True, first.body)


def test_a_body_that_never_ends_does_not_keep_a_stop_from_ending(folder: Folder) -> None:
    flags = ("--grace-s", "0.2", "--body-timeout-s", "600")
    with ServerProcess(folder, *flags) as server, Wire(server.address) as wire:
        wire.send(submission(body(1))[:-1])
        until(lambda: server.submit(body(2)).status == 200)
        assert server.stop() == 0, server.log.read_text()
    code, report = folder.fsck()
    assert code == 0, report


def test_a_stop_has_one_grace_whatever_a_stranger_sent(folder: Folder) -> None:
    # 250 records that take their lane's thread some 40 s at its share of a core.
    dear = b'{"a":[' + b",".join([b"1.5e3"] * 10_800) + b"]}\n"
    with ServerProcess(folder, "--grace-s", "1") as server, Wire(server.address) as wire:
        wire.send(request("POST", "/v1/pcs/batch", dear * 250, NDJSON))
        until(lambda: b'stream="inbox-0"} 1' in server.ask("GET", "/metrics").body)
        started = time.monotonic()
        assert server.stop() == 0, server.log.read_text()
        assert time.monotonic() - started < 15
    code, report = folder.fsck()
    assert (code, report["undecided_inbox"]) == (0, 1)


def test_the_keyring_is_followed_as_it_changes(folder: Folder) -> None:
    with ServerProcess(folder, *QUICK_POLL) as server:
        first = server.submit(body(1))
        newcomer = Signer("initech", "initech-1", b"i" * 32)
        assert server.submit(body(1, signer=newcomer)).json["code"] == "unknown_key"
        folder.write_keyring([ACME, GLOBEX, newcomer])
        until(lambda: server.submit(body(1, signer=newcomer)).status == 200)
        assert server.get(members(1)["pcs_id"], "initech").status == 200

        # A broken file changes nothing, and is told in the log and in a metric.
        path = folder.path / "keyring.json"
        sound = path.read_bytes()
        # Put there at once: a file seen half written would be refused by itself, and told too.
        broken = path.with_suffix(".broken")
        broken.write_bytes(b'{"keys": [{"kid": "secret-word"')
        broken.chmod(0o600)
        broken.replace(path)
        until(lambda: b"flk_keyring_errors_total 1.0" in server.ask("GET", "/metrics").body)
        assert server.submit(body(2, signer=newcomer)).status == 200
        (line,) = [line for line in server.log_lines() if line["level"] == "error"]
        assert line["event"] == "keyring refused, the old one stays"
        assert "keyring.json" in line["error"]
        assert "secret-word" not in server.log.read_text()
        path.unlink()
        until(lambda: b"flk_keyring_errors_total 2.0" in server.ask("GET", "/metrics").body)
        assert server.submit(body(1)).is_replayed

        # A key removed from a sound file is gone at once, for repeats and for reads too.
        path.write_bytes(sound)
        path.chmod(0o600)
        folder.write_keyring([ACME, GLOBEX])
        until(lambda: server.submit(body(1, signer=newcomer)).json.get("code") == "unknown_key")
        assert server.get(members(1)["pcs_id"], "initech").status == 401
        again = server.submit(body(1))
        assert (again.is_replayed, again.body) == (True, first.body)


def test_the_keyring_is_loaded_on_a_signal(folder: Folder) -> None:
    with ServerProcess(folder, "--keyring-poll-s", "3600") as server:
        assert server.submit(body(1)).status == 200
        folder.write_keyring([GLOBEX])
        # Not looked at for an hour, but for the signal.
        assert server.submit(body(1)).is_replayed
        server.process.send_signal(signal.SIGHUP)
        until(lambda: server.submit(body(1)).status == 401)
        assert server.submit(body(1)).json["code"] == "unknown_key"
        folder.write_keyring([ACME, GLOBEX])
        server.process.send_signal(signal.SIGHUP)
        until(lambda: server.submit(body(1)).is_replayed)
        assert server.stop() == 0


def test_a_retired_key_answers_its_repeats_and_decides_nothing_new(folder: Folder) -> None:
    retired = Signer("acme", ACME.kid, ACME.secret, not_after="2026-01-01T00:00:00.000Z")
    with ServerProcess(folder, *QUICK_POLL) as server:
        first = server.submit(body(1))
        refused = server.submit(body(2, D_hat=3.0))
        folder.write_keyring([retired, ACME_NEXT, GLOBEX])
        # Each is new: what was decided before the file was seen would be a repeat.
        epochs = itertools.count(100)
        until(lambda: server.submit(body(next(epochs))).status == 401)
        assert server.submit(body(3)).json["code"] == "key_not_valid_now"
        for sent, answer in ((body(1), first), (body(2, D_hat=3.0), refused)):
            again = server.submit(sent)
            assert (again.status, again.is_replayed) == (answer.status, True)
            assert again.body == answer.body
        # Another content under a decided id is a conflict still: it is not new.
        assert server.submit(body(1, n=65)).status == 409
        # What the retired key could not decide, the next one can.
        assert not server.submit(body(3, signer=ACME_NEXT)).is_replayed
        assert server.submit(body(3)).is_replayed


def _delete(index: Path, _: Path) -> None:
    shutil.rmtree(index)


def _garbage(index: Path, _: Path) -> None:
    (index / "data.mdb").write_bytes(os.urandom(65_536))


def _empty(index: Path, _: Path) -> None:
    (index / "data.mdb").write_bytes(b"")


def _truncated(index: Path, _: Path) -> None:
    data = index / "data.mdb"
    os.truncate(data, data.stat().st_size // 2)


def _of_another_server(index: Path, other: Path) -> None:
    shutil.rmtree(index)
    shutil.copytree(other, index)


@pytest.mark.parametrize("damage", [_delete, _garbage, _empty, _truncated])
def test_an_index_that_is_no_use_is_built_again(
    folder: Folder, damage: Callable[[Path, Path], None]
) -> None:
    sent = [
        *(body(epoch) for epoch in range(5)),
        body(5, D_hat=3.0),
        body(5),  # a conflict
        body(1, signer=GLOBEX, n=65),
    ]
    with ServerProcess(folder) as server:
        answers = [server.submit(each) for each in sent]
        shown = server.get(members(5)["pcs_id"]).body
        assert server.stop() == 0
    damage(folder.data / "shard-0" / "index", folder.path)
    with ServerProcess(folder) as server:
        for each, first in zip(sent, answers, strict=True):
            again = server.submit(each)
            assert again.said == first.said
            assert again.is_replayed == (first.status != 409)
        assert server.get(members(5)["pcs_id"]).body == shown
        assert not server.submit(body(99)).is_replayed
        assert server.stop() == 0
    code, report = folder.fsck()
    assert (code, report["records"], report["conflicts"]) == (0, 8, 1)


@pytest.mark.parametrize(("mine", "its"), [(3, 9), (9, 3), (5, 5)])
def test_the_index_of_another_server_is_not_believed(folder: Folder, mine: int, its: int) -> None:
    other = Folder(folder.path.with_name("other"))
    with ServerProcess(other) as server:
        for epoch in range(100, 100 + its):
            server.submit(body(epoch))
        server.stop()
    with ServerProcess(folder) as server:
        answers = [server.submit(body(epoch)) for epoch in range(mine)]
        server.stop()
    _of_another_server(folder.data / "shard-0" / "index", other.data / "shard-0" / "index")
    with ServerProcess(folder) as server:
        for epoch, first in enumerate(answers):
            again = server.submit(body(epoch))
            assert (again.is_replayed, again.body) == (True, first.body)
        # What only the other one decided is new here.
        for epoch in range(100, 100 + its):
            answer = server.submit(body(epoch))
            assert (answer.status, answer.is_replayed) == (200, False)
        server.stop()
    code, report = folder.fsck()
    assert (code, report["records"], report["stored_twice"]) == (0, mine + its, 0)
