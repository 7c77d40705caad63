"""Readings of what was updated since a time: what ``--since`` means to the stages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import InputError
from medical_kg.orchestration.contract.moments import moment_of
from medical_kg.orchestration.execution.pulling import pipeline_fingerprint

if TYPE_CHECKING:
    from medical_kg.orchestration.pipeline.plan import Plan
    from medical_kg.orchestration.workspace import Workspace

LAST = "last"
OVERLAP = timedelta(days=1)
"""So much before the last reading is asked for again, since services tell days and show an update late."""


def since_options(
    workspace: Workspace, plan: Plan, tenant: str, given: Mapping[str, Any], since: str | date
) -> dict[str, str]:
    """Return what stages see of ``since`` in ``ctx.input``: the word itself, and ``updated_since``, a time in ISO 8601.

    After ``last`` there is no time where no reading of this input by this pipeline, as it is now, has ended.

    Raises:
        InputError: it is neither ``last`` nor a day or time.
    """
    if since != LAST:
        return {"since": str(since), "updated_since": _moment(since).isoformat()}
    last = workspace.ledger.last_reading(tenant, plan.name, given, pipeline_fingerprint(plan))
    if last is None:
        return {"since": LAST}
    begin = datetime.fromtimestamp(last, UTC) - OVERLAP
    return {"since": LAST, "updated_since": begin.isoformat(timespec="seconds")}


def _moment(since: str | date) -> datetime:
    try:
        return moment_of(str(since))
    except ValueError as error:
        raise InputError(f"since must be 'last', or a day or time: {error}") from None
