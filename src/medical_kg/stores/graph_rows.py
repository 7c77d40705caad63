"""How entities and claims become rows of the graph, and how the rows of many roots become one node. All pure."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from medical_kg.documents.records import Claim, Entity

Row = dict[str, Any]

WORD = re.compile(r"\w+")
SHORTEST_PLURAL = 4
"""From this length on, a last ``s`` is taken for a plural's."""


class Variant(NamedTuple):
    """One way of stating a node, and how many roots state it so."""

    node: str
    kind: str
    name: str
    identifiers: str
    roots: int


def folded(text: str) -> str:
    """Return the form in which identifiers are compared: case folded, single spaces."""
    return " ".join(text.casefold().split())


def words(text: str) -> list[str]:
    """Return the words by which names are compared: case folded, without accents and punctuation."""
    letters = (one for one in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(one))
    return WORD.findall("".join(letters))


def singular(word: str) -> str:
    """Return a word without a plural's ``s``: a part of the word, so that it is found in either form."""
    plural = len(word) >= SHORTEST_PLURAL and word.endswith("s") and not word.endswith("ss")
    return word[:-1] if plural else word


def statement_rows(entities: Iterable[Entity]) -> list[Row]:
    """Return one row per node and root; a root's first entity gives kind and name, all give identifiers."""
    grouped: defaultdict[tuple[str, str], list[Entity]] = defaultdict(list)
    for entity in entities:
        grouped[entity.node, entity.root].append(entity)
    return [
        {
            "node": node,
            "root": root,
            "kind": same[0].kind,
            "name": same[0].name,
            "identifiers": _as_json(identifier for entity in same for identifier in entity.identifiers),
        }
        for (node, root), same in grouped.items()
    ]


def claim_rows(claims: Iterable[Claim]) -> list[Row]:
    """Return one row per subject, predicate, object and root; the first claim gives the evidence."""
    rows: dict[tuple[str, str, str, str], Row] = {}
    for claim in claims:
        key = (claim.subject, claim.predicate, claim.object, claim.root)
        if key not in rows:
            rows[key] = _claim_row(claim)
    return list(rows.values())


def _claim_row(claim: Claim) -> Row:
    sentence = claim.sentence
    return {
        "subject": claim.subject,
        "predicate": claim.predicate,
        "object": claim.object,
        "root": claim.root,
        "evidence": claim.evidence.text,
        "pointer": claim.evidence.pointer,
        "block": claim.evidence.block,
        "start": claim.evidence.start,
        "end": claim.evidence.end,
        "method": claim.method,
        "source": claim.provenance.source,
        "uri": claim.provenance.uri,
        "document": claim.document,
        "sentence": sentence.text if sentence else "",
        "sentence_start": sentence.start if sentence else None,
        "polarity": claim.polarity,
        "stage": claim.stage,
        "confidence": claim.confidence,
    }


def merged_node(variants: Iterable[Variant]) -> Row:
    """Merge what all roots say of one node, whatever the order they came in.

    Kind and name are those most roots use, the alphabetically first of several; identifiers are put together.
    """
    kinds: Counter[str] = Counter()
    names: Counter[str] = Counter()
    identifiers: set[str] = set()
    node = ""
    for variant in variants:
        node = variant.node
        kinds[variant.kind] += variant.roots
        names[variant.name] += variant.roots
        identifiers.update(json.loads(variant.identifiers))
    name = _most_used(names)
    return {
        "id": node,
        "kind": _most_used(kinds),
        "name": name,
        "identifiers": _as_json(identifiers),
        "roots": kinds.total(),
        "words": " ".join(words(name)),
    }


def identifier_rows(node: Row) -> list[Row]:
    """Return the forms by which a merged node can be asked for: each identifier, whole and without its prefix."""
    forms = sorted({folded(identifier) for identifier in json.loads(node["identifiers"])})
    return [{"node": node["id"], "folded": form, "bare": form.partition(":")[2] or form} for form in forms]


def _most_used(counts: Counter[str]) -> str:
    return min(counts, key=lambda value: (-counts[value], value))


def _as_json(identifiers: Iterable[str]) -> str:
    return json.dumps(sorted(set(identifiers)), ensure_ascii=False)
