"""Results made whole inside the call: the body of a generator runs when it is read, which must not be after the guard.

Its errors are then retried, its time is limited, and its failure is that of the item it was called with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import ContractError

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StageMetadata


def wholly(metadata: StageMetadata, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method of an item stage with every iterator in its results used up; itself where it gives none."""
    if metadata.items_per_call is not None:
        return lambda *args, **reads: [_one(metadata, one) for one in function(*args, **reads)]
    if metadata.flat:
        return lambda *args, **reads: _one(metadata, function(*args, **reads))
    return function


def _one(metadata: StageMetadata, result: Any) -> Any:
    if not metadata.flat:
        return result
    if len(metadata.writes) > 1 and isinstance(result, Mapping):
        return {key: _listed(value) for key, value in result.items()}
    return _listed(result)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)) else value


def one_each(metadata: StageMetadata, group: Sequence[Any], results: list[Any]) -> list[Any]:
    """Return the results of a group as they are.

    Raises:
        ContractError: they are not one for each item.
    """
    if len(results) != len(group):
        what = f"process_many() returned {len(results)} results for {len(group)} items"
        raise ContractError(f"stage type {metadata.stage_type!r}", what)
    return results
