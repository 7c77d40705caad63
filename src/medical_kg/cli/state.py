"""What the global options ask for, handed to every command as ``ctx.obj``; it fulfils the door's ``CommandContext``."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO, cast

import typer

from medical_kg.cli import output
from medical_kg.orchestration.contract.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from medical_kg.cli.results import Results
    from medical_kg.orchestration.contract import Http, WorkspaceView
    from medical_kg.orchestration.registry import Installation
    from medical_kg.orchestration.workspace import Workspace

logger = logging.getLogger(__name__)

LogFormat = Literal["text", "json"]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
"""The option that commands take besides the global one."""

USUAL_WIDTH = 80
PIPE_WIDTH = 10_000
"""Columns of output that is no terminal and says no width: a pipe should not break lines that grep looks for."""


@dataclass
class State:
    """The global options, and what they lead to. Nothing is opened before it is asked for."""

    json: bool = False
    verbose: bool = False
    log_format: LogFormat = "text"
    root: Path | None = None
    _opened: list[Workspace] = field(default_factory=list)
    _results: Results | None = None

    @cached_property
    def console(self) -> Console:
        """Standard output, for results."""
        return _console(self.out)

    @cached_property
    def errors(self) -> Console:
        """Standard error, for everything else."""
        return _console(sys.stderr)

    @cached_property
    def place(self) -> Workspace:
        """The chosen workspace, whether or not it has been made; nothing is written by looking at it."""
        from medical_kg.orchestration.workspace import Workspace

        workspace = Workspace.find(self.root)
        self._opened.append(workspace)
        return workspace

    @property
    def exists(self) -> bool:
        """Whether anything can have been kept in the chosen workspace."""
        return self.place.root.is_dir() or self.place.settings("workspace").get("database_url") is not None

    @property
    def workspace(self) -> Workspace:
        """The chosen workspace, which must exist.

        Raises:
            UsageError: there is none.
        """
        if not self.exists:
            raise UsageError(
                f"there is no workspace at {self.place.root}; `medical-kg run` makes one, and --workspace PATH or "
                "MEDICAL_KG_WORKSPACE chooses another"
            )
        return self.place

    def workspace_of(self, tenant: str) -> WorkspaceView:
        """The chosen workspace as the stages of a tenant see it.

        Raises:
            UsageError: there is no workspace, or no such tenant.
        """
        return self.workspace.of_tenant(tenant, known=True)

    @property
    def plugins(self) -> Installation:
        """What is installed behind every door."""
        return self.place.installation

    @property
    def http(self) -> Http:
        """Reaches the hosts that the settings allow."""
        return self.place.http

    def run_in_memory(self, pipeline: str, input: str, keys: Collection[str]) -> Mapping[str, list[Any]]:  # noqa: A002  # the contract's word
        """Run a pipeline over an input, keep nothing of the run, and return what these keys hold."""
        from medical_kg.cli.memory import run_in_memory

        return run_in_memory(self, pipeline, input, keys)

    def command(self, *words: str) -> str:
        """Return a command of ours as it would be typed, for the same workspace."""
        chosen = () if self.root is None else ("--workspace", str(self.root))
        return shlex.join(("medical-kg", *chosen, *words))

    def note(self, text: str) -> None:
        """Say something on standard error: as a log record where that is JSON, not at all with ``--json``."""
        if self.log_format == "json":
            logger.info(text)
        elif not self.json:
            typer.echo(text, err=True)

    @property
    def out(self) -> TextIO:
        """Where results are printed: standard output."""
        return sys.stdout if self._results is None else self._results.stream

    def keep_output(self) -> None:
        """Keep standard output for what is printed here; whatever else is printed there goes to standard error."""
        from medical_kg.cli.results import Results

        self._results = self._results or Results()

    def print(self, text: str = "", *, end: str = "\n") -> None:
        """Print a line of a result."""
        typer.echo(f"{text}{end}", file=self.out, nl=False)

    def print_table(
        self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Collection[str] = ()
    ) -> None:
        """Print a table; ``right`` names the columns of numbers. A terminal gets it folded to its width."""
        cells = [[str(cell) for cell in row] for row in rows]
        if self.out.isatty():
            self.print("\n".join(output.fitted(columns, cells, columns_of(self.out), right=right)))
        else:
            self.print("\n".join(output.aligned(columns, cells, right=right)))

    def print_json(self, data: Any) -> None:
        """Print a result as JSON."""
        import json

        self.print(json.dumps(data, indent=2, default=str))

    def print_json_line(self, data: Any) -> None:
        """Print a part of a result as JSON on one line, at once, for who reads along."""
        import json

        self.print(json.dumps(data, default=str))
        self.out.flush()

    def close(self) -> None:
        """Close the workspace if it was opened, and give standard output back."""
        while self._opened:
            self._opened.pop().close()
        if self._results is not None:
            self._results.close()
            self._results = None


def state_of(ctx: typer.Context, *, json: bool = False, others_print: bool = False) -> State:
    """Return the state of a command; ``json`` is its own ``--json``.

    Standard output is then kept for what the state prints, unless ``others_print``: commands of packages, programs.
    """
    state = cast("State", ctx.obj)
    state.json = state.json or json
    if not others_print:
        state.keep_output()
    return state


def columns_of(stream: TextIO) -> int:
    """Return how many columns a terminal has."""
    try:
        return int(os.environ.get("COLUMNS") or os.get_terminal_size(stream.fileno()).columns)
    except (OSError, ValueError):  # no number, or no terminal after all
        return USUAL_WIDTH


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, emoji=False)
