"""Items that are left out of a stage's output: they failed, or are put off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from medical_kg.orchestration.contract.errors import ItemRejected, MedicalKGError
from medical_kg.orchestration.contract.foreign import identified, message_of, named, trace_of

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StateKey

UNNAMED = "?"
"""The id of an item that cannot be named."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that could not be processed: its id and root, the error's class and message, and where it was raised."""

    item_id: str
    root: str | None
    error: str
    message: str
    traceback: str = ""

    @classmethod
    def of(cls, key: StateKey[Any], item: Any, error: BaseException) -> Failure:
        """Describe an error met with an item of a key."""
        if isinstance(error, Recorded):
            return error.failure
        # A rejection is the stage's considered word; a traceback would add nothing to it.
        trace = "" if isinstance(error, ItemRejected) else trace_of(error)
        ident = _ident(key.id_of, item) or UNNAMED
        return cls(ident, _ident(key.root_of, item), named(error), message_of(error), trace)

    def plain(self) -> dict[str, str | None]:
        """Return the fields by name."""
        return {name: getattr(self, name) for name in self.__slots__}


class Recorded(MedicalKGError):
    """An error that was described where it happened: in an earlier worker process, or before it was noted there."""

    def __init__(self, failure: Failure) -> None:
        """Keep the description."""
        self.failure = failure
        super().__init__(failure.message)


def _ident(accessor: Any, item: Any) -> str | None:
    try:
        return None if accessor is None else identified(accessor(item))
    except BaseException:  # noqa: BLE001  # a record too odd to be named must still be reported
        return None


class PutOff(NamedTuple):
    """An item that is to be processed after so many seconds; ``failure`` is what it becomes if it is not."""

    failure: Failure
    seconds: float


def seconds_of(error: BaseException) -> float | None:
    """Return for how many seconds what raised the error is put off; None where it is not."""
    return getattr(error, "put_off_for", None)
