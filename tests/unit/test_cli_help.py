"""`--help`: what each command does, in one line, and an example that can be typed."""

import contextlib
import itertools
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from indexer.cli import app

PROMISED = {
    "backfill", "worker", "queue serve", "queue client",
    "run", "status", "demo", "db upgrade", "db url", "db shell", "db start", "db stop", "config check", "config schema",
}  # fmt: skip


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


TREE = typer.main.get_command(app)
COMMANDS = dict(commands(TREE))


def help_of(*words: str) -> str:
    ended = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "100"})
    assert ended.exit_code == 0
    assert ended.stderr == ""
    return ended.stdout


def test_the_promised_commands_are_there() -> None:
    assert set(COMMANDS) >= PROMISED


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_a_command_does_and_shows_an_example(name: str) -> None:
    said = help_of(*name.split())
    paragraphs = [" ".join(part.split()) for part in said.split("\n\n")]
    assert paragraphs[0].startswith("Usage: ")
    assert re.fullmatch(r"[A-Z][^.]+\.", paragraphs[1]), "one sentence"
    assert len(paragraphs[1]) <= 120
    (example,) = (part for part in paragraphs if part.startswith("Example: "))
    words = typed(example.removeprefix("Example: "))
    assert words[: len(name.split())] == name.split()
    with parsed(words):
        pass


def typed(example: str) -> list[str]:
    """The arguments of `taskscan` in a line of a shell: alone, before a pipe, or inside $( )."""
    inner = re.search(r"\$\((.+)\)", example)
    program, *words = shlex.split(inner[1] if inner else example)
    assert program == "taskscan"
    return list(itertools.takewhile(lambda word: word not in ("|", ">", "&&"), words))


@contextlib.contextmanager
def parsed(words: list[str]) -> Iterator[None]:
    """Parse a command line as the program does, without running it. An option that is not there raises."""
    command: Any = TREE
    context = None
    while hasattr(command, "commands"):
        context = command.make_context("taskscan", [], parent=context, resilient_parsing=True)
        command = command.commands[words.pop(0)]
    with command.make_context("command", words, parent=context):
        yield


@pytest.mark.parametrize("group", ["", "db", "config"])
def test_help_of_a_group_lists_its_commands(group: str) -> None:
    said = help_of(*group.split())
    for name in COMMANDS:
        if name.startswith(group):
            assert re.search(rf"^  {name.removeprefix(group).split()[0]} +[A-Z]", said, re.MULTILINE), name


def test_options_are_explained() -> None:
    for name, command in COMMANDS.items():
        for option in command.params:
            assert getattr(option, "help", None) or option.name in ("help",), f"{name} {option.opts}"


@pytest.mark.parametrize("words", [["frob"], ["run", "--frob"], ["db", "frob"], ["run", "--config"], ["status", "x"]])
def test_a_wrong_command_line_is_a_usage_error(words: list[str]) -> None:
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 2
    assert "Error: " in ended.stderr
    assert ended.stdout == ""
