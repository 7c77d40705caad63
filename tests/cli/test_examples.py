"""The end of every command's help: commands that can be typed as they are."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import typer

from medical_kg.cli.app import app
from medical_kg.cli.state import State

WIDTH = 80


def commands() -> tuple[Any, Any]:
    root: Any = typer.main.get_command(app)
    return root, root.make_context("medical-kg", [], resilient_parsing=True, obj=State())


def leaves(command: Any, context: Any) -> Iterator[tuple[str, Any, Any]]:
    """Every command that is no group: ours, and those that packages bring."""
    if not hasattr(command, "list_commands"):
        yield context.command_path, command, context
        return
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        yield from leaves(child, type(context)(child, info_name=name, parent=context, obj=context.obj))


def shown(command: Any, context: Any) -> list[str]:
    """The examples in a command's help, as a terminal of 80 columns shows them."""
    context.terminal_width = WIDTH
    text = command.get_help(context)
    return [line.strip() for line in text.partition("For example:\n")[2].splitlines() if line.strip()]


def test_every_command_has_examples_that_fit() -> None:
    """Its help ends with at least one call of this very command, none of which is broken into lines."""
    root, context = commands()
    found = {path: shown(command, below) for path, command, below in leaves(root, context)}
    assert len(found) > 40
    assert [path for path, lines in found.items() if not lines] == []
    wrong = [line for path, lines in found.items() for line in lines if path not in line or len(line) > WIDTH - 2]
    assert wrong == []


def test_every_example_can_be_parsed() -> None:
    """Names, options and arguments of each are there."""
    root, context = commands()
    for path, command, below in leaves(root, context):
        for line in shown(command, below):
            words = shlex.split(line)[1:]
            outer = root.make_context("medical-kg", list(words), obj=State())
            rest = [*outer._protected_args, *outer.args]
            assert rest[: len(path.split()) - 1] == path.split()[1:], line
            command.make_context(path, rest[len(path.split()) - 1 :], parent=below.parent)


def test_packages_commands_have_the_help_of_ours() -> None:
    """Plain text, without the frames that their own typer would draw."""
    root, context = commands()
    assert [path for path, command, below in leaves(root, context) if "─" in command.get_help(below)] == []
