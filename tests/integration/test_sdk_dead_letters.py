"""What an SDK's outbox was refused stands in the agent's dead letters, for the agent's tools."""

import json
import random
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from tests.support.forked import run_command
from tests.support.sdk_drivers import Driver
from tests.support.signed import body
from typing_extensions import override

from fractal_lba.agent.contents import Contents
from fractal_lba.agent.deadletters import FILE, DeadLetters
from fractal_lba.agent.opening import FOLDER, STREAM
from fractal_lba.wal import RealDisk, scan_folder

CUT: Final = f"{FILE}.cut"
IMAGES: Final = 12
HUGE: Final = b'{"outbox_seq":9,' + b"x" * (3 << 20) + b"\n"
"""More than anybody holds of a line: no letter, and of no window that waits."""


class Refusing(BaseHTTPRequestHandler):
    """Answers each record with the decision that it is not accepted."""

    def do_POST(self) -> None:
        """Answer one record."""
        record = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = json.dumps({"pcs_id": record["pcs_id"], "accepted": False}).encode()
        self.send_response(422)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    @override
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def refusing() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def refused(driver: Driver, *epochs: int) -> list[int]:
    """Let an open outbox send records, one by one, that are not accepted."""
    seqs = []
    with refusing() as url:
        driver.open_client(url)
        for epoch in epochs:
            seqs += driver.append(body(epoch))
            assert [each["status"] for each in driver.ask("outbox.ship")["answers"]] == [422]
    return seqs


def refused_and_closed(sdk: Driver, data: Path, *epochs: int) -> list[int]:
    """Do so with a fresh outbox, and close it."""
    assert sdk.open_outbox(data) == 0
    seqs = refused(sdk, *epochs)
    sdk.close_outbox()
    return seqs


def letters(command: str, data: Path, *arguments: str) -> Any:  # noqa: ANN401 - any JSON
    words = ("--data", str(data), *arguments)
    done = run_command("fractal-agent", "dead-letters", command, *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_agents_tool_lists_shows_repeats_and_drops_what_an_sdk_was_refused(
    sdk: Driver, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    seqs = refused_and_closed(sdk, data, 1, 2)
    listed = letters("list", data, "--json")["letters"]
    assert [(each["outbox_seq"], each["status"], each["epoch"]) for each in listed] == [
        (seqs[0], 422, 1),
        (seqs[1], 422, 2),
    ]
    shown = letters("show", data, str(seqs[1]))
    assert shown["record"] == json.loads(body(2))
    assert json.loads(shown["answer"])["accepted"] is False
    letters("drop", data, str(seqs[1]), "--yes", "--json")
    letters("retry", data, str(seqs[0]), "--json")
    assert letters("list", data, "--json")["letters"] == []
    assert sdk.open_outbox(data) == 1
    ((seq, sent),) = sdk.pending().items()
    assert sent == body(1)
    assert seq > seqs[1]
    sdk.close_outbox()


def test_a_number_of_a_dead_letter_is_not_given_again_where_the_outbox_was_removed(
    sdk: Driver, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    (*_, last) = refused_and_closed(sdk, data, 1, 2, 3)
    shutil.rmtree(data / FOLDER)
    assert sdk.open_outbox(data) == 0
    (seq,) = sdk.append(body(4))
    assert seq > last
    sdk.close_outbox()


def test_an_sdk_mends_dead_letters_as_the_agent_does(sdk: Driver, tmp_path: Path) -> None:
    rng = random.Random(20261122)  # noqa: S311 - to be replayed
    made = tmp_path / "made"
    refused_and_closed(sdk, made, 1, 2, 3)
    # One that waits: the last letter may be its.
    assert sdk.open_outbox(made) == 0
    sdk.append(body(4))
    sdk.close_outbox()
    whole = (made / FILE).read_bytes()
    for at in range(IMAGES):
        given = bytearray(whole)
        if at % 2:
            given[rng.randrange(len(given))] ^= 1 << rng.randrange(8)
        if at % 3:
            del given[rng.randrange(len(given)) :]
        if at % 7 == 0:
            given[:0] = HUGE
        if at % 5 == 0:
            given += b'{"outbox_seq":7,"pcs_id"'
        theirs, ours = (tmp_path / f"{at}-{who}" for who in (sdk.name, "agent"))
        for folder in (theirs, ours):
            shutil.copytree(made, folder)
            (folder / FILE).write_bytes(given)
        assert sdk.open_outbox(theirs) == 1
        sdk.close_outbox()
        pending = Contents.read(scan_folder(RealDisk(), ours / FOLDER, STREAM)).pending
        DeadLetters.open(RealDisk(), ours, pending=pending).close()
        for file in (FILE, CUT):
            found = [
                (each / file).read_bytes() if (each / file).exists() else None
                for each in (theirs, ours)
            ]
            assert found[0] == found[1], (at, file)
