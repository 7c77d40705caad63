"""Errors on their way to the engine."""

from __future__ import annotations

import traceback
from typing import Any


def told(error: BaseException) -> dict[str, Any]:
    """Return what the engine is told of an error: the name of its class, its message and where it was raised."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001  # an error that cannot say what it is must not harm who asks
        message = "its message cannot be shown"
    trace = "".join(traceback.format_exception(error))
    return {"kind": type(error).__name__, "message": message, "traceback": trace}
