"""Errors on their way to the engine."""

from __future__ import annotations

from medical_kg.orchestration.contract.foreign import message_of, named, trace_of


def told(error: BaseException) -> dict[str, str]:
    """Return what the engine is told of an error: the name of its class, its message and where it was raised."""
    return {"kind": named(error), "message": message_of(error), "traceback": trace_of(error)}
