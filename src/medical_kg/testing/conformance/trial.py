"""Running the stage of a case, each time with services and a workspace of its own, and putting results into bytes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from medical_kg.orchestration.contract.errors import ContractError
from medical_kg.testing.fresh import codec_of
from medical_kg.testing.harness import OpenStage, StageRun, opened_stage

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import Stage, StageMetadata, StateKey
    from medical_kg.testing.case import StageCase

OF_PAGES = ("cursor", "limit")
"""Keywords of a stream that the rules choose themselves."""

STREAM_LIMIT = 100
"""How many records a page of the whole input may have."""


class Trial:
    """A case that can be run.

    Args:
        case: what the author gave.
        folder: an empty folder; every run of a stage that needs a workspace gets a new one in it.
    """

    def __init__(self, case: StageCase, folder: Path) -> None:
        """Keep the case; nothing runs."""
        self.case, self.folder = case, folder
        self._runs = 0

    @property
    def cls(self) -> type[Stage[Any]]:
        """The stage class."""
        return self.case.stage_type

    @property
    def metadata(self) -> StageMetadata:
        """Its metadata."""
        return self.case.stage_type.metadata

    @property
    def items_key(self) -> StateKey[Any]:
        """The key that item mode maps over."""
        return self.metadata.read_keys[0]

    @property
    def items(self) -> list[Any]:
        """The items of the case."""
        name = self.items_key.name
        if not self.case.reads.get(name):
            self.broke(
                "the case itself", f"it gives no {name}, which the stage works on", f"give reads={{{name!r}: [...]}}"
            )
        return list(self.case.reads[name])

    def reads(self, **changes: Any) -> dict[str, Any]:
        """Return the case's reads by name, in lists of their own, with some changed."""
        given = {**self.case.reads, **changes}
        return {name: list(value) if isinstance(value, list) else value for name, value in given.items()}

    def new_folder(self) -> Path:
        """Return a new empty folder."""
        self._runs += 1
        folder = self.folder / f"run-{self._runs}"
        folder.mkdir()
        return folder

    def keywords(self, folder: Path | None = None, **changes: Any) -> dict[str, Any]:
        """Return the keywords of a run: the case's own, copied so that runs do not share fakes, and a workspace."""
        given = {name: value for name, value in {**self.case.more, **changes}.items() if name not in OF_PAGES}
        if isinstance(given.get("services"), Mapping):
            given["services"] = {name: _copied(service) for name, service in given["services"].items()}
        if "workspace" in self.metadata.needs:
            given.setdefault("workspace", folder or self.new_folder())
        return given

    @contextmanager
    def opened(
        self, *, stage_type: type[Stage[Any]] | None = None, folder: Path | None = None, **changes: Any
    ) -> Iterator[OpenStage]:
        """Open the stage for several calls."""
        with opened_stage(stage_type or self.cls, self.case.config, **self.keywords(folder, **changes)) as stage:
            yield stage

    def run(
        self, reads: Mapping[str, Any] | None = None, *, stage_type: type[Stage[Any]] | None = None, **changes: Any
    ) -> StageRun:
        """Run the stage once; for a stream, over its first page."""
        with self.opened(stage_type=stage_type, **changes) as stage:
            if self.metadata.mode == "stream":
                return stage.pull(None, STREAM_LIMIT)
            return stage.run(self.reads() if reads is None else reads)

    def run_whole(self) -> StageRun:
        """Run the stage over the case's reads; skip the rule when it waits with them."""
        try:
            run = self.run()
        except ContractError as error:
            self.broke("its own metadata", f"a run over the case's reads ended with: {error}", "let both agree")
        if run.waiting is not None:
            pytest.skip(f"{self.case} waits with the case's reads, so it gives nothing to look at")
        return run

    def with_metadata(self, **changes: Any) -> type[Stage[Any]]:
        """Return the stage type with other metadata."""
        return type(self.cls.__name__, (self.cls,), {"metadata": replace(self.metadata, **changes)})

    def needs_mode(self, mode: str, why: str) -> None:
        """Skip the rule for other modes."""
        if self.metadata.mode != mode:
            pytest.skip(f"{self.case} is in {self.metadata.mode} mode: {why}")

    def says(self, rule: str, found: str, advice: str) -> str:
        """Return the message of a broken rule."""
        return f"{self.case} breaks the rule of {rule}.\n  Found: {found}\n  To do: {advice}"

    def broke(self, rule: str, found: str, advice: str) -> NoReturn:
        """Fail the rule."""
        pytest.fail(self.says(rule, found, advice), pytrace=False)


def _copied(service: Any) -> Any:
    try:
        return copy.deepcopy(service)
    except Exception:  # noqa: BLE001  # what cannot be copied (it holds a lock, a connection) is shared by the runs
        return service


def encoded(run: StageRun) -> dict[str, bytes]:
    """Return each written value as the bytes of its codec."""
    return {key.name: bytes_of(key, run.output[key]) for key in run.output.declared if key in run.output}


def bytes_of(key: StateKey[Any], value: Any) -> bytes:
    """Return a value as the bytes of its key's codec."""
    return codec_of(key).encode(value)


def outcome(trial: Trial, run: StageRun) -> dict[str, Any]:
    """Return what two runs over equal input are compared by: bytes, or ids and roots where values may differ."""
    if trial.case.repeatable:
        return encoded(run)
    return {key.name: _names(key, run.output[key]) for key in run.output.declared if key in run.output}


def _names(key: StateKey[Any], value: Any) -> Any:
    if not key.is_list or key.id_of is None:
        return f"a {type(value).__name__}"
    return [(key.id_of(item), key.root_of(item) if key.root_of else None) for item in value]


def letters(run: StageRun) -> str:
    """Return the dead letters of a run in words."""
    return "; ".join(f"{one.item_id}: {one.error}: {one.message}" for one in run.dead_letters[:3])
