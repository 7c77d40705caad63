"""``signal``: tells a fact to its own submission or to another pipeline."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from pydantic import ValidationError

from medical_kg import StageContext
from medical_kg.stages.signal import SignalConfig, SignalStage


class Ears:
    """The signals service, keeping what it was told."""

    def __init__(self, hearers: int) -> None:
        self.hearers = hearers
        self.heard: list[tuple[str, Any, str | None]] = []

    def tell(self, name: str, value: Any, *, attachments: Any = (), pipeline: str | None = None) -> int:
        self.heard.append((name, value, pipeline))
        return self.hearers


def tell(ears: Ears, **config: Any) -> Any:
    ctx = StageContext(
        pipeline="p",
        stage="tell",
        submission_id="s",
        batch_id="b",
        tenant="t",
        config=None,
        logger=logging.LoggerAdapter(logging.getLogger("test")),
        services={"signals": ears},
    )
    return SignalStage(SignalConfig(**config)).run(ctx)


def test_tells_its_own_submission() -> None:
    """Without a pipeline the signal goes to the stage's own submission, true unless a value is given."""
    ears = Ears(1)
    assert tell(ears, signal="pdf_downloaded") is None
    assert tell(ears, signal="ledger.pages", value=12) is None
    assert ears.heard == [("pdf_downloaded", True, None), ("pages", 12, None)]


def test_tells_another_pipeline(caplog: pytest.LogCaptureFixture) -> None:
    """With a pipeline its unfinished submissions are told; the log says how many."""
    caplog.set_level(logging.INFO)
    ears = Ears(3)
    tell(ears, signal="ready", pipeline="pdf-two-phase")
    assert ears.heard == [("ready", True, "pdf-two-phase")]
    assert "told ready to pipeline 'pdf-two-phase': 3 submission(s)" in caplog.text


def test_nobody_there_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """A signal nobody could hear is worth a warning, not an error."""
    tell(Ears(0), signal="ready", pipeline="pdf-two-phase")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no unfinished submission" in caplog.text


@pytest.mark.parametrize("config", [{}, {"signal": ""}, {"signal": "x", "pipeline": ""}, {"signal": "x", "to": "y"}])
def test_wrong_config_is_refused(config: dict[str, Any]) -> None:
    """The signal needs a name, and unknown fields are refused."""
    with pytest.raises(ValidationError):
        SignalConfig(**config)
