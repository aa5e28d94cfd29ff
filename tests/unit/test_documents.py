"""What README and runbooks tell a reader to type, scrape or set exists under that name."""

import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from tests.support.agent_world import MemoryServer, csv_stream, plan, run, world
from tests.support.virtual_time import run_virtual

from fractal_lba.agent.measures import Meter
from fractal_lba.server.config import Settings
from fractal_lba.server.telemetry.metrics import Metrics
from fractal_lba.server.telemetry.shared import Workers

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "runbooks").glob("*.md"))]
SPECS = sorted((ROOT / "specs").glob("*.md"))
SHELL_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def commands() -> list[str]:
    """Return each command line of the project's programs, continuation lines joined."""
    found = set()
    for document in DOCUMENTS:
        for block in SHELL_BLOCK.findall(document.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                command = re.match(
                    r"(?:runuser -u \S+ -- )?(fractal-(?:agent|lba|server) .*)", line
                )
                if command:
                    found.add(" ".join(command[1].split()))
    return sorted(found)


@cache
def help_of(*command: str) -> str:
    program = Path(sys.executable).parent / command[0]
    done = subprocess.run(
        [str(program), *command[1:], "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.mark.parametrize("line", commands())
def test_a_command_that_is_told_exists_with_its_options(line: str) -> None:
    words = line.split()
    length = next(
        (
            index
            for index, word in enumerate(words)
            if index and not re.fullmatch(r"[a-z][a-z-]*", word)
        ),
        len(words),
    )
    shown = help_of(*words[:length])
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"{option}\b", shown), f"{words[:length]} has no {option}"


async def agent_names(folder: Path) -> set[str]:
    """Return the names of an agent's measures, of a run in which each of them came up."""
    refusing = iter([503])  # something has to be sent again
    server = MemoryServer(status=lambda _record: next(refusing, 200))
    meter = Meter()
    given = plan(folder / "data", csv_stream(folder / "x.csv", 12))
    await run(given, replace(world(server), meter=meter))
    return {sample.name for sample in meter.samples()}


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Return what the agent and the server expose."""
    server = Metrics().exposition().decode() + generate_latest(Workers(list)).decode()
    return {
        "agent": run_virtual(agent_names(tmp_path_factory.mktemp("agent"))),
        "server": set(re.findall(r"^# TYPE (\w+)", server, re.MULTILINE)),
    }


def names_in(text: str) -> set[str]:
    found = re.findall(r"flk_[a-z_]+[a-z]\b", text)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def test_every_metric_that_is_named_is_exposed(exposed: dict[str, set[str]]) -> None:
    named = {
        name
        for document in (*DOCUMENTS, *SPECS)
        for name in names_in(document.read_text(encoding="utf-8"))
    }
    assert len(named) > 3
    assert sorted(named - exposed["agent"] - exposed["server"]) == []


@pytest.mark.parametrize("program", ["agent", "server"])
def test_the_list_of_metrics_is_whole(exposed: dict[str, set[str]], program: str) -> None:
    text = (ROOT / f"specs/{program}.md").read_text(encoding="utf-8")
    (section,) = re.findall(
        r"^## (?:\d\. )?Metrics\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    assert len(exposed[program]) > 20
    assert names_in(section) == exposed[program]


def test_every_bound_of_the_readme_is_the_default_of_its_setting() -> None:
    rows = re.findall(
        r"^\| [^|]+ \| ([^|]+) \| (`[a-z_`, ]+`) \|$",
        (ROOT / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    stated = {
        name: float(value.replace(",", ""))
        for values, names in rows
        for value, name in zip(values.split(" and "), re.findall(r"[a-z_]+", names), strict=True)
    }
    assert len(stated) > 3
    assert stated == {name: getattr(Settings(), name) for name in stated}


def test_every_link_between_documents_leads_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).is_file(), f"{document.name}: {target}"
