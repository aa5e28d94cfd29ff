"""The help of every command: examples that can be typed, and what each exit code means."""

import re
import shlex
from collections.abc import Iterator
from functools import cache

import click
import pytest

from fractal_lba.agent.cli import cli as agent
from fractal_lba.cli.app import fractal_lba
from fractal_lba.server.__main__ import main as server

TREES: dict[str, click.Command] = {
    "fractal-lba": fractal_lba,
    "fractal-agent": agent,
    "fractal-server": server,
}


def tree(words: tuple[str, ...], command: click.Command) -> Iterator[tuple[str, ...]]:
    yield words
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from tree((*words, name), below)


COMMANDS = [words for name, command in TREES.items() for words in tree((name,), command)]


def found(words: tuple[str, ...]) -> click.Command:
    command = TREES[words[0]]
    for word in words[1:]:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    return command


@cache
def help_of(words: tuple[str, ...]) -> str:
    # As the program would: a command keeps the help option it is first asked for.
    settings = TREES[words[0]].context_settings
    return found(words).get_help(click.Context(found(words), info_name=" ".join(words), **settings))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_shows_examples_and_its_exit_codes(words: tuple[str, ...]) -> None:
    text = help_of(words)
    assert re.search(r"^\s*Examples?:", text, re.MULTILINE)
    codes = text.partition("Exit codes:")[2]
    stated = [int(code) for code in re.findall(r"^\s+(\d+)  +\S", codes, re.MULTILINE)]
    assert {0, 130} <= set(stated)
    assert stated == sorted(set(stated))


def examples(words: tuple[str, ...]) -> list[list[str]]:
    """Return the command lines of the project's programs among the examples."""
    text = help_of(words).partition("Example")[2].partition("Exit codes:")[0]
    lines = re.sub(r"\\\n\s+", " ", text).splitlines()
    return [
        shlex.split(line.strip(" ()"), comments=True)
        for line in lines
        if re.match(r" +fractal-", line)
    ]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_example_names_commands_and_options_that_exist(words: tuple[str, ...]) -> None:
    for example in examples(words):
        assert tuple(example[: len(words)]) == words
        command, rest = TREES[example[0]], example[1:]
        while isinstance(command, click.Group):
            command = command.commands[rest.pop(0)]
        options = {name for each in command.params for name in each.opts}
        assert {word for word in rest if word.startswith("--")} <= options
