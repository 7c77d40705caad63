"""Names that share their head: ``breast and ovarian cancer`` names breast cancer and ovarian cancer.

Of the last name all words stand there (``ovarian cancer``); before it stand modifiers alone, joined by ``and``, ``or`` or a
slash, and by commas in a longer list. Each modifier is read with the last name's head, and counts only where a vocabulary has
what comes of it. As in annotated corpora, such a list is one mention of several concepts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

    from medical_kg.extraction.lexicon import Concept

JOINS = frozenset({"and", "or", "/", "&"})
LONGEST_MODIFIER = 3
"""In words: ``type 1``, ``non-small cell``."""
MOST_NAMES = 10


class Coordination(NamedTuple):
    """What the tokens from ``begin`` to ``end`` (exclusive) name, in the order of the text."""

    begin: int
    end: int
    concepts: tuple[Concept, ...]


def coordinations(
    words: Sequence[str],
    names: Iterable[tuple[int, int, Concept]],
    taken: Container[int],
    concept_of: Callable[[Sequence[str]], Concept | None],
) -> Iterator[Coordination]:
    """Yield the lists that end with one of ``names`` (places of tokens, and what is named).

    A word after which one of ``taken`` stands ends a name by itself, so it is no modifier.
    """
    for begin, end, last in names:
        joined = _before_join(words, begin)
        for head in range(begin + 1, end) if joined is not None else ():
            found = _modified(words, joined or 0, words[head:end], taken, concept_of)
            if found:
                concepts = [*(concept for _, concept in reversed(found)), last]
                yield Coordination(found[-1][0], end, tuple(dict.fromkeys(concepts)))
                break


def _modified(
    words: Sequence[str],
    end: int,
    head: Sequence[str],
    taken: Container[int],
    concept_of: Callable[[Sequence[str]], Concept | None],
) -> list[tuple[int, Concept]]:
    """Return where each modifier begins and what it names with the head, from the last one back."""
    found: list[tuple[int, Concept]] = []
    while end not in taken and len(found) < MOST_NAMES - 1:
        longest = range(min(LONGEST_MODIFIER, end), 0, -1)
        one = next(
            ((end - size, concept) for size in longest if (concept := concept_of([*words[end - size : end], *head]))),
            None,
        )
        if one is None:
            break
        found.append(one)
        if one[0] == 0 or words[one[0] - 1] != ",":
            break
        end = one[0] - 1
    return found


def _before_join(words: Sequence[str], begin: int) -> int | None:
    """Return where what is joined to the name at ``begin`` ends; None where nothing is."""
    at = begin
    while at > 0 and words[at - 1] in JOINS:
        at -= 1
    if at in (begin, 0):
        return None
    return at - 1 if words[at - 1] == "," else at
