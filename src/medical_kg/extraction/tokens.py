"""Words as the matcher compares them: folded so that spelling, plural and hyphen do not keep equal terms apart.

A text is a row of tokens (words and single marks) with their places. Folding is the same for vocabularies and texts, so
it need not be right as English, only alike on both sides.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

TOKEN = re.compile(r"[^\W_]+|[^\w\s]|_")
HYPHENS = "-\u2010\u2011\u2012\u2013\u2212\u00ad"
APOSTROPHES = "'\u2019\u02bc`\u00b4"
PASSED_OVER = frozenset(HYPHENS + APOSTROPHES)
"""Marks between the words of a term that may be there or not: ``Crohn's``, ``beta-blocker``."""
GREEK = {
    "\u03b1": "alpha", "\u03b2": "beta", "\u03b3": "gamma", "\u03b4": "delta", "\u03b5": "epsilon", "\u03ba": "kappa",
    "\u03bb": "lambda", "\u03bc": "mu", "\u00b5": "mu", "\u03c9": "omega", "\u03b8": "theta", "\u03c3": "sigma",
}  # fmt: skip
SHORTEST_PLURAL = 4


class Token(NamedTuple):
    """A word or mark, folded (empty when it is passed over), and its place in the text."""

    folded: str
    start: int
    end: int


def fold(word: str) -> str:
    """Return a word as the matcher compares it: no case, one spelling of ae/oe/our, singular."""
    if word.isascii():
        plain = word.lower()
    else:
        plain = unicodedata.normalize("NFKD", word.casefold())
        plain = "".join(GREEK.get(one, one) for one in plain if not unicodedata.combining(one))
    if not plain.isalpha():
        return plain
    plain = plain.replace("ae", "e").replace("oe", "e")
    if plain.endswith(("our", "ours")) and len(plain) > SHORTEST_PLURAL + 1:
        plain = plain.replace("our", "or")
    return singular(plain) if word[1:] != word[1:].upper() or len(word) > SHORTEST_PLURAL + 1 else plain


def singular(word: str) -> str:
    """Return a lower-case word without its plural ending."""
    if len(word) < SHORTEST_PLURAL or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > SHORTEST_PLURAL + 1:
        return word[:-3] + "y"
    if word.endswith(("oses", "yses", "tases")):
        return word[:-2] + "is"
    if word.endswith(("xes", "ches", "shes", "sses")):
        return word[:-2]
    return word[:-1]


class Folder:
    """Folds words, each distinct one once; bounded, since texts hold any number of distinct words."""

    def __init__(self, most: int = 200_000) -> None:
        """Begin with nothing folded."""
        self._known: dict[str, str] = {}
        self._most = most

    def __call__(self, word: str) -> str:
        """Return ``fold(word)``."""
        found = self._known.get(word)
        if found is None:
            if len(self._known) >= self._most:
                self._known.clear()
            found = self._known[word] = fold(word)
        return found


def tokens(text: str, folder: Folder, start: int = 0, end: int | None = None) -> list[Token]:
    """Return the tokens of ``text[start:end]`` that count: hyphens, apostrophes and a possessive's s are passed over."""
    found: list[Token] = []
    previous = ""
    for match in TOKEN.finditer(text, start, len(text) if end is None else end):
        word = match.group()
        possessive = word in {"s", "S"} and previous in APOSTROPHES and previous != ""
        if word not in PASSED_OVER and not possessive:
            found.append(Token(folder(word), match.start(), match.end()))
        previous = word
    return found


_FOLDER = Folder()


def row_of(name: str) -> tuple[str, ...]:
    """Return the folded words of a name."""
    return tuple(token.folded for token in tokens(name, _FOLDER))
