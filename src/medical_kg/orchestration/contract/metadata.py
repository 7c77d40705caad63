"""The metadata record: everything the runtime does with a stage is decided here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from packaging.version import InvalidVersion, Version
from pydantic import BaseModel

from medical_kg.orchestration.contract.errors import MetadataError
from medical_kg.orchestration.contract.model import Model
from medical_kg.orchestration.contract.state import OptionalRead, StateKey

Mode = Literal["item", "batch", "stream"]
Output = Mapping[StateKey[Any], Any]
"""The handled output of a stage: every key it writes, and only those."""

STAGE_TYPE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class NoConfig(Model):
    """The config of a stage that takes none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMetadata:
    """What a stage type is: how it is named, what it reads and writes, how it is called and counted.

    Args:
        stage_type: the name pipelines use; lower-case words joined by hyphens, equal to the entry point's name.
        version: of its behaviour, e.g. ``1.0.0``; part of the checkpoint's fingerprint, so raise it when the output
            changes.
        description: one sentence for people.
        reads: state keys it needs, or ``optional(key)``; each becomes a keyword argument. In item mode the first is
            the one that is mapped over.
        writes: state keys it gives.
        mode: ``batch`` sees whole lists, ``item`` one record at a time, ``stream`` feeds the pipeline.
        config_model: pydantic model of its config; it must refuse unknown fields.
        output_handler: pure function from what the stage returned to ``{key: value}``. By default one written key
            takes the output as it is, several take a mapping from key (or name), none takes ``None``.
        output_counter: pure function from the handled output of the whole batch to a number or named numbers. By
            default the length of each written list.
        items_per_call: item mode only: ``process_many`` gets up to this many items.
        flat: item mode only: one item gives any number of records.
        default_policy: the resilience policy used where the pipeline names none.
        cacheable: equal input and config always give equal output, so results may be kept per item.
        keeps: it keeps something of its input outside of the engine, and can be told to forget it.
        needs: services it asks of the context, e.g. ``("signals", "files")``.

    Raises:
        MetadataError: a field is invalid; it names the plugin, the field and the value.
    """

    stage_type: str
    version: str
    description: str
    reads: tuple[StateKey[Any] | OptionalRead, ...] = ()
    writes: tuple[StateKey[Any], ...] = ()
    mode: Mode = "batch"
    config_model: type[BaseModel] = NoConfig
    output_handler: Callable[[Any], Mapping[Any, Any]] | None = None
    output_counter: Callable[[Output], float | Mapping[str, float]] | None = None
    items_per_call: int | None = None
    flat: bool = False
    default_policy: str | None = None
    cacheable: bool = False
    keeps: bool = False
    needs: tuple[str, ...] = ()
    read_keys: tuple[StateKey[Any], ...] = field(init=False, repr=False)
    optional_keys: frozenset[StateKey[Any]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse the first invalid field."""
        self._check_names()
        self._check_keys()
        self._check_mode()
        self._check_callables()

    def _refuse_unless(self, ok: bool, name: str, reason: str) -> None:  # noqa: FBT001  # the verdict is the argument
        if not ok:
            raise MetadataError(f"stage type {self.stage_type!r}", name, getattr(self, name), reason)

    def _check_names(self) -> None:
        refuse = self._refuse_unless
        ok = isinstance(self.stage_type, str) and bool(STAGE_TYPE.fullmatch(self.stage_type))
        refuse(ok, "stage_type", "must be lower-case words joined by hyphens, e.g. 'ir-validation'")
        refuse(isinstance(self.version, str) and _is_version(self.version), "version", "must be like '1.0.0'")
        described = isinstance(self.description, str) and bool(self.description.strip())
        refuse(described, "description", "must be a sentence for people")
        policy = self.default_policy
        refuse(
            policy is None or (isinstance(policy, str) and bool(policy.strip())),
            "default_policy",
            "must be the name of a policy, or None",
        )
        needs_ok = isinstance(self.needs, tuple) and all(isinstance(n, str) and n.isidentifier() for n in self.needs)
        refuse(needs_ok, "needs", "must be a tuple of service names")

    def _check_keys(self) -> None:
        refuse = self._refuse_unless
        reads_ok = isinstance(self.reads, tuple) and all(isinstance(_key(read), StateKey) for read in self.reads)
        refuse(reads_ok, "reads", "must be a tuple of StateKey or optional(StateKey)")
        writes_ok = isinstance(self.writes, tuple) and all(isinstance(w, StateKey) for w in self.writes)
        refuse(writes_ok, "writes", "must be a tuple of StateKey")
        keys = tuple(map(_key, self.reads))
        refuse(len(set(keys)) == len(keys), "reads", "names a key twice")
        refuse(len(set(self.writes)) == len(self.writes), "writes", "names a key twice")
        object.__setattr__(self, "read_keys", keys)
        optional_keys = frozenset(read.key for read in self.reads if isinstance(read, OptionalRead))
        object.__setattr__(self, "optional_keys", optional_keys)

    def _check_mode(self) -> None:
        refuse = self._refuse_unless
        refuse(self.mode in get_args(Mode), "mode", "must be 'item', 'batch' or 'stream'")
        per_call = self.items_per_call
        per_call_ok = per_call is None or (isinstance(per_call, int) and per_call >= 1 and per_call is not True)
        refuse(per_call_ok, "items_per_call", "must be a whole number from 1")
        for name in ("flat", "cacheable", "keeps"):
            refuse(isinstance(getattr(self, name), bool), name, "must be True or False")
        if self.mode == "item":
            self._check_item_mode()
        else:
            refuse(per_call is None, "items_per_call", "is for item mode only")
            refuse(self.flat is False, "flat", "is for item mode only")
        if self.mode == "stream":
            refuse(not self.reads, "reads", "must be empty for a stream stage: it feeds the pipeline")
            refuse(bool(self.writes), "writes", "must name what a stream stage feeds")

    def _check_item_mode(self) -> None:
        refuse = self._refuse_unless
        refuse(bool(self.read_keys), "reads", "must name the key that item mode maps over")
        first = self.read_keys[0]
        refuse(first not in self.optional_keys, "reads", "the first key of item mode cannot be optional")
        refuse(first.is_list and first.id_of is not None, "reads", f"{first.name!r} needs a list type and an id")
        refuse(all(key.is_list for key in self.writes), "writes", "item mode writes lists only")

    def _check_callables(self) -> None:
        refuse = self._refuse_unless
        for name in ("output_handler", "output_counter"):
            refuse(getattr(self, name) is None or callable(getattr(self, name)), name, "must be callable")
        model = self.config_model
        is_model = isinstance(model, type) and issubclass(model, BaseModel)
        refuse(is_model, "config_model", "must be a pydantic model")
        refuse(model.model_config.get("extra") == "forbid", "config_model", 'must set extra="forbid"')


def _key(read: Any) -> Any:
    return read.key if isinstance(read, OptionalRead) else read


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True
