"""The contract of the door ``medical_kg.schemas``: tables that a package keeps in each tenant's database.

A package brings its tables up to date when it opens them. Behind this door it also says how they stand, so that
``medical-kg workspace upgrade`` can do so at a moment of the operator's choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sqlalchemy import Engine


class KeptTables(Protocol):
    """What an entry point of the door names; the entry point's name is that of the tables, e.g. ``index``."""

    @property
    def version(self) -> int | str:
        """The number of the schema that this release knows, e.g. ``2`` or ``"0002"``."""

    def found(self, engine: Engine) -> int | str | None:
        """Return the schema that a database has, None where it has none of the tables; nothing is changed."""

    def bring_up_to_date(self, engine: Engine) -> None:
        """Change what is there to ``version``, in one transaction; two processes may do so at once."""
