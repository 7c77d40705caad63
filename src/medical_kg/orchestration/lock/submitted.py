"""The lock that a submission keeps: the plugins of its plan, looked at again whenever it is run or resumed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import LockMismatch, PluginError
from medical_kg.orchestration.isolation.naming import plugins_named
from medical_kg.orchestration.lock.entries import Entry, entry_of
from medical_kg.orchestration.lock.file import LOCK_FILE, Difference, Entries, compare, key_of, read_lock
from medical_kg.orchestration.registry import STAGES

if TYPE_CHECKING:
    from medical_kg.orchestration.ledger.contract import Submission
    from medical_kg.orchestration.pipeline.plan import Plan
    from medical_kg.orchestration.registry import Installation, StageType
    from medical_kg.orchestration.workspace import Workspace

logger = logging.getLogger(__name__)

MEND_FILE = "accept them by `medical-kg plugins lock`"
MEND_SUBMISSION = "install what it began with"
ALLOW = 'or set [plugins] on_lock_mismatch = "warn" in medical_kg.toml'


def plan_lock(installation: Installation, plan: Plan) -> dict[str, dict[str, Entry]]:
    """Return the lock entries of the plugins that a plan uses: its stage types, and what their configs name."""
    found: dict[str, dict[str, Entry]] = {}
    for planned in plan.stages:
        name, entry = _of_stage(installation, planned.type)
        found.setdefault(STAGES, {})[name] = entry
        for door, asked in plugins_named(planned.config):
            claim = installation.door(door).claim(asked)
            found.setdefault(door, {})[key_of(installation, claim)] = entry_of(claim)
    return found


def _of_stage(installation: Installation, type_: StageType) -> tuple[str, Entry]:
    origin = type_.origin
    try:
        claim = installation.stages.claim(f"{origin.distribution}:{origin.name}")
    except PluginError:  # it lives in another environment, or was given to the plan directly
        return origin.name, entry_of(None, type_)
    if getattr(type_, "environment", None) is not None:
        return key_of(installation, claim), entry_of(None, type_)
    return key_of(installation, claim), entry_of(claim, type_)


def check_plan(workspace: Workspace, plan: Plan, submission: Submission | None = None) -> dict[str, Any]:
    """Hold the plugins of a plan against the lock file, where there is one, and against a submission's own lock.

    Returns:
        The plan's lock, as a submission keeps it.

    Raises:
        LockMismatch: they differ and the settings say ``refuse``; otherwise the differences are logged, for a
            submission that is run.
        SettingsError: the lock file cannot be read.
    """
    now = plan_lock(workspace.installation, plan)
    held_against = {LOCK_FILE: (_of_file(workspace, now), MEND_FILE)}
    if submission is not None and submission.plugin_lock is not None:
        kept = _entries(submission.plugin_lock)
        held_against[f"what submission {submission.id} began with"] = (kept, MEND_SUBMISSION)
    for lock, (old, mend) in held_against.items():
        if old is not None and (differences := list(_known(compare(old, now), plan))):
            _tell(workspace, lock, differences, mend, log=submission is not None)
    return _plain(now)


def _known(differences: Iterable[Difference], plan: Plan) -> Iterator[Difference]:
    """Leave out what only the worker of a stage's environment could tell: files and config of its type."""
    apart = {planned.type.origin.name for planned in plan.stages if getattr(planned.type, "environment", None)}
    for one in differences:
        plain = one.name.rpartition(":")[2]
        unknown = one.field in ("record", "source", "config") and not one.new
        if not (unknown and one.door == STAGES and plain in apart):
            yield one


def _of_file(workspace: Workspace, now: Entries) -> Entries | None:
    """Return what the lock file says of these plugins; None where there is no file."""
    lock = read_lock(workspace)
    if lock is None:
        return None
    kept = {door: lock.plugins.get(door, {}) for door in now}
    return {door: {name: kept[door][name] for name in names if name in kept[door]} for door, names in now.items()}


def _entries(kept: Mapping[str, Any]) -> Entries:
    return {door: {name: Entry.model_validate(one) for name, one in names.items()} for door, names in kept.items()}


def _plain(entries: Entries) -> dict[str, Any]:
    return {
        door: {name: one.model_dump(exclude_defaults=True) for name, one in names.items()}
        for door, names in entries.items()
    }


def _tell(workspace: Workspace, lock: str, differences: list[Difference], mend: str, *, log: bool) -> None:
    if workspace.installation.settings.on_lock_mismatch == "refuse":
        raise LockMismatch(lock, differences, f"{mend}, {ALLOW}")
    if log:
        logger.warning("plugins differ from %s: %s", lock, "; ".join(map(str, differences)))
