"""OBO flat files (``hp.obo``, ``mondo.obo``): the format of https://owlcollab.github.io/oboformat/doc/GO.format.obo-1_4.html."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from medical_kg import InputError
from medical_kg.vocabularies.contract import Term
from medical_kg.vocabularies.files import FileOptions, FileVocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SCOPES = ("EXACT", "NARROW", "BROAD", "RELATED")
SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)"\s+([A-Z]+)?\s*([\w:-]+)?')
ESCAPED = re.compile(r"\\(.)")
COMMENT = re.compile(r"\s+[!{].*$")
OBSOLETE = "obsolete_synonym"


class OboOptions(FileOptions):
    """Options of ``obo`` and ``obo-json``.

    Attributes:
        scopes: which synonyms count. A narrow one names something narrower, a related one something near.
    """

    scopes: tuple[str, ...] = Field(default=("EXACT",), description=f"which synonyms count: {', '.join(SCOPES)}")


class OboVocabulary(FileVocabulary):
    """An ontology as an OBO flat file; obsolete terms and synonyms are left out."""

    name: ClassVar[str] = "obo"
    options_model: ClassVar[type[OboOptions]] = OboOptions
    options: OboOptions

    def terms(self) -> Iterator[Term]:
        """Give the file's terms; see ``Vocabulary.terms``."""
        found = False
        with self.lines() as lines:
            for stanza in stanzas(lines):
                found = True
                if term := self._term(stanza):
                    yield term
        if not found:
            raise InputError(f"vocabulary {self.path} has no [Term] stanza; is it an OBO flat file?")

    def _term(self, tags: list[tuple[str, str]]) -> Term | None:
        values: dict[str, list[str]] = {}
        for tag, value in tags:
            values.setdefault(tag, []).append(value)
        ident, name = _plain(values.get("id", [""])[0]), _plain(values.get("name", [""])[0])
        if not ident or not name or values.get("is_obsolete", [""])[0].startswith("true"):
            return None
        return Term(
            id=ident,
            name=name,
            synonyms=tuple(self._synonyms(values.get("synonym", ()))),
            xrefs=tuple(_plain(one).split()[0] for one in values.get("xref", ()) if _plain(one)),
            parents=tuple(_plain(one) for one in values.get("is_a", ())),
            categories=tuple(_plain(one) for one in values.get("namespace", ())),
        )

    def _synonyms(self, values: Iterable[str]) -> Iterator[str]:
        for value in values:
            match = SYNONYM.match(value)
            if match and (match[2] or "RELATED") in self.options.scopes and match[3] != OBSOLETE:
                yield ESCAPED.sub(r"\1", match[1])


def stanzas(lines: Iterable[str]) -> Iterator[list[tuple[str, str]]]:
    """Give the tags and values of each ``[Term]``, in order."""
    current: list[tuple[str, str]] | None = None
    for line in lines:
        stripped = line.strip()
        if stripped.startswith("["):
            if current:
                yield current
            current = [] if stripped == "[Term]" else None
        elif current is not None and ": " in stripped:
            tag, _, value = stripped.partition(": ")
            current.append((tag, value))
    if current:
        yield current


def _plain(value: str) -> str:
    """Return a value without its comment and trailing modifiers."""
    return COMMENT.sub("", value).strip()
