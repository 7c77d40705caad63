"""``ingest``: payloads with provenance, an empty source is an error and never an invented payload (scenario 18)."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from medical_kg import InputError, Page, Rejected, StageContext
from medical_kg.documents.ir import Provenance
from medical_kg.documents.records import Payload
from medical_kg.stages.ingest import IngestConfig, IngestStage
from medical_kg.testing import run_stage


def study(number: int) -> str:
    return json.dumps({"protocolSection": {"identificationModule": {"nctId": f"NCT{number:08}"}}})


def test_a_folder_becomes_payloads(tmp_path: Path) -> None:
    """Local files give payloads with provenance, page by page."""
    (tmp_path / "a.json").write_text(f"[{study(1)}, {study(2)}, {{}}, {study(3)}]")
    first = run_stage(IngestStage, {"adapter": "clinicaltrials"}, input={"input": str(tmp_path)}, limit=2)
    assert first.counts == {"payloads": 2}
    assert [payload.provenance.uri for payload in first.output["payloads"]] == ["a.json", "a.json"]
    rest = run_stage(
        IngestStage, {"adapter": "clinicaltrials"}, input={"input": str(tmp_path)}, limit=2, cursor=first.cursor
    )
    assert [payload.id for payload in rest.output["payloads"]] == ["nct:NCT00000003"]
    assert [letter.item_id for letter in rest.dead_letters] == ["file:a.json#3"]
    assert rest.cursor is None


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    """Nothing is invented for an empty source."""
    with pytest.raises(InputError, match="found no record to read"):
        run_stage(IngestStage, {"adapter": "auto"}, input={"input": str(tmp_path)})


def test_options_reach_the_source(tmp_path: Path) -> None:
    """The source validates its own options."""
    with pytest.raises(InputError, match="options of source 'files' are refused"):
        run_stage(IngestStage, {"adapter": "files", "options": {"x": 1}}, input={"input": str(tmp_path)})


class FakeSource:
    """An outside source."""

    closed = 0

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options

    def pull(self, ctx: StageContext, cursor: str | None, limit: int) -> Page:
        provenance = Provenance(source="fake", uri=f"memory:{self.options['name']}")
        payload = Payload(id=f"fake:{cursor}", format="text", content=b"x", provenance=provenance)
        return Page([payload], f"{limit}", [Rejected("fake:2", "it is bad")])

    def close(self) -> None:
        FakeSource.closed += 1


class OnlyFake:
    """Service ``plugins`` with one source."""

    def get(self, door: str, name: str) -> Any:
        assert (door, name) == ("medical_kg.sources", "fake")
        return FakeSource


def test_any_source_behind_the_door_is_pulled(caplog: pytest.LogCaptureFixture) -> None:
    """The stage knows no source: it hands cursor, limit and options on, logs rejects and closes what it opened."""
    caplog.set_level(logging.WARNING)
    config = IngestConfig(adapter="fake", options={"name": "n"})
    stage = IngestStage(config)
    logger = logging.LoggerAdapter(logging.getLogger("test"), {})
    ctx = StageContext("p", "ingest", "s", "b", "t", config=config, logger=logger, services={"plugins": OnlyFake()})
    stage.open(ctx)
    page = stage.pull(ctx, "c", 7)
    stage.close()
    assert (page.output[0].id, page.output[0].provenance.uri, page.cursor) == ("fake:c", "memory:n", "7")
    assert "1 records were rejected, first it is bad" in caplog.text
    assert FakeSource.closed == 1
