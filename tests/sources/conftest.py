"""A context whose formats are the pack's own, and small files of every kind."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from medical_kg import StageContext
from medical_kg.formats.clinicaltrials import ClinicalTrialsFormat
from medical_kg.formats.contract import Format
from medical_kg.formats.jats import JatsFormat
from medical_kg.formats.pdf import PdfFormat
from medical_kg.formats.pubmed import PubMedFormat
from medical_kg.formats.text import TextFormat
from medical_kg.orchestration.contract.errors import PluginBroken

FORMATS: Mapping[str, type[Format]] = {
    one.name: one for one in (ClinicalTrialsFormat, JatsFormat, PdfFormat, PubMedFormat, TextFormat)
}


@dataclass
class Installed:
    """Service ``plugins`` over a mapping; None stands for a broken plugin."""

    formats: Mapping[str, type[Format] | None] = field(default_factory=lambda: FORMATS)

    def names(self, door: str) -> tuple[str, ...]:
        assert door == "medical_kg.formats"
        return tuple(self.formats)

    def get(self, door: str, name: str) -> Any:
        if self.formats[name] is None:
            raise PluginBroken(door, name, "some-package", "no module named x")
        return self.formats[name]


@pytest.fixture
def context() -> Callable[..., StageContext]:
    def make(source: object, *, plugins: Installed | None = None, submission: str = "s", **more: Any) -> StageContext:
        return StageContext(
            pipeline="p",
            stage="ingest",
            submission_id=submission,
            batch_id="b",
            tenant="t",
            config=None,
            logger=logging.LoggerAdapter(logging.getLogger("test"), {}),
            input={"input": str(source), **more},
            services={"plugins": plugins or Installed()},
        )

    return make


@pytest.fixture
def installed() -> type[Installed]:
    return Installed
