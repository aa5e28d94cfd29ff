"""The server against its own description, with requests that nobody wrote."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.explore import FLAGS, TOKEN, explored, folder_of
from tests.support.server_process import ServerProcess
from tests.support.signed import ACME, body

from fractal_lba.protocol.authenticate import authenticate
from fractal_lba.protocol.canonical import canonical
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.protocol.record import Record
from fractal_lba.server.http.openapi import document

RING = Keyring(keys={ACME.kid: ACME.key}, tokens={}, certificates={})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(folder_of(tmp_path_factory.mktemp("described") / "folder"), *FLAGS) as run:
        yield run


def test_the_document_is_served_as_it_is(server: ServerProcess) -> None:
    reply = server.ask("GET", "/openapi.json")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json == document()
    head = server.ask("HEAD", "/openapi.json")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(reply.body))


@pytest.mark.parametrize(
    ("token", "phases"),
    [(TOKEN, "examples,coverage,fuzzing"), (None, "examples,fuzzing")],
    ids=["somebody", "nobody"],
)
def test_generated_requests_find_nothing_and_what_is_remembered_verifies(
    server: ServerProcess, tmp_path: Path, token: str | None, phases: str
) -> None:
    done = explored(
        server,
        tmp_path,
        *("--phases", phases, "--max-examples", "4", "--generation-deterministic"),
        token=token,
    )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr
    # It still answers.
    assert server.submit(body(1)).status == 200
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/x-ndjson"}
    lines = server.ask("GET", "/v1/pcs", headers=headers).body.splitlines()
    assert len(lines) > 1
    for line in lines:
        record = json.loads(line)["record"]
        found = authenticate(canonical(record), RING).record
        assert isinstance(found, Record)
        assert found.members == record
