"""Which words of a free text are looked up."""

from __future__ import annotations

import re

MAX_WORDS = 64
"""How many different words of a query are looked up; the rest is left out."""
WORD = re.compile(r"\w+")
FUNCTION_WORDS = frozenset(
    (  # noqa: SIM905  # words read best as words
        "a an and are as at be by can do does for from has have how in is it its of on or that the this to was were "
        "what which who with"
    ).split()
)
"""Left out of a query that has others: they match nearly everything, tell nothing and take half the time."""


def telling_words(query: str) -> list[str]:
    """Return the words of a free text that are looked up, each once: nothing in it is an operator."""
    words = list(dict.fromkeys(WORD.findall(query.casefold())))
    telling = [word for word in words if word not in FUNCTION_WORDS] or words
    return telling[:MAX_WORDS]
