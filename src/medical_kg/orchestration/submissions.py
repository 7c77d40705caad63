"""Putting a request into the ledger: the pipeline is checked, nothing runs yet."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import InputError
from medical_kg.orchestration.contract.urls import secret_in
from medical_kg.orchestration.incremental import since_options
from medical_kg.orchestration.ledger.contract import NewSubmission
from medical_kg.orchestration.lock import check_plan
from medical_kg.orchestration.pipeline.spec import is_count_or_percent
from medical_kg.orchestration.planning import load_in, text_of
from medical_kg.orchestration.tenants import provide

if TYPE_CHECKING:
    from medical_kg.orchestration.ledger.contract import Submission
    from medical_kg.orchestration.ledger.requests import Origin
    from medical_kg.orchestration.workspace import Workspace


def open_submission(  # noqa: PLR0913  # what is asked for, and who asks
    workspace: Workspace,
    pipeline: str,
    *,
    input: str | Path | None = None,  # noqa: A002  # the word of the command line and of ctx.input
    limit: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    full_refresh: bool = False,
    max_removed: int | str | None = None,
    since: str | date | None = None,
    tenant: str = "default",
    actor: str | None = None,
    ident: str | None = None,
    origin: Origin | None = None,
    text: str | None = None,
) -> Submission:
    """Check a pipeline and put a submission of it into the ledger, without running it.

    Arguments and errors are those of ``api.submit``, and besides: ``actor`` is who asks, for the history; ``ident`` is
    given by callers that must be idempotent, and names the submission; ``origin`` is the signal that starts it;
    ``text`` is an earlier content of the pipeline's file, to be taken for it.
    """
    plan = load_in(workspace, pipeline, overrides=overrides or {}, text=text)
    plugin_lock = check_plan(workspace, plan)
    provide(workspace, tenant)
    options = {"limit": limit, "full_refresh": full_refresh or None, "max_removed": max_removed}
    asked = ({} if origin is None else origin.as_input()) | _asked(input, options)
    if since is not None:
        asked |= since_options(workspace, plan, tenant, asked, since)
    new = NewSubmission(
        tenant=tenant,
        pipeline=plan.name,
        pipeline_version=plan.version,
        pipeline_path=str(plan.path.absolute()),
        pipeline_digest=plan.digest,
        batch_size=plan.batch_size,
        input=asked,
        overrides=overrides or {},
        actor=actor or this_actor(),
        id=ident,
        plugin_lock=plugin_lock,
        pipeline_text=text or text_of(plan, overrides or {}),
        told=None if origin is None else origin.told,
    )
    return workspace.ledger.open_submission(new)[0]


def _asked(given: str | Path | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stages see as ``ctx.input``: what is to be processed, and the options that are given."""
    asked: dict[str, Any] = {}
    if given is not None:
        if not str(given).strip():
            raise InputError("the input is an empty text, e.g. from a variable that is not set; name a folder or file")
        if held := secret_in(str(given)):
            what = f"the input, an address, holds {held}, which the ledger would keep"
            raise InputError(
                f"{what}; leave it out and give it by the source's options, such as api_key: {{env: NAME}}"
            )
        asked["input"] = str(given) if "://" in str(given) else str(Path(given).absolute())
    asked |= {name: value for name, value in options.items() if value is not None}
    if "max_removed" in asked:
        asked["max_removed"] = checked_share(asked["max_removed"])
    return asked


def checked_share(most: int | str) -> int | str:
    """Return how many records may be removed at once, as it is kept: a number, or a percentage such as ``"10%"``.

    Raises:
        InputError: it is neither.
    """
    if isinstance(most, str) and most.strip().isdecimal():
        return int(most)
    if is_count_or_percent(most):
        return most
    raise InputError(f"max_removed must be a whole number from 0, or a percentage such as '10%', not {most!r}")


def reopen_failed(workspace: Workspace, submission_id: str, actor: str | None = None) -> None:
    """Make the failed batches of a submission ready again; ``actor`` is who asks, for the history."""
    for batch in workspace.ledger.batches(submission_id):
        if batch.status == "failed":
            workspace.ledger.reopen(batch.id, actor or this_actor())


def this_actor() -> str:
    """Return who runs this process, as ``user@host``; a user without a name, as in some containers, by number."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"
