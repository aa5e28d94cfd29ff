"""What anybody meets on the first day with each command: help, version, completion, Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest
from tests.support.forked import run_command

from fractal_lba.agent.cli import cli as agent
from fractal_lba.cli.app import fractal_lba
from fractal_lba.server.__main__ import main as server

BINARIES = Path(sys.executable).parent
TREES: dict[str, click.Command] = {
    "fractal-lba": fractal_lba,
    "fractal-agent": agent,
    "fractal-server": server,
}
SECONDS_MAX = 60


def tree(words: tuple[str, ...], command: click.Command) -> Iterator[tuple[str, ...]]:
    yield words
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from tree((*words, name), below)


COMMANDS = [words for name, command in TREES.items() for words in tree((name,), command)]


def run(*words: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BINARIES / words[0], *words[1:]],
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("program", TREES)
def test_every_program_tells_its_version(program: str) -> None:
    done = run(program, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"{program} \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_an_unknown_option_is_named_with_where_to_look(words: tuple[str, ...]) -> None:
    done = run_command(*words, "--no-such-option")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"--no-such-option" in done.stderr
    assert b"--help" in done.stderr or b" -h" in done.stderr


def completed(shell_words: str) -> list[str]:
    """Return what a real bash offers for the last of the words."""
    script = f"""
        eval "$({BINARIES}/fractal-lba completion bash)" || exit 9
        COMP_WORDS=({shell_words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        function=$(complete -p "${{COMP_WORDS[0]}}" | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        "$function" "${{COMP_WORDS[0]}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script],  # noqa: S607 - the shell that is completed
        env={**os.environ, "PATH": f"{BINARIES}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("fractal-lba si", ["sign", "signals"]),
        ("fractal-lba keys g", ["generate"]),
        ("fractal-lba completion ''", ["bash", "zsh", "fish"]),
        ("fractal-lba signals --pl", ["--plot"]),
        ("fractal-agent s", ["status"]),
        ("fractal-agent run --prof", ["--profile"]),
        ("fractal-server f", ["fsck"]),
        ("fractal-server config s", ["show"]),
    ],
)
def test_a_real_bash_completes(words: str, offered: list[str]) -> None:
    assert completed(words) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_names_every_program(shell: str) -> None:
    done = run("fractal-lba", "completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    for program in TREES:
        assert program in done.stdout
        assert f"_{program.replace('-', '_').upper()}_COMPLETE" in done.stdout


def interrupted(folder: Path, program: str, module: str) -> subprocess.CompletedProcess[str]:
    """Run a command that interrupts itself while it imports a module."""
    inner = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nsignal.pause()\n"
    (folder / f"{module}.py").write_text(inner, encoding="utf-8")
    inherited = os.environ.get("PYTHONPATH")
    return run(
        program,
        "--version",
        PYTHONPATH=os.pathsep.join(filter(None, [str(folder), inherited])),
    )


@pytest.mark.parametrize(
    ("program", "module"),
    [
        ("fractal-lba", "click"),
        ("fractal-lba", "orjson"),
        ("fractal-agent", "numpy"),
        ("fractal-agent", "rich"),
        ("fractal-server", "uvloop"),
        ("fractal-server", "lmdb"),
    ],
)
def test_an_interrupt_during_the_imports_ends_with_one_line(
    tmp_path: Path, program: str, module: str
) -> None:
    done = interrupted(tmp_path, program, module)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == f"{program}: interrupted\n"


@pytest.mark.parametrize(
    ("program", "module", "extra"),
    [
        ("fractal-lba", "click", "cli"),
        ("fractal-agent", "click", "agent"),
        ("fractal-agent", "rich", "agent"),
        ("fractal-server", "click", "server"),
        ("fractal-server", "lmdb", "server"),
    ],
)
def test_a_program_without_its_extra_says_what_to_install(
    tmp_path: Path, program: str, module: str, extra: str
) -> None:
    absent = f'raise ModuleNotFoundError("No module named {module!r}", name={module!r})\n'
    (tmp_path / f"{module}.py").write_text(absent, encoding="utf-8")
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join(filter(None, [str(tmp_path), inherited]))
    done = run(program, "--help", PYTHONPATH=path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"{program}: {module} is not installed; run: pip install 'fractal-lba[{extra}]'\n"
    )


def test_an_interrupt_while_a_command_waits_ends_with_one_line(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [BINARIES / "fractal-lba", "signals", pipe, "--profile", "bytes/1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    # It is at work once it opened the pipe to read.
    with pipe.open("wb"):
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS_MAX)
    assert (process.returncode, out) == (130, b"")
    assert err == b"fractal-lba: interrupted\n"


def test_an_interrupt_that_a_shell_turned_off_stays_off(tmp_path: Path) -> None:
    inner = "\n".join(
        [
            "import os, signal, sys",
            "os.kill(os.getpid(), signal.SIGINT)",
            f"sys.path.remove({str(tmp_path)!r})",
            "del sys.modules['click']",
            "import click",
        ]
    )
    (tmp_path / "click.py").write_text(inner, encoding="utf-8")
    done = subprocess.run(
        ["bash", "-c", f"trap '' INT; exec {BINARIES}/fractal-lba --version"],  # noqa: S607
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
    )
    assert done.returncode == 0, done.stderr


def processes_that_name(path: Path) -> list[bytes]:
    """Return the command lines, of every process, that a path stands in."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            found.append(each.read_bytes())
    return [line for line in found if os.fsencode(path) in line]


def test_an_interrupted_demo_leaves_no_folder_and_no_process(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "demo.main_job"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("2. "):  # the server runs
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=SECONDS_MAX)
    assert (process.returncode, err) == (130, "")
    assert list(tmp_path.iterdir()) == []
    assert processes_that_name(tmp_path) == []
