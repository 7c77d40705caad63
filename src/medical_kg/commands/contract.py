"""The contract of the door ``medical_kg.commands``: sub-commands a package brings to the command line.

An entry point names a ``typer.Typer``; it becomes ``medical-kg NAME``. Commands reach the installation through
``context_of(ctx)``, print results to stdout (JSON when ``context.json``), everything else to stderr.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import typer
    from rich.console import Console

    from medical_kg.orchestration.contract import Plugins, WorkspaceView


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


def context_of(ctx: typer.Context) -> CommandContext:
    """Return what the command line handed to this command."""
    return cast("CommandContext", ctx.obj)
