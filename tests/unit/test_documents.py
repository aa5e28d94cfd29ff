"""What README and runbooks tell a reader to type, scrape or set exists under that name."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from tests.support.outboxes import opened
from tests.support.virtual_time import run_virtual

from fractal_lba.agent.tally import Tally
from fractal_lba.server.config import Settings
from fractal_lba.server.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "runbooks").glob("*.md"))]
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


async def agent_names(data: Path) -> set[str]:
    """Return the names of an agent's measures."""
    async with opened(data) as outbox:
        measured = (outbox, Tally(say=lambda _text: None))
        return {sample.name for each in measured for sample in each.samples()}


def test_every_metric_that_is_named_is_exposed(tmp_path: Path) -> None:
    exposed = Metrics().exposition().decode()
    exposed += "".join(f"# TYPE {name}\n" for name in run_virtual(agent_names(tmp_path)))
    names = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for document in DOCUMENTS
        for name in re.findall(r"flk_[a-z_]+[a-z]", document.read_text(encoding="utf-8"))
    }
    assert len(names) > 3
    assert [name for name in sorted(names) if f"# TYPE {name}" not in exposed] == []


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
