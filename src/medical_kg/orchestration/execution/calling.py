"""Calling a stage by its mode: whole values, a page, or item by item with isolation.

Only the item loop is hot. It isolates each item, so one that raises becomes a ``Failure`` and the rest goes on, whatever
it raised: ``SystemExit`` and ``KeyboardInterrupt`` too, unless a signal caused them. Errors that say the stage itself is
broken (its contract, the settings, the disk, the ledger) are raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract import Page, Rejected, StateKey, Waiting, method_of
from medical_kg.orchestration.contract.errors import (
    ContractError,
    LedgerError,
    PluginError,
    StorageError,
    UsageError,
)
from medical_kg.orchestration.contract.foreign import MESSAGE, identified, said, shown
from medical_kg.orchestration.execution.failing import Failure, PutOff, seconds_of
from medical_kg.orchestration.execution.whole import one_each, wholly
from medical_kg.orchestration.interruption import watched

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import Stage, StageContext, StageMetadata
    from medical_kg.orchestration.interruption import Watch
    from medical_kg.orchestration.resilience import Guard

FATAL = (PluginError, StorageError, UsageError, LedgerError, MemoryError)
"""Errors that are the stage's, not an item's: isolating them would only repeat them for every item."""

MOST_COUNTS = 100
"""Named numbers that a counter may give: they go to every event and to Dagster's page."""


@dataclass(slots=True)
class Called:
    """What a call gave: the handled output by key, the items that failed or are put off, or a wait; of a stream its place."""

    output: dict[StateKey[Any], Any] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    put_off: list[PutOff] = field(default_factory=list)
    waiting: Waiting | None = None
    cursor: str | None = None
    complete: bool = False
    process_all: bool = False
    total: int | None = None

    def leave(self, key: StateKey[Any], items: Sequence[Any], error: BaseException) -> None:
        """Leave items of a key out: they are put off where the error says so, and have failed otherwise."""
        for item in items:
            failure, seconds = Failure.of(key, item, error), seconds_of(error)
            if seconds is None:
                self.failures.append(failure)
            else:
                self.put_off.append(PutOff(failure, seconds))

    def fail_put_off(self) -> None:
        """Let what is put off fail after all."""
        self.failures += [one.failure for one in self.put_off]
        self.put_off = []


def call(stage: Stage[Any], ctx: StageContext, guard: Callable[..., Any], reads: Mapping[str, Any]) -> Called:
    """Call a batch or item stage with its reads and return its handled, checked output.

    Raises:
        ContractError: the output does not fit the metadata.
        Exception: whatever a batch stage raised after its policy's attempts.
    """
    metadata = stage.metadata
    if metadata.mode == "item":
        return _call_items(stage, ctx, guard, dict(reads))
    output = guard(stage.run, ctx, **reads)
    if isinstance(output, Waiting):
        return Called(waiting=output)
    return Called(output=handle(metadata, output))


def pull(stage: Stage[Any], ctx: StageContext, guard: Guard, cursor: str | None, limit: int) -> Called:
    """Pull one page from a stream stage.

    Raises:
        ContractError: it gave something else than a ``Page``, or its output does not fit the metadata.
    """
    page = guard(stage.pull, ctx, cursor, limit)
    if not isinstance(page, Page):
        raise _broken(stage.metadata, f"pull() returned {type(page).__name__} instead of a Page")
    failures = [_rejected(item) for item in page.rejected]
    output, ended = handle(stage.metadata, page.output), page.complete and page.cursor is None
    return Called(output, failures, cursor=page.cursor, complete=ended, process_all=page.process_all, total=page.total)


def _rejected(item: Rejected) -> Failure:
    ident = identified(item.item_id)
    root = ident if item.root is None else identified(item.root)
    return Failure(ident, root, "Rejected", shown(str(item.reason), MESSAGE))


def handle(metadata: StageMetadata, output: Any) -> dict[StateKey[Any], Any]:
    """Return ``{key: value}`` for what a stage gave, by its output handler or the default rule, and check it.

    Raises:
        ContractError: the output handler raised, a declared key is missing, an undeclared one is there, or a value does
            not fit its key's type.
    """
    if metadata.output_handler is None:
        handled = _by_default(metadata, output)
    else:
        with blaming(metadata, "its output handler"):
            handled = metadata.output_handler(output)
    if not isinstance(handled, Mapping):
        raise _broken(metadata, f"its output handler returned {type(handled).__name__} instead of a mapping")
    declared = {key.name: key for key in metadata.writes}
    named = {key.name if isinstance(key, StateKey) else str(key): value for key, value in handled.items()}
    for name in (name for name in named if name not in declared):
        raise _broken(metadata, f"it wrote {name!r}, which its metadata does not declare in writes", name)
    for name in (name for name in declared if name not in named):
        raise _broken(metadata, f"it did not write {name!r}, which its metadata declares in writes", name)
    for name, value in named.items():
        if reason := misfit(declared[name], value):
            raise _broken(metadata, f"{name!r} {reason}", name)
    return {key: named[key.name] for key in metadata.writes}


def misfit(key: StateKey[Any], value: Any) -> str | None:
    """Return why a value cannot stand in a key, or None when it can."""
    if not key.is_list:
        return None if isinstance(value, _class_of(key)) else f"holds a {type(value).__name__}, not {key.item_type}"
    if not isinstance(value, list):
        return f"holds a {type(value).__name__}, not a list"
    seen: set[str] = set()
    for item in value:
        if reason := _item_misfit(key, item, seen):
            return reason
    return None


def _item_misfit(key: StateKey[Any], item: Any, seen: set[str]) -> str | None:
    if not isinstance(item, _class_of(key)):
        return f"holds a {type(item).__name__} where {key.item_type.__name__} is declared"
    if key.id_of is not None:
        ident = key.id_of(item)
        if ident in seen:
            return f"holds two items with the id {ident!r}"
        seen.add(ident)
    return None


def _class_of(key: StateKey[Any]) -> type:
    """Return what every value of a key must be an instance of, as far as a class can tell."""
    declared = key.item_type
    return _checkable(declared) if isinstance(declared, type) and declared is not Any else object


@lru_cache(maxsize=256)
def _checkable(declared: type) -> type:
    try:
        isinstance(None, declared)
    except TypeError:  # a TypedDict, which is a dict to whoever asks, or a protocol
        return dict if dict in declared.__mro__ else object
    return declared


def count(metadata: StageMetadata, output: Mapping[StateKey[Any], Any]) -> dict[str, float]:
    """Return the named counts of a handled output, by the stage's counter or the length of each written list.

    Raises:
        ContractError: the counter raised, or gave something that is not a number or named numbers.
    """
    if metadata.output_counter is None:
        return {key.name: float(len(value) if key.is_list else 1) for key, value in output.items()}
    with blaming(metadata, "its output counter"):
        counted = metadata.output_counter(output)
        named_counts = counted if isinstance(counted, Mapping) else {"output": counted}
        if len(named_counts) > MOST_COUNTS:
            msg = f"it gave {len(named_counts):,} counts; at most {MOST_COUNTS} are kept"
            raise ValueError(msg)
        return {identified(name): _number(number) for name, number in named_counts.items()}


def _number(counted: Any) -> float:
    if isinstance(counted, (str, bytes)):
        msg = f"{shown(repr(counted), MESSAGE)} is no number"
        raise TypeError(msg)
    number = float(counted)
    if not isfinite(number):
        msg = f"{number} is no count"
        raise ValueError(msg)
    return number


@contextmanager
def blaming(metadata: StageMetadata, what: str) -> Iterator[None]:
    """Run a plugin's function: whatever it raises is a breach of its contract.

    Raises:
        ContractError: it raised; the message says what.
    """
    with watched() as watch:
        try:
            yield
        except BaseException as error:
            watch.check()
            raise _broken(metadata, f"{what} failed: {said(error)}") from error


def _by_default(metadata: StageMetadata, output: Any) -> Mapping[Any, Any]:
    if len(metadata.writes) == 1 and not _is_by_key(output):
        return {metadata.writes[0]: output}
    if metadata.writes:
        return output if isinstance(output, Mapping) else {}
    if output is not None:
        raise _broken(metadata, f"it returned a {type(output).__name__}, but its metadata declares no writes")
    return {}


def _is_by_key(output: Any) -> bool:
    """Whether it maps state keys to values; no value of a key is keyed by state keys itself."""
    return isinstance(output, Mapping) and bool(output) and all(isinstance(key, StateKey) for key in output)


def _broken(metadata: StageMetadata, what: str, key: str | None = None) -> ContractError:
    return ContractError(f"stage type {metadata.stage_type!r}", what, key=key)


def _call_items(stage: Stage[Any], ctx: StageContext, guard: Callable[..., Any], reads: dict[str, Any]) -> Called:
    metadata = stage.metadata
    key = metadata.read_keys[0]
    items = reads.pop(key.name)
    called = Called()
    take = _Collector(metadata)
    function = wholly(metadata, getattr(stage, method_of(metadata)))
    with watched() as watch:
        if metadata.items_per_call is None:
            for item in items:
                try:
                    take(guard(function, ctx, item, **reads))
                except FATAL:
                    raise
                except BaseException as error:  # noqa: BLE001  # a plugin may raise anything; the item is kept
                    watch.check()
                    called.leave(key, [item], error)
                if watch.raised is not None:  # Ctrl-C, which the plugin has swallowed
                    watch.check()
        else:
            per_call = metadata.items_per_call
            for first in range(0, len(items), per_call):
                group = items[first : first + per_call]
                _call_group(lambda group: guard(function, ctx, group, **reads), group, take, called, watch)
    called.output = take.output()
    return called


def _call_group(function: Any, group: Sequence[Any], take: _Collector, called: Called, watch: Watch) -> None:
    """Call for a group; when that fails, halve it until the bad item stands alone."""
    watch.check()
    try:
        results = one_each(take.metadata, group, function(group))
    except FATAL:
        raise
    except BaseException as error:  # noqa: BLE001  # as above
        watch.check()
        if len(group) == 1 or seconds_of(error) is not None:
            called.leave(take.metadata.read_keys[0], group, error)
            return
        middle = len(group) // 2
        _call_group(function, group[:middle], take, called, watch)
        _call_group(function, group[middle:], take, called, watch)
        return
    for item, result in zip(group, results, strict=True):
        try:
            take(result)
        except FATAL:
            raise
        except BaseException as error:  # noqa: BLE001  # the accessor of an id is the plugin's code too
            watch.check()
            called.leave(take.metadata.read_keys[0], [item], error)


def _wrong_type(key: StateKey[Any], record: Any) -> str:
    return f"{key.name!r} takes {key.item_type.__name__}, not {type(record).__name__}"


def _known_id(key: StateKey[Any], ident: str) -> str:
    return f"{key.name!r} already holds an item with the id {ident!r}"


class _Collector:
    """Gathers what item calls return into lists by key, refusing (for that item alone) what does not fit."""

    def __init__(self, metadata: StageMetadata) -> None:
        self.metadata = metadata
        self._raw: list[Any] = []
        self._lists: dict[StateKey[Any], list[Any]] = {key: [] for key in metadata.writes}
        self._seen: dict[StateKey[Any], set[str]] = {key: set() for key in metadata.writes}
        self._take = self._pick()

    def __call__(self, result: Any) -> None:
        self._take(result)

    def _pick(self) -> Any:
        if self.metadata.output_handler is not None:
            return self._raw.extend if self.metadata.flat else self._raw.append
        if not self.metadata.writes:
            return lambda _: None
        if len(self.metadata.writes) > 1:
            return self._take_several
        return self._take_many if self.metadata.flat else self._one_taker(self.metadata.writes[0])

    def _one_taker(self, key: StateKey[Any]) -> Any:
        """Return the common case, one record of one key, as a closure: it runs once per item of every batch."""
        add, seen, ident_of, type_ = self._lists[key].append, self._seen[key], key.id_of, _class_of(key)

        def take(record: Any) -> None:
            if not isinstance(record, type_):
                raise TypeError(_wrong_type(key, record))
            if ident_of is not None:
                ident = ident_of(record)
                if ident in seen:
                    raise ValueError(_known_id(key, ident))
                seen.add(ident)
            add(record)

        return take

    def _take_many(self, result: Any) -> None:
        self._add({self.metadata.writes[0]: list(result)})

    def _take_several(self, result: Any) -> None:
        given = {key.name if isinstance(key, StateKey) else key: value for key, value in result.items()}
        if given.keys() != {key.name for key in self.metadata.writes}:
            names = ", ".join(key.name for key in self.metadata.writes)
            msg = f"process() must return a mapping with the keys {names}, not {', '.join(map(str, given))}"
            raise ValueError(msg)
        flat = self.metadata.flat
        self._add({key: list(given[key.name]) if flat else [given[key.name]] for key in self.metadata.writes})

    def _add(self, columns: Mapping[StateKey[Any], list[Any]]) -> None:
        fresh: dict[StateKey[Any], set[str]] = {}
        for key, records in columns.items():
            known, new = self._seen[key], set[str]()
            for record in records:
                if not isinstance(record, _class_of(key)):
                    raise TypeError(_wrong_type(key, record))
                if key.id_of is not None:
                    ident = key.id_of(record)
                    if ident in known or ident in new:
                        raise ValueError(_known_id(key, ident))
                    new.add(ident)
            fresh[key] = new
        for key, records in columns.items():
            self._seen[key] |= fresh[key]
            self._lists[key].extend(records)

    def output(self) -> dict[StateKey[Any], Any]:
        """Return what was gathered, handled and checked."""
        if self.metadata.output_handler is not None:
            return handle(self.metadata, self._raw)
        return dict(self._lists)
