"""Values pass between ops as references: the ledger knows what a stage wrote, so nothing is written twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dagster import IOManager, io_manager

if TYPE_CHECKING:
    from dagster import InitResourceContext, InputContext, OutputContext

KEY = "reference"


@dataclass(frozen=True, slots=True)
class Reference:
    """What an op's input stands for: the output of an op, whose content the ledger has."""

    op: str
    output: str


class ReferenceIOManager(IOManager):
    """Writes nothing, and gives each input a reference."""

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Do nothing: the stage's commit has already stored the value."""

    def load_input(self, context: InputContext) -> Reference:
        """Name the output that the input is wired to."""
        upstream = context.upstream_output
        assert upstream is not None  # noqa: S101  # every input of a job of ours is wired to an op
        return Reference(upstream.step_key, upstream.name)


@io_manager
def reference_io_manager(_: InitResourceContext) -> ReferenceIOManager:
    """Make the IO manager for a job."""
    return ReferenceIOManager()
