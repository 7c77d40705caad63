"""One document through some stages again, alone, in this process, where a debugger can stop in them.

It is taken up as its values stood before a stage, from the stored results of the last batch that met it. Stages are
called once each: nothing is retried or ended at a time limit, and no worker process is started. What they store goes into
a workspace of its own, which is thrown away unless a folder is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.api import figures, html_table
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.debugging.directly import planned_here
from medical_kg.orchestration.debugging.finding import meeting, taken_up
from medical_kg.orchestration.debugging.session import Session, StageDebugged
from medical_kg.orchestration.planning import find_plan

if TYPE_CHECKING:
    from medical_kg.orchestration.workspace import Workspace

__all__ = ["Debugging", "Session", "StageDebugged", "debug", "opened"]


@dataclass(frozen=True, slots=True)
class Debugging:
    """What came of the stages that ran: ``document`` is the id of its input record, ``batch`` where it was taken up."""

    document: str
    pipeline: str
    submission: str
    batch: str
    stages: tuple[StageDebugged, ...]

    def __getitem__(self, key: str) -> Any:
        """Return what the last of these stages that gave a key gave under it; raises ``KeyError``."""
        given = [stage.outputs[key] for stage in self.stages if key in stage.outputs]
        if not given:
            known = ", ".join(dict.fromkeys(name for stage in self.stages for name in stage.outputs))
            raise KeyError(f"no stage that ran gave {key!r}; given: {known or 'nothing'}")
        return given[-1]

    def _repr_html_(self) -> str:
        """Return it as a notebook shows it: a row per stage, and the tracebacks."""
        rows = [
            (one.stage, one.stage_type, one.outcome, figures(one.counts), f"{one.seconds:.2f}") for one in self.stages
        ]
        title = f"{self.document} again, from batch {self.batch} of pipeline {self.pipeline}"
        columns = ("stage", "type", "outcome", "gave", "seconds")
        return html_table(title, columns, rows, [one.trace for one in self.stages if one.trace])


def debug(
    workspace: Workspace,
    document: str,
    stage: str,
    *,
    until: str | None = None,
    submission: str | None = None,
    tenant: str = "default",
    into: Path | None = None,
    raise_errors: bool = False,
) -> Debugging:
    """Run a stage and what depends on it again for one document, in this process; the workspace is only read.

    Args:
        workspace: where the document was processed.
        document: the id of its input record, or another identifier that a store knows.
        stage: the stage to begin with; the values before it are those of the last batch that met the document. A stage
            that feeds the pipeline reads the source again.
        until: the last stage to run; all that depend on ``stage`` unless given.
        submission: look in this submission instead, or a prefix of its id.
        tenant: whose document.
        into: a folder, empty or not there yet, that keeps what the stages store, as a workspace; thrown away unless given.
        raise_errors: let the first error of a stage out as it was raised, instead of telling it with the stage.

    Raises:
        RecordNotFound: no batch has met the document.
        UsageError: the pipeline has no such stage, the values before it are not stored any more, it cannot be imported in
            this process, or ``into`` is no empty folder.
        InputError: the source does not give the document any more.
    """
    place: dict[str, Any] = {"until": until, "submission": submission, "tenant": tenant, "into": into}
    with opened(workspace, document, stage, **place) as session:
        stages = tuple(session.run(raise_errors=raise_errors))
    found = session.found
    return Debugging(session.root, found.submission.pipeline, found.submission.id, found.batch.id, stages)


@contextmanager
def opened(
    workspace: Workspace,
    document: str,
    stage: str,
    *,
    until: str | None = None,
    submission: str | None = None,
    tenant: str = "default",
    into: Path | None = None,
) -> Iterator[Session]:
    """Take a document up without running anything yet; arguments and errors are those of ``debug``."""
    root, found = meeting(workspace, document, tenant, submission)
    plan = planned_here(workspace, lambda view: find_plan(view, found.submission)[0])
    wanted, before = taken_up(workspace, plan, root, found, stage, until)
    with _folder(into) as folder:
        scratch = workspace.apart(folder)
        session = Session(workspace, scratch, plan, root, found, wanted, kept=into is not None)
        try:
            session.prepare(stage, before)
            yield session
        finally:
            session.close()


@contextmanager
def _folder(into: Path | None) -> Iterator[Path]:
    if into is None:
        with TemporaryDirectory(prefix="medical-kg-debug-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
        return
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise UsageError(f"{into} is no empty folder; name one that is not there yet")
    yield into
