"""The contract of the door ``medical_kg.sources``: where input records come from.

An entry point names a subclass of ``Source``. The stage ``ingest`` makes one per process and options, and pulls from
it page by page, perhaps for several submissions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ValidationError

from medical_kg import InputError, Model
from medical_kg.orchestration.contract.model import problems_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from medical_kg import Page, StageContext

DOOR = "medical_kg.sources"


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

        Raises:
            InputError: there is no such input, or nothing in it that this source reads.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what is open."""
