"""The texts within a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator


def texts_in(value: Any) -> Iterator[str]:
    """Give the texts in a value of whatever shape: dicts with their keys, lists, tuples and models; nested ever so deeply."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting += [*one, *one.values()]
        elif isinstance(one, BaseModel):
            waiting += [member for _, member in one]
        elif isinstance(one, (list, tuple)):
            waiting += one
