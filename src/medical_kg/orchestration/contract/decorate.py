"""``@stage(metadata)``: a stage type from a plain function, with metadata as explicit as a class has it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import MetadataError
from medical_kg.orchestration.contract.metadata import StageMetadata
from medical_kg.orchestration.contract.stage import Stage, method_of

if TYPE_CHECKING:
    from collections.abc import Callable


NEEDED = "must be a StageMetadata record; write @stage(StageMetadata(...)) above the function"


def stage(metadata: StageMetadata) -> Callable[[Callable[..., Any]], type[Stage[Any]]]:
    """Make a stage type of the function below it.

    The function takes what the mode's method takes, without ``self``: ``(ctx, **reads)`` in batch mode,
    ``(ctx, item, **other_reads)`` in item mode (``(ctx, items, **other_reads)`` with ``items_per_call``),
    ``(ctx, cursor, limit)`` in stream mode. Its config is ``ctx.config``. Nothing is inferred from it: its annotations,
    name and docstring change nothing. Where a call gives several records or results (``flat``, ``items_per_call``) it
    may be a generator. What needs ``open`` and ``close``, or ``configure``, is written as a class.

    The result is a class: ``module:function_name`` is its entry point, and ``__wrapped__`` is the function.

    Raises:
        MetadataError: what is given is no ``StageMetadata``; what is decorated is no plain function, is asynchronous,
            a generator where one result is expected, or cannot take the arguments it will be called with.
    """
    if not isinstance(metadata, StageMetadata):
        raise MetadataError("@stage", "metadata", metadata, NEEDED)

    def decorate(function: Callable[..., Any]) -> type[Stage[Any]]:
        _check(metadata, function)
        method = method_of(metadata)
        called = _listing(function) if inspect.isgeneratorfunction(function) else function
        attributes = {
            "metadata": metadata,
            method: staticmethod(called),
            "__wrapped__": function,
            "__module__": function.__module__,
            "__firstlineno__": function.__code__.co_firstlineno,  # where Python 3.13 looks for a class's source
            "__qualname__": function.__qualname__,
            "__doc__": function.__doc__ or metadata.description,
        }
        return type(function.__name__, (Stage,), attributes)

    return decorate


def _listing(function: Callable[..., Any]) -> Callable[..., Any]:
    # Within the call, so that errors of the body are guarded and retried like any other's.
    return lambda *args, **reads: list(function(*args, **reads))


def _check(metadata: StageMetadata, function: Any) -> None:
    plugin = f"stage type {metadata.stage_type!r}"
    if not inspect.isfunction(function):
        advice = "; a class states metadata as its attribute instead" if inspect.isclass(function) else ""
        raise MetadataError(plugin, "function", function, f"@stage decorates a plain function{advice}")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        reason = "the engine calls stages in threads and awaits nothing; write a plain function"
        raise MetadataError(plugin, "function", function, f"it is asynchronous: {reason}")
    if inspect.isgeneratorfunction(function) and (why_not := _no_generator(metadata)):
        raise MetadataError(plugin, "function", function, f"it is a generator (it has a yield): {why_not}")
    _check_arguments(plugin, metadata, function)


def _no_generator(metadata: StageMetadata) -> str | None:
    """Return why a generator makes no sense for this metadata, or None where it does."""
    if metadata.mode == "batch":
        return "batch mode returns whole values; return a list"
    if metadata.mode == "stream":
        return "stream mode returns one Page for each call"
    if metadata.items_per_call is not None:
        return None
    if not metadata.flat:
        return "item mode returns one record; set flat=True where an item gives several"
    if len(metadata.writes) > 1 and metadata.output_handler is None:
        return "with several written keys an item gives a mapping from key to records; return it"
    return None


def _check_arguments(plugin: str, metadata: StageMetadata, function: Callable[..., Any]) -> None:
    keys = [key.name for key in metadata.read_keys]
    first = {"batch": [], "item": ["items" if metadata.items_per_call else "item"], "stream": ["cursor", "limit"]}
    named = keys[1:] if metadata.mode == "item" else keys
    try:
        inspect.signature(function).bind("ctx", *first[metadata.mode], **dict.fromkeys(named))
    except TypeError as error:
        shown = ", ".join(["ctx", *first[metadata.mode], *(f"{name}=..." for name in named)])
        reason = f"it will be called as {function.__name__}({shown}), which its signature does not take: {error}"
        raise MetadataError(plugin, "function", function, reason) from None
