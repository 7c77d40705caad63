"""How a name of a vocabulary may be written in a text, and how exactly it has to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from medical_kg.extraction.tokens import fold, row_of
from medical_kg.extraction.words import TOO_COMMON

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medical_kg.vocabularies.contract import Term

LONGEST_ACRONYM = 7
SHORTEST_EXACT = 3
"""Shorter acronyms mean too many things; they count only where the document itself says what they stand for."""
MOST_WORDS = 16
"""Longer names are systematic ones that nobody writes out in a sentence."""
SHORTEST_DRUG = 6
CASED_KINDS = frozenset({"gene"})
"""Kinds whose one-word names are symbols, so that their case counts whatever they look like."""
CONDITIONS = frozenset({"condition", "phenotype", "disease"})
SALTS = frozenset(
    (  # noqa: SIM905  # words read best as words
        "acetate besylate bromide chloride citrate dihydrochloride dipropionate disodium fumarate gluconate hydrobromide "
        "hydrochloride lactate maleate mesylate nitrate palmitate phosphate potassium sodium succinate sulfate sulphate "
        "tartrate tosylate valerate"
    ).split()
)
ADJECTIVES = (
    ("algia", "algic"), ("betes", "betic"), ("emia", "emic"), ("epsy", "eptic"), ("esis", "etic"), ("inism", "inian"),
    ("kinesia", "kinetic"), ("lysis", "lytic"), ("mania", "manic"), ("osis", "otic"), ("oxia", "oxic"),
    ("pathy", "pathic"), ("penia", "penic"), ("phasia", "phasic"), ("phrenia", "phrenic"), ("plasia", "plastic"),
    ("plegia", "plegic"), ("rhage", "rhagic"), ("rhythmia", "rhythmic"), ("sclerosis", "sclerotic"),
    ("spasm", "spastic"), ("stasis", "static"), ("tension", "tensive"), ("toxicity", "toxic"), ("trophy", "trophic"),
    ("uria", "uric"), ("flammation", "flammatory"), ("autism", "autistic"), ("psychosis", "psychotic"),
)  # fmt: skip
"""Greek and Latin endings of conditions and of their adjectives (hypertension, hypertensive)."""


class Form(NamedTuple):
    """A way to write a name: its folded words, and the very letters where only those will do."""

    words: tuple[str, ...]
    exact: str | None = None


def forms(term: Term, kind: str) -> Iterator[Form]:
    """Yield the forms of a term, its name's first."""
    for name in dict.fromkeys((term.name, *term.synonyms)):
        if not usable(name):
            continue
        words = row_of(name)
        if not 0 < len(words) <= MOST_WORDS:
            continue
        exact = is_acronym(name) or (kind in CASED_KINDS and len(words) == 1)
        if exact and len(name) < SHORTEST_EXACT:
            continue
        yield Form(words, name if exact else None)
        for variant in variants(name, kind):
            yield Form(row_of(variant))


def usable(name: str) -> bool:
    """Whether a name says anything by itself: not one character, not an ordinary word unless it is an acronym."""
    if len(name) < 2 or not any(map(str.isalpha, name)):  # noqa: PLR2004  # one character says nothing
        return False
    common = name.lower() in TOO_COMMON or fold(name.lower()) in TOO_COMMON
    return not common or (name.isupper() and is_acronym(name))


def is_acronym(name: str) -> bool:
    """Whether a name is one in which case counts: one short word with several capitals, or with a capital and a digit."""
    if " " in name:
        return False
    capitals = sum(map(str.isupper, name))
    numbered = name[0].isupper() and any(map(str.isdigit, name)) and len(name) <= LONGEST_ACRONYM
    return len(name) <= SHORTEST_EXACT or capitals > 1 or numbered


def variants(name: str, kind: str) -> Iterator[str]:
    """Yield what else a name is written as: its adjective, its words in their natural order, a drug without its salt."""
    words = name.split()
    if kind in CONDITIONS:
        if name.isalpha() and not is_acronym(name):
            low = name.lower()
            yield from (low.removesuffix(noun) + ending for noun, ending in ADJECTIVES if low.endswith(noun))
        if name.count(", ") == 1:
            head, _, modifier = name.partition(", ")
            yield f"{modifier} {head}"
    elif len(words) == 2 and words[1].lower() in SALTS and len(words[0]) > SHORTEST_DRUG - 1:  # noqa: PLR2004  # a drug and its salt
        yield words[0]
