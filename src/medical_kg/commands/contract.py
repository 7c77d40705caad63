"""The contract of the door ``medical_kg.commands``: sub-commands a package brings to the command line.

An entry point names a ``typer.Typer``; it becomes ``medical-kg NAME``. Commands reach the installation through
``context_of(ctx)``, print results to stdout (JSON when ``context.json``), everything else to stderr.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import typer
    from rich.console import Console

    from medical_kg.orchestration.contract import Http, Plugins, WorkspaceView


class CommandContext(Protocol):
    """What a command may use. ``json`` asks for output a program can read; ``console`` writes to stdout."""

    json: bool
    console: Console

    @property
    def workspace(self) -> WorkspaceView:
        """The workspace chosen by ``--workspace``; raises a clear error when there is none."""

    def workspace_of(self, tenant: str) -> WorkspaceView:
        """The chosen workspace as the stages of a tenant see it; raises a clear error when there is no such tenant."""

    @property
    def plugins(self) -> Plugins:
        """What is installed behind every door."""

    @property
    def http(self) -> Http:
        """Reaches the hosts that the workspace's settings allow."""

    def run_in_memory(self, pipeline: str, input: str, keys: Collection[str]) -> Mapping[str, list[Any]]:  # noqa: A002  # the word of the command line
        """Run a pipeline (by name or path) over an input, keep nothing of the run, and return what these keys hold.

        Raises:
            PipelineNotFound, PipelineInvalid: there is no such pipeline, or it does not pass the check.
            RunFailed: a stage failed, or an item could not be processed; the message names the first.
        """


def context_of(ctx: typer.Context) -> CommandContext:
    """Return what the command line handed to this command."""
    return cast("CommandContext", ctx.obj)
