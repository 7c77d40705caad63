"""The stage type ``approval``: nothing after it happens before a person has said yes.

A batch that waits is put aside in the ledger. No worker is held and nothing polls: the signal that is told, or the
deadline, brings the batch back, and the stage is called anew.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from medical_kg import Clause, Condition, Model, Stage, StageContext, StageMetadata, StateKey, Waiting
from medical_kg.documents.ir import Document
from medical_kg.documents.keys import DOCUMENTS
from pydantic import Field


class NotApproved(Exception):
    """A person said no; the batch fails with what they said, and can be retried once they change their mind."""


class Approval(Model):
    """Who let a batch pass.

    ``by`` is empty where nobody spoke in time and the config says to continue; ``at`` is in seconds since the epoch.
    """

    documents: int
    by: str = ""
    at: float = 0.0


class ApprovalConfig(Model):
    """What a pipeline may set under ``config``; any other field is refused while the pipeline is checked."""

    signal: str = Field(default="approved", min_length=1, description="the signal that a person tells: true or false")
    deadline_seconds: float | None = Field(default=None, gt=0, description="longest wait; for ever unless given")
    on_timeout: Literal["fail", "continue"] = Field(
        default="fail", description="what happens when nobody spoke in time"
    )


APPROVAL: StateKey[Approval] = StateKey("approval", Approval, description="who let this batch pass")


def _counts(output: Any) -> dict[str, int]:
    approval = output[APPROVAL]
    return {
        "approved": approval.documents if approval.by else 0,
        "passed unseen": 0 if approval.by else approval.documents,
    }


class ApprovalStage(Stage[ApprovalConfig]):
    """Waits until a person approves of a batch's documents."""

    metadata = StageMetadata(
        stage_type="approval",
        version="1.0.0",  # of its behaviour: raise it when equal input gives other output
        description="Waits until a person approves of a batch's documents.",
        reads=(DOCUMENTS,),
        writes=(APPROVAL,),
        mode="batch",
        config_model=ApprovalConfig,
        output_counter=_counts,
        needs=("signals",),
    )

    def run(self, ctx: StageContext, documents: list[Document]) -> Approval | Waiting:
        """Return who approved, or what the batch waits for.

        Raises:
            NotApproved: a person said no.
        """
        if not documents:
            return Approval(documents=0)
        answered = Condition(clauses=(Clause(field=self.config.signal, operator="in", value=[True, False]),))
        if ctx.signals.holds(answered):
            told = ctx.signals.all()[self.config.signal]
            who = told.actor or "somebody"
            if told.value is False:
                message = f"{who} did not approve of the batch's {len(documents)} documents"
                raise NotApproved(message)
            return Approval(documents=len(documents), by=who, at=told.at)
        if ctx.timed_out:
            ctx.logger.warning("nobody approved of %d documents in time; they pass as the config says", len(documents))
            return Approval(documents=len(documents))
        ctx.logger.info("%d documents wait for the signal %r", len(documents), self.config.signal)
        seconds = self.config.deadline_seconds
        deadline = None if seconds is None else timedelta(seconds=seconds)
        return Waiting(answered, deadline=deadline, on_timeout=self.config.on_timeout)
