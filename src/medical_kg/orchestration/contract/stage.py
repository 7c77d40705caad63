"""The contract of a stage. This docstring is its one source; the guide includes it.

A stage type is a class with a ``metadata`` record and, by its mode, one method:

``batch``
    ``run(ctx, **reads)`` sees the whole value of each key it reads and returns its output, or ``Waiting``.
``item``
    ``process(ctx, item, **other_reads)`` is called once per record of the first key read and returns one record
    (with ``flat=True`` any number; with several written keys a mapping from key to record or records). With
    ``items_per_call=N``, ``process_many(ctx, items, **other_reads)`` is called instead, with up to N records, and
    returns one result per item, in order. An item that raises becomes a dead letter and the rest goes on.
``stream``
    ``pull(ctx, cursor, limit)`` returns a ``Page`` of at most about ``limit`` records. ``cursor`` is None at the
    start; the page's cursor says where to go on, None that the input has ended. Input records that have not changed
    since they were processed are taken out of the page: see ``The same input again``.

Rules of the house:

* The constructor is cheap and takes the config only. Expensive things (a model, a connection) belong in
  ``open(ctx)``, which runs once per process and (type, config), and are let go in ``close()``.
* Nobody changes what it was given. Inputs are shared with other stages.
* A stage may be called again with the same input (after a crash), so what it writes to the outside must be
  replaced by the second call, not added to.
* Raise ``TransientError`` for what may pass (the engine retries it), ``ItemRejected`` for an item that cannot be
  processed; any other exception is treated as permanent.
* A stage that keeps things outside of the engine (a store, a remote service) says so by ``keeps=True`` and can be asked
  what it ``kept`` of an input record and told to ``forget`` it.
* A stream stage names each input record by the ``root`` of its keys, always the same for the same record, and gives
  all items of a root in one page.
* Logging goes to ``ctx.logger``, time comes from ``ctx.clock``, long loops call ``ctx.check_timeout()``.

The same input again. A finished submission's input may be submitted again: records that have not changed are skipped.
The engine takes a digest of each root that a stream stage gives: over the encoded items of that root, and over the
written values that have no roots. Equal digests under an unchanged pipeline (stage types, versions, configs, wiring)
mean that the record was processed, and that its results stand. So an item must hold nothing that differs between two
readings of the same record, such as the time of the reading, or nothing is ever skipped. To have records removed that
are gone from the source, the last page says ``complete=True``, and the stages that keep results read
``optional(REMOVED)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from medical_kg.orchestration.contract.conditions import NamedCondition
    from medical_kg.orchestration.contract.context import StageContext
    from medical_kg.orchestration.contract.metadata import StageMetadata
    from medical_kg.orchestration.contract.outcomes import Page

ConfigT = TypeVar("ConfigT", bound=BaseModel)


class Stage(Generic[ConfigT]):
    """Base of every stage type; see the module's docstring for the contract."""

    metadata: ClassVar[StageMetadata]

    def __init__(self, config: ConfigT) -> None:
        """Keep the validated config."""
        self.config = config

    @classmethod
    def configure(cls, config: Any, *, stage: str, conditions: Mapping[str, NamedCondition]) -> Any:
        """Complete a validated config from the stage's own name and the pipeline's named conditions.

        Pure; called while the pipeline is checked. Raise ``ValueError`` with a message for people when the config
        cannot be completed.
        """
        del stage, conditions
        return config

    def open(self, ctx: StageContext) -> None:
        """Get expensive things ready; an error here fails the stage, not an item."""

    def close(self) -> None:
        """Let go of what ``open`` took."""

    # Of a stage that keeps things (``keeps=True``). It is open, and ``ctx`` is that of a batch that it has worked on.

    def kept(self, ctx: StageContext, root: str) -> Mapping[str, int]:
        """Return by name how many things are kept of an input record, e.g. ``{"chunks": 7}``; nothing is changed."""
        raise NotImplementedError

    def forget(self, ctx: StageContext, root: str) -> Mapping[str, int]:
        """Remove whatever is kept of an input record, whichever submission brought it, and return how much it was.

        Afterwards no byte of it may be left where it was kept. Called again, it finds nothing and returns zeros.
        """
        raise NotImplementedError

    def roots_named(self, ctx: StageContext, name: str) -> Iterable[str]:
        """Return the input records that go by a name, such as another identifier of the document; none by default."""
        del ctx, name
        return ()

    # Reads come by name. Beside ``**reads``, ``*args`` tells type checkers that a subclass may name its reads.

    def run(self, ctx: StageContext, *args: Any, **reads: Any) -> Any:
        """Batch mode: work on whole values."""
        raise NotImplementedError

    def process(self, ctx: StageContext, item: Any, *args: Any, **reads: Any) -> Any:
        """Item mode: work on one record."""
        raise NotImplementedError

    def process_many(self, ctx: StageContext, items: Sequence[Any], *args: Any, **reads: Any) -> Iterable[Any]:
        """Item mode with ``items_per_call``: work on several records; one result per item, in order."""
        raise NotImplementedError

    def pull(self, ctx: StageContext, cursor: str | None, limit: int) -> Page:
        """Stream mode: give the next page of input."""
        raise NotImplementedError


METHODS: Mapping[str, str] = {"batch": "run", "item": "process", "stream": "pull"}
"""The method each mode calls."""


def method_of(metadata: StageMetadata) -> str:
    """Return the name of the method the engine calls for this metadata."""
    if metadata.items_per_call is not None:
        return "process_many"
    return METHODS[metadata.mode]
