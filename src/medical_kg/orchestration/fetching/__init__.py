"""Service ``http``: reading what operators let be read, from files, hosts of theirs and the public internet.

``service.py`` is the way of a request: checked (``access.py``, ``addresses.py``), given a slot (``slots.py``) and its turn,
sent over a connection to an address that was looked at (``connecting.py``, ``transport.py``), and read up to its limits
(``deadlines.py``, ``decoding.py``, ``responses.py``). What may go wrong is in ``failures.py``. Settings are read without
loading any of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.fetching.limits import MIB, Limits

if TYPE_CHECKING:
    from medical_kg.orchestration.fetching.responses import FetchedFile
    from medical_kg.orchestration.fetching.service import HttpService, user_agent

__all__ = ["MIB", "FetchedFile", "HttpService", "Limits", "user_agent"]

_HOMES = {"FetchedFile": "responses", "HttpService": "service", "user_agent": "service"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
