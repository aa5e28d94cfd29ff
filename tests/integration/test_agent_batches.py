"""The real ``fractal-agent`` with a full outbox: batches, and everything that befalls them."""

import asyncio
import gzip
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from tests.support.agent_process import AgentRig, ended
from tests.support.agent_world import RECIPE, waiting
from tests.support.failing_disk import Effect
from tests.support.faulty_server import Fault, FaultyServer, check_here
from tests.support.relay import relaying
from tests.support.scripted_server import (
    Deciding,
    cut_in_mid_body,
    ndjson,
    problem,
    serving,
)
from tests.support.server_process import Folder

from fractal_lba.agent.deadletters import read_dead_letters
from fractal_lba.agent.record import Recipe
from fractal_lba.keyfile import load_keyring
from fractal_lba.wal import RealDisk

pytestmark = pytest.mark.asyncio

COUNT = 600


class Full(AgentRig):
    """A rig in whose outbox windows wait, signed by its key; one is made, the others are copies."""

    def __init__(self, folder: Path, count: int = COUNT, *, copy_of: "Full | None" = None) -> None:
        super().__init__(folder)
        if copy_of is None:
            (key,) = load_keyring(self.keyring).keys.values()
            waiting(folder, count, Recipe(key=key, seed=42, scales=RECIPE.scales, meta={}))
            source = folder / "x.csv"
            self.arguments = (str(source), "--window", "3", "--shard-id", "s", "--in-flight", "1")
        else:
            shutil.copytree(copy_of.data, self.data)
            self.arguments = copy_of.arguments


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Full:
    return Full(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Full:
    return Full(tmp_path_factory.mktemp("some"), 40)


@pytest.mark.parametrize(
    ("sync", "effect", "repeats_min"),
    [
        (1, Effect.WHOLE, 256),
        (2, Effect.NONE, 256),
        (2, Effect.WHOLE, 256),
        # A durable mark may be synced in between: which sync this is varies.
        (4, Effect.WHOLE, 0),
    ],
    ids=["in the inbox", "undecided", "decided and unanswered", "later"],
)
async def test_a_server_killed_in_the_middle_of_a_batch_loses_nothing(  # noqa: PLR0913, PLR0917 - of the test
    tmp_path: Path, full: Full, folder: Folder, sync: int, effect: Effect, repeats_min: int
) -> None:
    rig = Full(tmp_path, copy_of=full)
    kill = Fault(at=frozenset({sync}), error=None, only="datasync", effect=effect)
    async with relaying() as relay:
        server = FaultyServer(folder)
        server.tell(kill)
        relay.target = server.address
        async with rig.agent(relay.url, *rig.arguments) as process:
            await asyncio.to_thread(server.wait)
            relay.target = None
            server = await asyncio.to_thread(FaultyServer, folder)
            relay.target = server.address
            end = await ended(process)
        assert await asyncio.to_thread(server.stop) == 0
    report = end.report
    assert (end.code, report["acknowledged"], report["dead_letters"]) == (0, COUNT, 0), end.err
    # What was in the inbox was decided, by whichever server, and its answer was lost.
    assert repeats_min <= report["repeats"] < COUNT
    assert report["retries"] > 0
    found = check_here(folder)
    assert (found.problems, found.records, found.stored_twice) == ([], COUNT, 0)
    assert found.undecided_inbox == 0


async def test_an_agent_killed_in_the_middle_of_batches_loses_nothing(
    tmp_path: Path, full: Full
) -> None:
    rig = Full(tmp_path, copy_of=full)
    deciding = Deciding()
    async with serving(deciding) as server:
        # The n-th request of each life is the last one, once before it is decided and once after.
        for last, is_decided in ((1, False), (1, True), (2, False), (2, True)):
            async with rig.agent(server.url, *rig.arguments) as process:
                left = last

                async def kill(
                    request: web.Request,
                    body: bytes,
                    kill: Callable[[], None] = process.kill,
                    is_decided: bool = is_decided,  # noqa: FBT001 - of this life
                ) -> web.StreamResponse:
                    nonlocal left
                    left -= 1
                    if not left and not is_decided:
                        kill()
                    answer = await server.in_lines(request, body.splitlines())
                    if not left and is_decided:
                        kill()
                    return answer

                server.batching = kill
                assert (await ended(process)).code == -signal.SIGKILL
        server.batching = None
        end = await rig.run(server.url, *rig.arguments)
        assert max(server.batches) == 256
    assert (end.code, end.report["pending"], end.report["windows"]) == (0, 0, 0), end.err
    assert end.report["repeats"] > 0
    assert sorted(deciding.windows) == [("s", epoch) for epoch in range(COUNT)]
    assert {len(ids) for ids in deciding.windows.values()} == {1}
    found = json.loads((await rig.status("--json")).out)
    assert (found["windows"], found["acknowledged"], found["pending"]) == (COUNT, COUNT, 0)


async def short(_request: web.Request, body: bytes) -> web.StreamResponse:
    """Answer the first lines alone."""
    return ndjson(b'{"status":400,"body":{"code":"x"}}\n' * (len(body.splitlines()) - 1))


async def long(_request: web.Request, body: bytes) -> web.StreamResponse:
    return ndjson(b'{"status":400,"body":{"code":"x"}}\n' * (len(body.splitlines()) + 1))


async def garbled(_request: web.Request, body: bytes) -> web.StreamResponse:
    return ndjson(b'{"status":400,"body":{"code":"x"}\n' * len(body.splitlines()))


async def bomb(_request: web.Request, _body: bytes) -> web.StreamResponse:
    packed = gzip.compress(b'{"status":400,"body":{"code":"x"}}\n' * 4_000_000, 9)
    return web.Response(body=packed, headers={"Content-Encoding": "gzip"})


async def endless(request: web.Request, _body: bytes) -> web.StreamResponse:
    """Send lines for as long as anybody reads them."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    while request.transport is not None and not request.transport.is_closing():
        await response.write(b'{"status":400,"body":{"code":"x"}}\n' * 2_000)
    return response


async def portal(_request: web.Request, _body: bytes) -> web.StreamResponse:
    return web.Response(body=b"<html>log in first</html>", content_type="text/html")


async def too_large(_request: web.Request, _body: bytes) -> web.StreamResponse:
    return web.Response(status=413, body=b"<html>413 Request Entity Too Large</html>")


async def unknown(_request: web.Request, _body: bytes) -> web.StreamResponse:
    return problem(404, "not_found")


@pytest.mark.parametrize(
    "answers",
    [
        [short, long, garbled],
        [cut_in_mid_body, portal],
        [bomb, endless],
        [too_large, too_large],
        [unknown],
    ],
    ids=["out of count", "cut", "bombs", "too large", "an earlier server"],
)
async def test_no_answer_to_a_batch_but_its_lines_ends_a_window(
    tmp_path: Path, some: Full, answers: list[Callable[[web.Request, bytes], object]]
) -> None:
    rig = Full(tmp_path, copy_of=some)
    deciding = Deciding()
    left = list(answers)
    async with serving(deciding) as server:

        async def batching(request: web.Request, body: bytes) -> web.StreamResponse:
            if not left:
                return await server.in_lines(request, body.splitlines())
            answer = await left.pop(0)(request, body)  # type: ignore[misc]
            assert isinstance(answer, web.StreamResponse)
            return answer

        server.batching = batching
        end = await rig.run(server.url, *rig.arguments)
    report = end.report
    assert (end.code, report["acknowledged"], report["dead_letters"]) == (0, 40, 0), end.err
    assert not left
    assert report["retries"] >= 20
    assert list(read_dead_letters(RealDisk(), rig.data)) == []
    assert len(deciding.windows) == 40
