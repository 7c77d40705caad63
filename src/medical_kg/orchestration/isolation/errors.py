"""Errors on their way between a worker and the engine."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any, cast

from medical_kg.orchestration.contract import errors
from medical_kg.orchestration.contract.foreign import message_of, named, trace_of
from medical_kg.orchestration.contract.secrets import redacted

TIMES = ("retry_after", "put_off_for")


def told(error: BaseException) -> dict[str, Any]:
    """Return what the other side is told of an error: the name of its class, its message and where it was raised.

    Of one that may pass also when.
    """
    times = {name: getattr(error, name) for name in TIMES} if isinstance(error, errors.TransientError) else {}
    return {"kind": named(error), "message": message_of(error), "traceback": trace_of(error), **times}


def rebuilt(said: Mapping[str, Any]) -> Exception:
    """Return an error of the other side under the name of its class: one of ours where it is, else one made for it."""
    found = getattr(errors, said["kind"], None)
    ours = isinstance(found, type) and issubclass(found, errors.MedicalKGError)
    made = found if ours else type(said["kind"], (errors.StageError,), {"__module__": __name__})
    kind = cast("type[Exception]", made)
    # The message is finished; constructors of ours would make another.
    error = kind.__new__(kind)
    error.args = (said["message"],)
    if ours and issubclass(kind, errors.TransientError):
        # A worker of an earlier release does not tell them.
        vars(error).update({name: said.get(name) for name in TIMES})
    error.add_note(f"In the other process:\n{said['traceback']}")
    return error


def harmless(error: BaseException | None) -> BaseException | None:
    """Return an error as it is where neither it nor a cause of it holds a secret; else one that says the same without."""
    if error is None:
        return None
    whole = "".join(traceback.format_exception(error))
    return error if redacted(whole) == whole else rebuilt(told(error))
