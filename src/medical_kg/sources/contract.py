"""The contract of the door ``medical_kg.sources``: where input records come from.

An entry point names a subclass of ``Source``. The stage ``ingest`` makes one per process and options, and pulls from
it page by page, perhaps for several submissions.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from medical_kg import InputError, Model
from medical_kg.orchestration.contract.model import problems_in
from medical_kg.orchestration.contract.moments import moment_of
from medical_kg.orchestration.contract.secrets import WRITTEN_OUT
from medical_kg.orchestration.contract.urls import KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from medical_kg import Page, StageContext

DOOR = "medical_kg.sources"


Count = Annotated[int, Field(ge=0)]


def _no_key(name: str) -> str:
    if name.lower() in KEYS:
        msg = f"{WRITTEN_OUT}, by an option such as api_key"
        raise ValueError(msg)
    return name


Query = dict[Annotated[str, AfterValidator(_no_key)], str]
"""Parameters of a query at a web service; those that hold a key are refused."""


class SourceOptions(Model):
    """Base of every source's options: frozen, unknown fields refused."""


class Source:
    """Base of every source.

    Raises:
        InputError: an option is unknown or wrong; the message names every one.
    """

    name: ClassVar[str]
    options_model: ClassVar[type[SourceOptions]] = SourceOptions

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Validate and keep the options."""
        try:
            self.options = self.options_model.model_validate(dict(options))
        except ValidationError as error:
            known = ", ".join(sorted(self.options_model.model_fields)) or "none"
            raise InputError(
                f"options of source {self.name!r} are refused: {problems_in(error)}; known options: {known}"
            ) from None

    def pull(self, ctx: StageContext, cursor: str | None, limit: int) -> Page:
        """Give the next page: a list of payloads, what had to be rejected, and where to go on.

        ``cursor`` is None at the start; a page's cursor is any text that finds the place again in a new process, None
        when the input has ended. A page may hold somewhat fewer than ``limit`` payloads, but none only at the end.
        Where the submission asks only for what was updated (``since_of``), finding nothing is no mistake.

        Raises:
            InputError: there is no such input, or nothing in it that this source reads.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what is open."""


PlaceT = TypeVar("PlaceT", bound=tuple[Any, ...])


def cursor_of(place: tuple[Any, ...]) -> str:
    """Return the cursor that names a place, a tuple of texts, whole numbers and None."""
    return json.dumps(list(place))


def place_of(kind: type[PlaceT], cursor: str | None) -> PlaceT:
    """Return the place, a named tuple of this kind, that a cursor names; None names the one of its defaults.

    Raises:
        InputError: ``cursor_of`` gives no such text.
    """
    if cursor is None:
        return kind()
    try:
        found: PlaceT | None = _adapter(kind).validate_json(cursor, strict=True)
    except ValidationError:
        found = None
    if found is None or cursor_of(found) != cursor:
        raise InputError(f"{cursor!r} is no cursor of this source")
    return found


@cache
def _adapter(kind: type[tuple[Any, ...]]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def since_of(ctx: StageContext) -> datetime | None:
    """Return since when records must have been updated to be asked for; None for all."""
    given = ctx.input.get("updated_since")
    return None if given is None else moment_of(str(given))


def limit_of(ctx: StageContext) -> int | None:
    """Return how many records the submission asks for at most; None for all.

    Raises:
        InputError: it is no whole number from 1.
    """
    given = ctx.input.get("limit")
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise InputError(f"limit must be a whole number from 1, not {given!r}")
    return given
