"""The real ``fractal-agent`` process against a real HTTP server on loopback."""

import asyncio
import json
import random
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from tests.support.agent_process import AgentRig, ended
from tests.support.scripted_server import (
    Deciding,
    problem,
    scripted,
    serving,
)
from typing_extensions import override

from fractal_lba.agent.deadletters import read_dead_letters
from fractal_lba.keyfile import load_keyring
from fractal_lba.protocol import authenticate
from fractal_lba.wal import RealDisk

pytestmark = pytest.mark.asyncio

KILLS = 6


@pytest.fixture
def rig(tmp_path: Path) -> AgentRig:
    return AgentRig(tmp_path)


SOURCES = ("x.csv", "y.npy", "z.txt", "--window", "4", "--scales", "2,4", "--in-flight", "8")
WINDOWS = {"x.csv": 100, "y.npy": 12, "z.txt": 125}
TOTAL = sum(WINDOWS.values())


class Refusing(Deciding):
    """Refuses every seventh epoch, each time it comes."""

    @override
    async def __call__(self, request: web.Request, body: bytes) -> web.StreamResponse:
        answer = await super().__call__(request, body)
        if json.loads(body)["epoch"] % 7 == 6:
            return problem(409, "pcs_id_conflict")
        return answer


def refused() -> set[tuple[str, int]]:
    return {
        (shard_id, epoch)
        for shard_id, count in WINDOWS.items()
        for epoch in range(count)
        if epoch % 7 == 6
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], set[str]]:
    """Return the windows of a run that nothing happens to; the same in every folder."""

    async def main() -> dict[tuple[str, int], set[str]]:
        deciding = Refusing()
        async with serving(deciding) as server:
            end = await AgentRig(tmp_path_factory.mktemp("undisturbed")).run(server.url, *SOURCES)
        assert (end.code, end.report["windows"]) == (5, TOTAL)
        assert end.report["pending"] == 0
        assert end.report["dead_letters"] == len(refused())
        assert all(len(ids) == 1 for ids in deciding.windows.values())
        return deciding.windows

    return asyncio.run(main())


class Killing:
    """Answers as another function does, and kills the agent at one request of its life."""

    def __init__(self, rng: random.Random, answering: Refusing) -> None:
        self.rng = rng
        self.answering = answering
        self.kill: Callable[[], None] | None = None
        self.left = 0

    def arm(self, kill: Callable[[], None]) -> None:
        self.kill = kill
        self.left = self.rng.randint(1, TOTAL // KILLS)

    async def __call__(self, request: web.Request, body: bytes) -> web.StreamResponse:
        self.left -= 1
        if self.left or self.kill is None:
            return await self.answering(request, body)
        if self.rng.random() < 0.5:  # the answer is lost, what it decided is not
            answer = await self.answering(request, body)
            self.kill()
            return answer
        # What the agent does meanwhile is cut anywhere.
        await asyncio.sleep(self.rng.uniform(0, 0.02))
        self.kill()
        return await self.answering(request, body)


@pytest.mark.parametrize("seed", [1])
async def test_an_agent_killed_again_and_again_delivers_every_window_under_its_epoch(
    rig: AgentRig, undisturbed: dict[tuple[str, int], set[str]], seed: int
) -> None:
    deciding = Refusing()
    killing = Killing(random.Random(seed), deciding)  # noqa: S311 - the seed names the run
    kills = 0
    async with serving(killing) as server:
        for _ in range(KILLS):
            async with rig.agent(server.url, *SOURCES) as process:
                killing.arm(process.kill)
                end = await ended(process)
            if end.code == -signal.SIGKILL:
                kills += 1
            else:
                break
        killing.kill = None
        end = await rig.run(server.url, *SOURCES)
        bodies = list(server.bodies)
    assert kills == KILLS, f"seed {seed}: only {kills} kills"
    assert end.code in (0, 5), end.err
    assert end.report["pending"] == 0
    # At least once, under the same epochs, and no epoch for two windows.
    assert deciding.windows == undisturbed
    # All signed by the agent's key: what was read back from disk is what was signed.
    ring = load_keyring(rig.keyring)
    assert all(authenticate(body, ring).tenant == "acme" for body in bodies)
    found = json.loads((await rig.status("--json", "--ids")).out)
    assert (found["windows"], found["pending"]) == (TOTAL, 0)
    dead = {(each["shard_id"], each["epoch"]) for each in found["ids"] if each["state"] == "dead"}
    assert dead == refused()
    letters = list(read_dead_letters(RealDisk(), rig.data))
    assert None not in letters
    assert {(each.shard_id, each.epoch) for each in letters if each is not None} == refused()
    repeats = len(bodies) - TOTAL
    print(f"seed {seed}: {kills} kills, {len(bodies)} requests, {repeats} of them again")  # noqa: T201


async def test_a_rerun_over_the_same_files_sends_nothing(rig: AgentRig) -> None:
    async with serving(Deciding()) as server:
        first = await rig.run(server.url, "x.csv", "y.npy", "--window", "50")
        second = await rig.run(server.url, "x.csv", "y.npy", "--window", "50")
    assert (first.code, second.code) == (0, 0)
    assert first.report["acknowledged"] == 9
    assert second.report["windows"] == 0
    assert len(server.bodies) == 9


async def test_refusals_and_retries_end_in_the_report(rig: AgentRig) -> None:
    answers = scripted(
        problem(503, "overloaded", **{"Retry-After": "0"}),
        problem(429, "rate_limited", **{"Retry-After": "0"}),
        problem(422, "unsigned_member_mismatch"),
    )
    async with serving(answers) as server:
        end = await rig.run(server.url, "x.csv", "--window", "400")
    assert end.code == 5
    report = end.report
    assert (report["windows"], report["dead_letters"], report["retries"]) == (1, 1, 2)
    assert [json.loads(body)["delivery"]["attempt"] for body in server.bodies] == [1, 2, 3]
    assert end.err == (
        "fractal-agent: 1 window was not accepted: 422 unsigned_member_mismatch;"
        f" see fractal-agent dead-letters list --data {rig.data}\n"
    )


async def test_sigterm_while_the_server_is_down_keeps_everything(rig: AgentRig) -> None:
    tried = asyncio.Event()

    async def down(_request: web.Request, _body: bytes) -> web.StreamResponse:
        tried.set()
        return problem(503, "overloaded")

    async with serving(down) as server:
        async with rig.agent(server.url, "x.csv", "--window", "100", "--grace", "0.2") as process:
            await tried.wait()
            process.send_signal(signal.SIGTERM)
            end = await ended(process)
        assert end.code == 3
        assert end.report["pending"] == end.report["windows"] > 0
        server.answering = Deciding()
        again = await rig.run(server.url, "x.csv", "--window", "100")
    assert again.code == 0
    assert again.report["resumed"] == end.report["pending"]
    assert again.report["resumed"] + again.report["windows"] == 4


async def test_without_a_source_what_an_agent_left_is_sent(rig: AgentRig) -> None:
    tried = asyncio.Event()

    async def down(_request: web.Request, _body: bytes) -> web.StreamResponse:
        tried.set()
        return problem(503, "overloaded")

    async with serving(down) as server:
        nothing = await rig.run(server.url)
        assert (nothing.code, nothing.out) == (2, "")
        assert f"{rig.data}: expected a SOURCE, or a folder with an outbox to send" in nothing.err
        assert not rig.data.exists()
        async with rig.agent(server.url, "x.csv", "--window", "100", "--grace", "0.2") as process:
            await tried.wait()
            process.send_signal(signal.SIGTERM)
            left = (await ended(process)).report["pending"]
        server.answering = Deciding()
        sent = await rig.run(server.url)
    assert (sent.code, sent.report["windows"], sent.report["acknowledged"]) == (0, 0, left)
    assert left


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_live_source_ends_with_a_signal_and_everything_shipped(
    rig: AgentRig, number: signal.Signals
) -> None:
    arrived = asyncio.Event()

    class Telling(Deciding):
        @override
        async def __call__(self, request: web.Request, body: bytes) -> web.StreamResponse:
            arrived.set()
            return await super().__call__(request, body)

    deciding = Telling()
    arguments = ("live:", "--window", "3", "--interval", "0.01", "--shard-id", "host")
    async with serving(deciding) as server, rig.agent(server.url, *arguments) as process:
        await arrived.wait()
        process.send_signal(number)
        end = await ended(process)
    assert end.code == 0, end.err
    assert end.report["acknowledged"] == end.report["windows"] == len(deciding.windows)
    assert sorted(epoch for _, epoch in deciding.windows) == list(range(len(deciding.windows)))


async def test_two_agents_on_one_folder_are_refused_by_name(rig: AgentRig) -> None:
    arrived = asyncio.Event()

    async def held(_request: web.Request, _body: bytes) -> web.StreamResponse:
        arrived.set()
        return problem(503, "overloaded")

    async with serving(held) as server, rig.agent(server.url, "x.csv") as first:
        await arrived.wait()
        second = await rig.run(server.url, "y.npy")
        # Status needs no lock, and sees what waits.
        found = json.loads((await rig.status("--json")).out)
    assert second.code == 2
    assert second.out == ""
    assert "outbox" in second.err
    assert str(first.pid) in second.err
    assert found["pending"] == found["windows"] > 0


async def test_a_full_disk_stops_observing_and_sends_only_what_is_on_disk(
    rig: AgentRig, undisturbed: dict[tuple[str, int], set[str]]
) -> None:
    def small_files() -> None:
        # Writing past it fails with EFBIG, as a full disk does with ENOSPC.
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    deciding = Deciding()
    async with serving(deciding) as server:
        end = await rig.run(server.url, *SOURCES, before_exec=small_files)
        assert end.code == 4, end.err
        assert "File too large" in end.err
        found = json.loads((await rig.status("--json", "--ids")).out)
        kept = {each["pcs_id"] for each in found["ids"]}
        sent = {pcs_id for ids in deciding.windows.values() for pcs_id in ids}
        assert sent
        assert sent <= kept
        assert len(kept) < TOTAL
        again = await rig.run(server.url, *SOURCES)
    assert again.code == 0, again.err
    assert deciding.windows == undisturbed


async def test_status_lists_every_window_for_people_and_programs(rig: AgentRig) -> None:
    async with serving(Refusing()) as server:
        await rig.run(server.url, "x.csv", "--window", "40", "--shard-id", "s")
    plain = await rig.status("--ids")
    assert plain.code == 0
    assert plain.out.count(" acknowledged 200\n") == 9
    assert plain.out.count(" dead 409\n") == 1
    as_json = json.loads((await rig.status("--json")).out)
    assert (as_json["windows"], as_json["acknowledged"], as_json["dead"]) == (10, 9, 1)
    assert as_json["dead_letters"] == 1
    (source,) = as_json["sources"]
    assert (source["shard_id"], source["next_epoch"], source["units"]) == ("s", 10, 400)
    assert "ids" not in as_json


async def test_no_payload_key_or_token_is_printed(rig: AgentRig) -> None:
    (rig.folder / "token").write_text("t0ken-t0ken\n", encoding="utf-8")
    (rig.folder / "x.csv").write_text("a,b\n1,2\n3,4\n5,6\n7,8\npayl0ad,9\n", encoding="utf-8")
    async with serving(
        scripted(problem(503, "overloaded"), problem(409, "pcs_id_conflict"))
    ) as server:
        end = await rig.run(server.url, "x.csv", "--token-file", "token", "--window", "3")
    assert end.code == 2
    assert "row 5, column 'a'" in end.err
    assert server.headers == []
    for text in (end.out, end.err):
        assert "payl0ad" not in text
        assert rig.secret not in text
        assert "t0ken-t0ken" not in text


async def test_the_token_identifies_the_agent(rig: AgentRig) -> None:
    (rig.folder / "token").write_text("t0ken-t0ken\n", encoding="utf-8")
    async with serving(Deciding()) as server:
        await rig.run(server.url, "z.txt", "--token-file", "token")
    assert {each["Authorization"] for each in server.headers} == {"Bearer t0ken-t0ken"}


async def test_a_run_that_nobody_answers_gives_up_with_6_and_the_next_one_sends_it_all(
    rig: AgentRig,
) -> None:
    deciding = Deciding()
    async with serving(scripted(problem(503, "overloaded"))) as down:
        arguments = ("x.csv", "--window", "100", "--give-up-after", "1", "--grace", "3600")
        end = await rig.run(down.url, *arguments)
    assert (end.code, end.report["exit_code"], end.report["pending"]) == (6, 6, 4)
    assert "no final answer for 1 s (--give-up-after" in end.err
    async with serving(deciding) as server:
        later = await rig.run(server.url)
    assert (later.code, later.report["resumed"], later.report["pending"]) == (0, 4, 0)
    assert len(deciding.first) == 4


async def test_a_run_whose_metrics_address_is_taken_goes_on_and_says_so(rig: AgentRig) -> None:
    async with serving(Deciding()) as server:
        taken = server.url.removeprefix("http://")
        end = await rig.run(server.url, "x.csv", "--window", "100", "--metrics", taken)
    assert (end.code, end.report["accepted"]) == (0, 4)
    assert f"metrics: expected an address to listen on, got {taken}" in end.err
