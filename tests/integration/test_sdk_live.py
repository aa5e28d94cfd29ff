"""Each SDK's client before the real server: every kind of answer, and none for a while."""

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.faulty_server import Fault, FaultyServer
from tests.support.sdk_drivers import SDKS, Driver, require
from tests.support.server_process import Folder, ServerProcess, until_ready
from tests.support.signed import GLOBEX, Signer, body, members

CLIENTS: Final = [name for name in SDKS if name != "wasm"]
"""WebAssembly has the protocol; its records are sent by the page's or program's own client."""

OUTBOXES: Final = CLIENTS
DEADLINE_S: Final = 60.0
SHORT_S: Final = 0.5
WINDOWS: Final = 20
STRANGER: Final = Signer("acme", "nobody-1", b"x" * 32)
NOT_ACCEPTED: Final[dict[str, Any]] = {"N_j": {"2": 9, "4": 8, "8": 16, "16": 30, "32": 60}}


@pytest.fixture(params=CLIENTS)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    require(request.param)
    with Driver(request.param) as driver:
        yield driver


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def opened(driver: Driver, url: str, *, token: str | None = None, retries: int = 0) -> Driver:
    said = driver.ask("client.open", url=url, token=token, retries=retries, deadline_s=DEADLINE_S)
    assert said["ok"]
    return driver


def submitted(driver: Driver, sent: bytes) -> dict[str, Any]:
    return driver.ask("client.submit", body=text(sent))


def brief(said: dict[str, Any]) -> tuple[object, object, object]:
    return said.get("status"), said.get("replayed"), said.get("code")


def failure(said: dict[str, Any]) -> tuple[object, object]:
    return said["error"]["kind"], said["error"]["code"]


def document(said: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.b64decode(said["body"]))
    return found


def test_a_record_is_accepted_and_a_repeat_gets_the_same_answer(
    driver: Driver, shared_server: ServerProcess, fresh_epoch: int
) -> None:
    opened(driver, shared_server.url)
    first = submitted(driver, body(fresh_epoch))
    again = submitted(driver, body(fresh_epoch))
    assert brief(first) == (200, False, None)
    assert brief(again) == (200, True, None)
    assert first["body"] == again["body"]
    assert document(first)["accepted"]
    assert first["attempts"] == 1


def test_verdicts_and_refusals_come_as_they_are(
    driver: Driver, shared_server: ServerProcess, fresh_epoch: int
) -> None:
    opened(driver, shared_server.url, retries=3)
    submitted(driver, body(fresh_epoch))
    unsound = json.dumps({**members(fresh_epoch + 3), "n": 2}).encode()
    forged = body(fresh_epoch + 4).replace(b'"seed":42', b'"seed":43')
    found = [
        brief(submitted(driver, sent))
        for sent in (
            body(fresh_epoch + 1, regime="sticky"),
            body(fresh_epoch + 2, **NOT_ACCEPTED),
            body(fresh_epoch, seed=7),
            unsound,
            body(fresh_epoch + 5, signer=STRANGER),
            forged,
            body(fresh_epoch + 6, created_at="2001-01-01T00:00:00.000Z"),
        )
    ]
    assert found == [
        (202, False, None),
        (422, False, None),
        (409, False, "pcs_id_conflict"),
        (400, False, "invalid_record"),
        (401, False, "unknown_key"),
        (401, False, "signature_invalid"),
        (410, False, "beyond_horizon"),
    ]


def test_each_line_of_a_batch_has_its_answer_however_it_is_packed(
    driver: Driver, shared_server: ServerProcess, fresh_epoch: int
) -> None:
    opened(driver, shared_server.url)
    packed = 0
    for at, encoding in enumerate((None, "gzip", "zstd")):
        first = fresh_epoch + 10 * at
        sent = [
            body(first),
            body(first + 1, regime="sticky"),
            b'{"version":"1.0"}',
            body(first, seed=9),
        ]
        said = driver.ask("client.batch", bodies=[text(each) for each in sent], encoding=encoding)
        if "unknown" in said:
            assert encoding == "zstd"  # which not every platform has
            continue
        packed += 1
        assert [(each["status"], each["code"]) for each in said["answers"]] == [
            (200, None),
            (202, None),
            (400, "invalid_record"),
            (409, "pcs_id_conflict"),
        ]
    assert packed >= 2


def test_what_was_sent_is_read_back_and_listed_by_who_may(
    driver: Driver, shared_server: ServerProcess, fresh_epoch: int
) -> None:
    opened(driver, shared_server.url)
    stream = f"sdk-{driver.name}-{fresh_epoch}"
    for epoch in range(3):
        submitted(driver, body(epoch, shard_id=stream))
    pcs_id = str(members(0, shard_id=stream)["pcs_id"])
    opened(driver, shared_server.url, token=shared_server.folder.token("acme"))
    assert brief(submitted(driver, body(3, shard_id=stream))) == (403, False, "forbidden")
    got = driver.ask("client.get", pcs_id=pcs_id)
    assert got["status"] == 200
    assert document(got)["record"]["shard_id"] == stream
    assert brief(driver.ask("client.get", pcs_id="00" * 32)) == (404, False, "not_found")
    page = driver.ask("client.list", query={"shard_id": stream, "limit": "2"})
    rest = driver.ask(
        "client.list",
        query={"shard_id": stream, "limit": "2", "cursor": document(page)["next"]},
    )
    assert [row["epoch"] for row in document(page)["records"]] == [0, 1]
    assert [row["epoch"] for row in document(rest)["records"]] == [2]
    assert document(rest)["next"] is None
    assert brief(driver.ask("client.list", query={"limit": "0"})) == (400, False, "bad_request")
    opened(driver, shared_server.url)
    assert brief(driver.ask("client.get", pcs_id=pcs_id)) == (401, False, "unauthenticated")
    opened(driver, shared_server.url, token=shared_server.folder.token("globex"))
    assert driver.ask("client.get", pcs_id=pcs_id)["status"] == 404


def test_what_cannot_be_sent_is_refused_before_it_is(
    driver: Driver, shared_server: ServerProcess
) -> None:
    for url in ("ftp://127.0.0.1/", "http://someone:secret@127.0.0.1/", "nonsense"):
        said = driver.ask("client.open", url=url, token=None, retries=0, deadline_s=DEADLINE_S)
        assert said["error"]["kind"] == "contract", url
    opened(driver, shared_server.url)
    for bodies in ([], [b""], [b'{"a":\n1}'], [b" " * 65_537]):
        sent = [text(each) for each in bodies]
        said = driver.ask("client.batch", bodies=sent, encoding=None)
        assert said["error"]["kind"] == "contract", bodies


def test_a_429_is_waited_for_as_long_as_it_says_and_no_longer_than_the_deadline(
    driver: Driver, folder: Folder
) -> None:
    flags = ("--tenant-rate-per-s", "0.5", "--tenant-burst", "1")
    with ServerProcess(folder, *flags) as server:
        opened(driver, server.url)
        assert submitted(driver, body(1))["status"] == 200
        said = submitted(driver, body(2))
        assert failure(said) == ("unavailable", "quota_exceeded")
        opened(driver, server.url, retries=20)
        said = submitted(driver, body(2))
        assert brief(said) == (200, False, None)
        assert said["attempts"] > 1
        # Two seconds for a token are more than half of one.
        driver.ask("client.open", url=server.url, token=None, retries=20, deadline_s=SHORT_S)
        assert submitted(driver, body(3))["error"]["kind"] == "deadline"
        server.stop()


def test_a_503_ends_when_the_disk_is_mended(driver: Driver, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "server")
    with FaultyServer(folder) as server:
        until_ready(server)
        server.tell(Fault(since=1))
        opened(driver, server.url)
        said = submitted(driver, body(1))
        assert failure(said) == ("unavailable", "storage_unavailable")
        opened(driver, server.url, retries=10_000)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(submitted, driver, body(1))
            server.tell(None)
            said = waiting.result()
        assert said["status"] == 200
        server.stop()


def test_a_restart_in_between_is_a_repeat_at_the_worst(driver: Driver, folder: Folder) -> None:
    with ServerProcess(folder) as server:
        opened(driver, server.url, retries=10_000)
        assert brief(submitted(driver, body(1))) == (200, False, None)
        host, port = server.address
        server.kill()
    opened(driver, server.url)
    assert failure(submitted(driver, body(2))) == ("unavailable", None)
    opened(driver, server.url, retries=10_000)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(submitted, driver, body(2))
        with ServerProcess(folder, "--listen", f"{host}:{port}") as back:
            said = waiting.result()
            assert (said["status"], said["replayed"]) in {(200, False), (200, True)}
            assert brief(submitted(driver, body(1))) == (200, True, None)
            back.stop()


@pytest.mark.parametrize("name", OUTBOXES)
def test_an_outbox_ships_when_the_server_is_back_whatever_ended_its_writer(
    name: str, folder: Folder, tmp_path: Path
) -> None:
    require(name)
    kept = tmp_path / "data"
    bodies = [body(epoch) for epoch in range(WINDOWS - 2)]
    bodies += [body(0, seed=7), body(99, signer=GLOBEX, regime="sticky")]
    with ServerProcess(folder) as server:
        host, port = server.address
        server.stop()
    first = Driver(name)
    assert first.open_outbox(kept) == 0
    said = first.ask("outbox.append", source="x", bodies=[text(each) for each in bodies])
    assert len(said["seqs"]) == WINDOWS
    first.ask("client.open", url=server.url, token=None, retries=10_000, deadline_s=SHORT_S)
    assert first.ask("outbox.ship")["answers"] == []
    first.kill()
    with Driver(name) as second:
        assert second.open_outbox(kept) == WINDOWS
        windows = second.ask("outbox.pending")["windows"]
        assert [base64.b64decode(each["body"]) for each in windows] == bodies
        assert [each["seq"] for each in windows] == said["seqs"]
        opened(second, server.url, retries=10_000)
        with ServerProcess(folder, "--listen", f"{host}:{port}") as back:
            answers = {each["seq"]: each for each in second.ask("outbox.ship")["answers"]}
            assert [brief(answers[seq]) for seq in said["seqs"]] == [
                *[(200, False, None)] * (WINDOWS - 2),
                (409, False, "pcs_id_conflict"),
                (202, False, None),
            ]
            back.stop()
        assert second.ask("outbox.pending")["windows"] == []
        assert second.ask("outbox.close")["ok"]
    with Driver(name) as third:
        assert third.open_outbox(kept) == 0
        assert third.ask("outbox.close")["ok"]
