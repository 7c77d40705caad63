"""Ontologies as JSON: OBO Graphs (https://github.com/geneontology/obographs), and plain lists of terms."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, ClassVar

from medical_kg import InputError
from medical_kg.vocabularies.contract import Term
from medical_kg.vocabularies.files import FileVocabulary
from medical_kg.vocabularies.obo import OboOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PURL = re.compile(r"https?://purl\.obolibrary\.org/obo/(?:\w+#)?([A-Za-z]+)_(\w+)")
IS_A = ("is_a", "http://www.w3.org/2000/01/rdf-schema#subClassOf")
PREDICATES = {
    "hasExactSynonym": "EXACT",
    "hasNarrowSynonym": "NARROW",
    "hasBroadSynonym": "BROAD",
    "hasRelatedSynonym": "RELATED",
}


class OboJsonVocabulary(FileVocabulary):
    """An ontology as OBO Graphs JSON, or as a list of objects with ``id``, ``name``, ``synonyms`` and ``xrefs``.

    In a list an id without prefix takes its object's ``namespace`` as prefix; ``synonyms`` are texts, ``xrefs`` objects
    with ``namespace`` and ``id``, ``relations`` may name parents under ``is_a``.
    """

    name: ClassVar[str] = "obo-json"
    options_model: ClassVar[type[OboOptions]] = OboOptions
    options: OboOptions

    def terms(self) -> Iterator[Term]:
        """Give the file's terms; see ``Vocabulary.terms``."""
        try:
            data = json.loads(self.text())
        except (json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"vocabulary {self.path} is not JSON: {error}") from None
        try:
            if isinstance(data, list):
                yield from (_listed(one) for one in data if _named(one))
            else:
                for graph in data["graphs"]:
                    yield from self._graph(graph)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            told = f"{type(error).__name__}: {error}"
            raise InputError(
                f"vocabulary {self.path} is neither OBO Graphs JSON nor a list of terms ({told})"
            ) from None

    def _graph(self, graph: Mapping[str, Any]) -> Iterator[Term]:
        parents: dict[str, list[str]] = {}
        for edge in graph.get("edges", ()):
            if edge["pred"] in IS_A:
                parents.setdefault(edge["sub"], []).append(curie(edge["obj"]))
        for node in graph["nodes"]:
            meta = node.get("meta", {})
            if node.get("type", "CLASS") != "CLASS" or not node.get("lbl") or meta.get("deprecated"):
                continue
            synonyms = (one["val"] for one in meta.get("synonyms", ()) if self._counts(one.get("pred", "")))
            yield Term(
                id=curie(node["id"]),
                name=node["lbl"],
                synonyms=tuple(synonyms),
                xrefs=tuple(one["val"] for one in meta.get("xrefs", ())),
                parents=tuple(parents.get(node["id"], ())),
            )

    def _counts(self, predicate: str) -> bool:
        return PREDICATES.get(predicate, "RELATED") in self.options.scopes


def curie(address: str) -> str:
    """Return ``MONDO:0005148`` for its address ``http://purl.obolibrary.org/obo/MONDO_0005148``; else what was given."""
    match = PURL.fullmatch(address)
    return f"{match[1]}:{match[2]}" if match else address


def _named(one: Any) -> bool:
    return bool(one.get("name")) and not one.get("obsolete") and not one["name"].startswith("obsolete ")


def _listed(one: Mapping[str, Any]) -> Term:
    namespace = str(one.get("namespace", "")).upper()
    return Term(
        id=_prefixed(one["id"], namespace),
        name=one["name"],
        synonyms=tuple(map(str, one.get("synonyms", ()))),
        xrefs=tuple(
            f"{ref['namespace']}:{ref['id'].removeprefix(ref['namespace'] + ':')}" for ref in one.get("xrefs", ())
        ),
        parents=tuple(_prefixed(parent, namespace) for parent in one.get("relations", {}).get("is_a", ())),
    )


def _prefixed(ident: str, namespace: str) -> str:
    return ident if ":" in ident or not namespace else f"{namespace}:{ident}"
