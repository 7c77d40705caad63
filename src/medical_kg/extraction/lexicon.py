"""The concepts that are looked for, made from vocabularies, and the machine that finds their names."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from medical_kg.extraction.automaton import Automaton, AutomatonBuilder
from medical_kg.extraction.forms import forms
from medical_kg.extraction.naming import normal_identifier

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from medical_kg.vocabularies.contract import Term, Vocabulary, VocabularyOptions

TAB = "\t"
NODE_PREFIX = "mesh"
"""Where a crosswalk to it is one to one, a concept takes this id, so that it meets what documents' own data say."""


class Concept(NamedTuple):
    """What a name stands for; the first identifier (prefix in lower case) is the node it merges into."""

    kind: str
    name: str
    identifiers: tuple[str, ...]


class Lexicon:
    """Concepts, their names, and the machine that finds them; never changed once made.

    A form (a way to write a name) is a number: ``form_concept`` says whose it is, ``form_rank`` whether it is the name
    (0) or a synonym (1), ``exact`` the letters it needs, where only those will do. ``ambiguous`` are such letters that
    stand for things of several kinds.
    """

    def __init__(
        self,
        automaton: Automaton,
        concepts: list[str],
        form_concept: array[int],
        form_rank: array[int],
        exact: dict[int, str],
    ) -> None:
        """Take the parts; concepts are lines of kind, name and identifiers."""
        self.automaton = automaton
        self.lines = concepts
        self.form_concept = form_concept
        self.form_rank = form_rank
        self.exact = exact
        kinds: defaultdict[str, set[str]] = defaultdict(set)
        for form, letters in exact.items():
            kinds[letters].add(concepts[form_concept[form]].partition(TAB)[0])
        self.ambiguous = frozenset(letters for letters, those in kinds.items() if len(those) > 1)

    def concept(self, form: int) -> Concept:
        """Return whose form it is."""
        kind, name, *identifiers = self.lines[self.form_concept[form]].split(TAB)
        return Concept(kind, name, tuple(identifiers))

    def order(self, form: int) -> tuple[int, int]:
        """Return by which of several concepts with one name are chosen: names before synonyms, then as they were added."""
        return self.form_rank[form], self.form_concept[form]


class LexiconBuilder:
    """Takes the concepts."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lines: list[str] = []
        self._automaton = AutomatonBuilder()
        self._concept, self._rank = array("i"), array("b")
        self._exact: dict[int, str] = {}

    def add(self, term: Term, kind: str, identifiers: Iterable[str]) -> None:
        """Add a concept with all its forms."""
        number = len(self._lines)
        self._lines.append(TAB.join(" ".join(part.split()) for part in (kind, term.name, *identifiers)))
        for rank, form in enumerate(forms(term, kind)):
            if form.exact is not None:
                self._exact[len(self._concept)] = form.exact
            self._automaton.add(form.words, len(self._concept))
            self._concept.append(number)
            self._rank.append(min(rank, 1))

    def build(self) -> Lexicon:
        """Return what was added."""
        return Lexicon(self._automaton.build(), self._lines, self._concept, self._rank, self._exact)


def build(vocabularies: Iterable[Vocabulary]) -> Lexicon:
    """Return the lexicon of some vocabularies; the first ones count before the later ones."""
    lexicon = LexiconBuilder()
    for vocabulary in vocabularies:
        terms = [(term, kind) for term, kind in _kept(vocabulary) if kind]
        shared = Counter(
            one for term, _ in terms for one in map(normal_identifier, term.xrefs) if one.startswith(f"{NODE_PREFIX}:")
        )
        for term, kind in terms:
            lexicon.add(term, kind, _identifiers(term, shared))
    return lexicon.build()


def _identifiers(term: Term, shared: Counter[str]) -> tuple[str, ...]:
    own, others = normal_identifier(term.id), [normal_identifier(one) for one in term.xrefs]
    nodes = [one for one in others if one.startswith(f"{NODE_PREFIX}:")]
    first = nodes if len(nodes) == 1 and shared[nodes[0]] == 1 else []
    return tuple(dict.fromkeys([*first, own, *others]))


def _kept(vocabulary: Vocabulary) -> Iterator[tuple[Term, str]]:
    options: VocabularyOptions = vocabulary.options
    if not options.without:
        yield from ((term, kind_of(term, options)) for term in vocabulary.terms())
        return
    terms = list(vocabulary.terms())
    below = _below(terms, options.without)
    yield from ((term, kind_of(term, options)) for term in terms if term.id not in below)


def kind_of(term: Term, options: VocabularyOptions) -> str:
    """Return what a concept is: its own kind, that of its categories, else the vocabulary's; empty to leave it out."""
    if term.kind or not options.kinds:
        return term.kind or options.kind
    found = {kind for code in term.categories if (kind := _kind_of_code(code, options.kinds)) is not None}
    named = list(dict.fromkeys(options.kinds.values()))
    return min(found, key=named.index) if found else options.kind


def _kind_of_code(code: str, kinds: dict[str, str]) -> str | None:
    fitting = [beginning for beginning in kinds if code.startswith(beginning)]
    return kinds[max(fitting, key=len)] if fitting else None


def _below(terms: Sequence[Term], roots: Iterable[str]) -> set[str]:
    children: defaultdict[str, list[str]] = defaultdict(list)
    for term in terms:
        for parent in term.parents:
            children[parent].append(term.id)
    found, waiting = set(roots), list(roots)
    while waiting:
        for child in children[waiting.pop()]:
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found
