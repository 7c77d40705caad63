"""Which readings of an input have ended, so that the next one need only ask for what was updated since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, exists, select

from medical_kg.orchestration.contract.database import reading
from medical_kg.orchestration.ledger.records import source_key
from medical_kg.orchestration.ledger.tables import BATCHES, STAGE_RESULTS, SUBMISSIONS

if TYPE_CHECKING:
    from sqlalchemy import Engine


class SqlReadings:
    """``sweeps.Readings`` over a SQLAlchemy engine."""

    _engine: Engine

    def last_reading(self, tenant: str, pipeline: str, given: Mapping[str, Any], fingerprint: str) -> float | None:
        """See ``Readings.last_reading``."""
        asked, batches, results = SUBMISSIONS.c, BATCHES.c, STAGE_RESULTS.c
        same = and_(results.tenant == batches.tenant, results.batch_id == batches.id)
        read = exists().where(
            batches.tenant == tenant,
            batches.submission_id == asked.id,
            same,
            results.sweep["read_by"].as_string() == fingerprint,
        )
        of_pipeline = (asked.tenant == tenant, asked.pipeline == pipeline, asked.status == "completed")
        query = select(asked.input, asked.created_at).where(*of_pipeline, read).order_by(asked.sequence.desc())
        wanted = source_key(given)
        with reading(self._engine) as connection:
            return next((at for one, at in connection.execute(query) if source_key(one) == wanted), None)
