"""The contract of the door ``medical_kg.vocabularies``: concepts with names, that are looked for in texts.

An entry point names a subclass of ``Vocabulary``: one that is shipped with its package (``disease-ontology``), or a reader
of files that the user names (``obo``, ``obo-json``, ``tsv``). It is made from its options, a plain mapping that its own
``options_model`` validates. Making one is cheap; nothing is read before ``fingerprint`` or ``terms``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import Field, ValidationError

from medical_kg import InputError, Model
from medical_kg.orchestration.contract.model import problems_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DOOR = "medical_kg.vocabularies"


class Term(NamedTuple):
    """A concept.

    ``id`` is a CURIE such as ``DOID:1612``, ``xrefs`` the same concept's CURIEs in other vocabularies, ``parents`` the ids
    of what it is a kind of. ``categories`` are codes by which its vocabulary sorts it, such as MeSH's tree numbers.
    ``kind`` is what the vocabulary itself says that it is (``condition``, ``chemical``, ``gene`` …), if it does.
    """

    id: str
    name: str
    synonyms: tuple[str, ...] = ()
    xrefs: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    kind: str = ""


class VocabularyOptions(Model):
    """Options that every vocabulary takes.

    Attributes:
        kind: what the concepts are, where nothing else says so; one without a kind is left out.
        kinds: kinds by the beginning of a category's code, the longest beginning first (MeSH's ``C`` a condition, its
            ``C23.550.291`` an empty text: left out). A concept of several categories takes the kind that is named first.
        without: ids whose concepts are left out together with everything below them.
    """

    kind: str = Field(default="", description="what the concepts are, e.g. condition, chemical, gene")
    kinds: dict[str, str] = Field(
        default_factory=dict, description="kinds by the beginning of a category's code; empty leaves them out"
    )
    without: tuple[str, ...] = Field(default=(), description="ids left out with everything below them")


class Vocabulary:
    """Base of every vocabulary.

    Raises:
        InputError: an option is unknown or wrong; the message names every one.
    """

    name: ClassVar[str]
    options_model: ClassVar[type[VocabularyOptions]] = VocabularyOptions

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """Validate and keep the options."""
        try:
            self.options: Any = self.options_model.model_validate(dict(options or {}))
        except ValidationError as error:
            known = ", ".join(sorted(self.options_model.model_fields))
            message = f"options of vocabulary {self.name!r} are refused: {problems_in(error)}; known options: {known}"
            raise InputError(message) from None

    def fingerprint(self) -> str:
        """Return the sha256 of what the terms are read from (hex): equal fingerprints and options give equal terms.

        Raises:
            InputError: it cannot be read, or is not what its options say.
        """
        raise NotImplementedError

    def terms(self) -> Iterator[Term]:
        """Give the concepts, in the order of the source, without obsolete ones.

        Raises:
            InputError: it cannot be read; the message names the file, the place and what is wrong.
        """
        raise NotImplementedError
