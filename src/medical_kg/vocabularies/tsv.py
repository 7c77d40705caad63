"""Tables: one concept a row, tab-separated, with or without a header."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from medical_kg import InputError, Model
from medical_kg.vocabularies.contract import Term
from medical_kg.vocabularies.files import FileOptions, FileVocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Column = int | str


class Columns(Model):
    """Which column holds what: by number from 0, or by name where there is a header.

    ``xrefs`` are CURIEs; ``xref_columns`` hold bare ids, each with its prefix (``{Entrez: ncbigene}``).
    """

    id: Column = 0
    name: Column = 1
    synonyms: tuple[Column, ...] = (2,)
    xrefs: Column | None = None
    xref_columns: dict[str, Column] = Field(default_factory=dict)
    parents: Column | None = None
    categories: Column | None = None
    kind: Column | None = None


class TsvOptions(FileOptions):
    """Options of ``tsv``.

    Attributes:
        columns: which column holds what; by default id, name and synonyms in this order.
        header: whether the first row names the columns.
        separator: what stands between the values of one cell.
        prefix: put before ids that have none, e.g. ``MESH``.
        keep: rows are taken only where this column has this value, e.g. ``{Status: Approved}``.
    """

    columns: Columns = Field(default=Columns(), description="which column holds what")
    header: bool = Field(default=False, description="whether the first row names the columns")
    separator: str = Field(default="|", min_length=1, description="what stands between the values of one cell")
    prefix: str = Field(default="", description="put before ids that have none")
    keep: dict[str, str] = Field(default_factory=dict, description="take only rows whose columns have these values")


class TsvVocabulary(FileVocabulary):
    """A table of concepts."""

    name: ClassVar[str] = "tsv"
    options_model: ClassVar[type[TsvOptions]] = TsvOptions
    options: TsvOptions

    def terms(self) -> Iterator[Term]:
        """Give the table's rows; see ``Vocabulary.terms``."""
        with self.lines() as lines:
            header = next(lines, "").rstrip("\r\n").split("\t") if self.options.header else []
            row = _Row(self.options, header, str(self.path))
            for number, line in enumerate(lines, start=2 if header else 1):
                if line.strip() and not line.startswith("#") and (term := row.term(line, number)):
                    yield term


class _Row:
    """Reads rows, with the columns found once."""

    def __init__(self, options: TsvOptions, header: Sequence[str], file: str) -> None:
        self._options, self._file = options, file
        columns = options.columns
        find = self._finder(header)
        self._id, self._name = find(columns.id), find(columns.name)
        self._synonyms = [find(one) for one in columns.synonyms]
        self._several = {
            field: find(getattr(columns, field))
            for field in ("xrefs", "parents", "categories")
            if getattr(columns, field) is not None
        }
        self._bare = {prefix: find(one) for prefix, one in columns.xref_columns.items()}
        self._kind = None if columns.kind is None else find(columns.kind)
        self._keep = [(find(int(one) if one.isdigit() else one), value) for one, value in options.keep.items()]

    def _finder(self, header: Sequence[str]) -> _Find:
        return _Find(header, self._file)

    def term(self, line: str, number: int) -> Term | None:
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) <= max(self._id, self._name):
            raise InputError(f"vocabulary {self._file}, line {number}: no column {max(self._id, self._name)}")
        if any(_cell(cells, at) != value for at, value in self._keep):
            return None
        ident, name = cells[self._id].strip(), cells[self._name].strip()
        if not ident or not name:
            return None
        several = {field: tuple(self._values(cells, at)) for field, at in self._several.items()}
        bare = tuple(f"{prefix}:{one}" for prefix, at in self._bare.items() for one in self._values(cells, at))
        return Term(
            id=self._prefixed(ident),
            name=name,
            synonyms=tuple(one for at in self._synonyms for one in self._values(cells, at)),
            xrefs=several.get("xrefs", ()) + bare,
            parents=tuple(map(self._prefixed, several.get("parents", ()))),
            categories=several.get("categories", ()),
            kind="" if self._kind is None else _cell(cells, self._kind),
        )

    def _values(self, cells: Sequence[str], at: int) -> Iterator[str]:
        return filter(None, map(str.strip, _cell(cells, at).split(self._options.separator)))

    def _prefixed(self, ident: str) -> str:
        return ident if ":" in ident or not self._options.prefix else f"{self._options.prefix}:{ident}"


class _Find:
    def __init__(self, header: Sequence[str], file: str) -> None:
        self._header, self._file = list(header), file

    def __call__(self, column: Column) -> int:
        if isinstance(column, int):
            return column
        if column in self._header:
            return self._header.index(column)
        there = ", ".join(self._header) or "no header (header: true reads the first row as one)"
        raise InputError(f"vocabulary {self._file} has no column {column!r}; it has {there}")


def _cell(cells: Sequence[str], at: int) -> str:
    return cells[at].strip() if at < len(cells) else ""
