"""The stage type ``approval``: the rules that hold for every stage type, and what this one does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from medical_kg.documents.ir import Block, Document, Provenance, Section
from medical_kg.testing import FakeSignals, StageCase, run_stage
from medical_kg.testing.conformance import StageConformance

from medical_kg_approval import Approval, ApprovalStage, NotApproved


def make_document(ident: str, text: str) -> Document:
    """A record of the state key ``documents``."""
    return Document(
        id=ident,
        root=ident,
        kind="text",
        title="",
        text=text,
        sections=(Section(id="s1", blocks=(Block(id="b1", start=0, end=len(text)),)),),
        provenance=Provenance(source="example", uri="memory:"),
    )


DOCUMENTS = [make_document("a", "Is it good?"), make_document("b", "Who can tell?")]


def said(*, value: Any) -> dict[str, Any]:
    """The service with what a person said."""
    return {"signals": FakeSignals({"approved": value})}


class TestConformance(StageConformance):
    """The rules that hold for every stage type, once a person has said yes."""

    @pytest.fixture
    def case(self) -> StageCase:
        """Documents that were approved of."""
        return StageCase(ApprovalStage, reads={"documents": DOCUMENTS}, more={"services": said(value=True)})


class TestConformanceWhileItWaits(StageConformance):
    """The same rules before anybody spoke: what it waits for is sound."""

    @pytest.fixture
    def case(self) -> StageCase:
        """Documents that nobody has looked at."""
        config = {"deadline_seconds": 60, "on_timeout": "continue"}
        return StageCase(ApprovalStage, config=config, reads={"documents": DOCUMENTS})


def test_it_waits_for_a_person() -> None:
    """Before anybody spoke it gives nothing, and says what it waits for and how long."""
    run = run_stage(ApprovalStage, {"deadline_seconds": 3600}, documents=DOCUMENTS)
    assert run.waiting is not None
    assert str(run.waiting.condition) == "approved in [True, False]"
    assert (run.waiting.deadline, run.waiting.on_timeout) == (timedelta(hours=1), "fail")


def test_a_yes_lets_the_batch_pass() -> None:
    """The output says who approved of how many documents."""
    run = run_stage(ApprovalStage, documents=DOCUMENTS, services=said(value=True))
    assert run.output["approval"] == Approval(documents=2, by="somebody")
    assert run.counts == {"approved": 2, "passed unseen": 0}


def test_a_no_fails_the_batch() -> None:
    """A refusal is an error that says whose, and no wait."""
    with pytest.raises(NotApproved, match="somebody did not approve of the batch's 2 documents"):
        run_stage(ApprovalStage, documents=DOCUMENTS, services=said(value=False))


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_any_other_word_is_no_answer(value: Any) -> None:
    """Only true and false count; it goes on waiting."""
    assert run_stage(ApprovalStage, documents=DOCUMENTS, services=said(value=value)).waiting is not None


def test_when_the_time_is_up_the_batch_may_pass_unseen() -> None:
    """Called with the time up, it passes the batch and counts it apart."""
    run = run_stage(ApprovalStage, {"on_timeout": "continue"}, documents=DOCUMENTS, timed_out=True)
    assert run.output["approval"].by == ""
    assert run.counts == {"approved": 0, "passed unseen": 2}


def test_an_empty_batch_needs_nobody() -> None:
    """Where there is nothing to approve of, nobody is asked."""
    assert run_stage(ApprovalStage, documents=[]).output["approval"] == Approval(documents=0)
