"""Exit codes, and how an error is told: one clear message on standard error; ``docs/reference/exit-codes.md``."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import typer

from medical_kg.cli import INTERRUPTED
from medical_kg.orchestration.contract.errors import IllegalTransition, MedicalKGError, PluginBroken, RecordNotFound
from medical_kg.orchestration.contract.model import plainly
from medical_kg.orchestration.contract.secrets import redacted

if TYPE_CHECKING:
    from medical_kg.cli.state import State

DONE, FAILED, WRONG_REQUEST, WAITING, DEAD_LETTERS = range(5)
DIFFERENT = 1
"""Of ``pipelines diff --exit-code`` only, as of ``diff``."""

MEANINGS = {
    DONE: "done",
    FAILED: "failed: a stage, a plugin or the storage; the message says which (with `pipelines diff --exit-code`: the two "
    "differ)",
    WRONG_REQUEST: "wrong request: an unknown name, an invalid pipeline, wrong settings or options, missing input",
    WAITING: "not finished: a batch waits for a signal or a time, or another process holds it",
    DEAD_LETTERS: "done, but with dead letters (of `documents debug`, else only with `--strict`; without it that is 0 and a warning)",
    INTERRUPTED: "interrupted by Ctrl-C or SIGTERM; nothing that was finished is lost",
}
"""What each exit code means."""

_PARSER_ERROR: type[Exception] = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException")
"""The base of the errors of the argument parser; typer hands out only the leaves, from wherever its click is."""


def tell(error: Exception, state: State) -> int:
    """Print an error to standard error and return the exit code."""
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help, empty where rich has printed it
        typer.echo(_message(error), err=True)
        return WRONG_REQUEST
    if isinstance(error, _PARSER_ERROR):
        error.message = plainly(error.message)  # type: ignore[attr-defined]  # of ClickException
    code = int(getattr(error, "exit_code", FAILED))
    if state.json or state.log_format == "json":
        typer.echo(json.dumps({"error": facts(error, code, verbose=state.verbose)}), err=True)
    elif isinstance(error, _PARSER_ERROR):
        error.show()  # type: ignore[attr-defined]  # of ClickException
    else:
        typer.echo(f"Error: {_message(error)}{_way_on(error, state)}", err=True)
        if state.verbose:
            typer.echo(_trace(error), err=True)
    return code


def _way_on(error: Exception, state: State) -> str:
    """Return the command that shows what there is, where an error of the ledger cannot name it."""
    kind = error.kind if isinstance(error, RecordNotFound) else ""
    if "dead letter" in kind or isinstance(error, IllegalTransition):
        return f"; see how it stands with: {state.command('submissions', 'show', 'ID')}"
    if kind.endswith("submission"):
        return f"; see those there are with: {state.command('submissions', 'list')}"
    if kind.startswith("document of"):
        return f"; see what was run with: {state.command('submissions', 'list')}"
    return ""


def facts(error: Exception, code: int, *, verbose: bool = False) -> dict[str, Any]:
    """Return an error as JSON."""
    said: dict[str, Any] = {"type": type(error).__name__, "message": _message(error), "exit_code": code}
    if verbose:
        said["traceback"] = _trace(error)
    return said


def _message(error: Exception) -> str:
    return redacted(_plain_message(error))


def _plain_message(error: Exception) -> str:
    if isinstance(error, _PARSER_ERROR):
        return str(error.format_message())  # type: ignore[attr-defined]  # of ClickException
    if isinstance(error, MedicalKGError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:  # the machine's: a full disk behind `> file`, a missing right
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    advice = "this should not happen: `medical-kg -v` shows where it comes from; please report it"
    return f"{type(error).__name__}: {error}\n{advice}"


def _trace(error: Exception) -> str:
    if isinstance(error, PluginBroken) and error.detail:
        return redacted(error.detail)
    return redacted("".join(traceback.format_exception(error)).rstrip())


def code_of_stage_error(recorded: str) -> int:
    """Return the exit code for a stage's error as the ledger keeps it, ``Name: message``.

    Errors of the request, such as a missing input, keep their exit code; every other is a failure.
    """
    name = recorded.partition(":")[0]
    return next((cls.exit_code for cls in _tree(MedicalKGError) if cls.__name__ == name), FAILED)


def _tree(root: type[MedicalKGError]) -> Iterator[type[MedicalKGError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def asked_before_parsing(args: Iterable[str] | None) -> tuple[bool, bool]:
    """Return whether ``--json`` and ``-v`` are among the arguments, for errors met before they are parsed."""
    words = list(sys.argv[1:] if args is None else args)
    if "--" in words:
        words = words[: words.index("--")]
    return "--json" in words, "-v" in words or "--verbose" in words
