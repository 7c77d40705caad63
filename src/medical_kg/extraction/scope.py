"""Whether a sentence says of something that it is, that it is not, or that it may be.

After Chapman et al., "A simple algorithm for identifying negated findings and diseases in discharge summaries" (NegEx),
J Biomed Inform 34 (2001), and its extension to hypotheses (ConText, 2009): trigger phrases before or after what they
govern, phrases that only look like triggers, and words that end a scope. The phrases here are a selection of our own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Polarity = Literal["affirmed", "negated", "hypothetical"]
Role = Literal[
    "negates what follows", "negates what precedes", "supposes what follows", "supposes what precedes", "ends", "none"
]

TRIGGERS: dict[Role, tuple[str, ...]] = {
    "none": (
        "no doubt", "no change", "no difference", "no differences", "no effect", "no effects", "no increase", "no decrease",
        "no significant difference", "no significant differences", "no significant change", "no significant effect",
        "no significant increase", "no significant decrease", "no improvement", "no longer than", "no more than",
        "no less than", "not only", "not necessarily", "not always", "not all", "not merely", "not just", "not solely",
        "not until", "whether or not", "without delay", "with or without", "gram negative", "gram-negative",
        "may 1", "in no time",
    ),
    "negates what follows": (
        "no", "not", "without", "never", "neither", "nor", "cannot", "denies", "denied", "denying", "absence of",
        "absent", "lack of", "lacked", "lacking", "lacks", "free of", "free from", "negative for", "no evidence of",
        "no sign of", "no signs of", "no history of", "failed to develop", "failed to reveal", "failed to show",
        "failed to demonstrate", "excluding", "excluded", "exclusion of", "rules out", "ruled out", "instead of",
        "rather than", "in the absence of",
    ),
    "negates what precedes": (
        "was absent", "were absent", "is absent", "are absent", "was negative", "were negative", "was excluded",
        "were excluded", "is excluded", "was ruled out", "were ruled out", "has been ruled out", "have been ruled out",
        "was not found", "were not found", "was not seen", "were not seen", "was not observed", "were not observed",
        "was not detected", "were not detected", "was not present", "were not present", "did not occur",
        "was not noted", "were not noted", "not detected", "not observed", "unlikely", "is unlikely",
    ),
    "supposes what follows": (
        "possible", "possibly", "probable", "probably", "suspected", "suspicion of", "suspicious for", "presumed",
        "presumptive", "suggestive of", "suggesting", "may", "might", "could", "whether", "if", "rule out", "to rule out",
        "to exclude", "risk of", "risk for", "risk factor for", "risk factors for", "at risk of", "at risk for",
        "likelihood of", "potential", "potentially", "susceptibility to", "predisposition to", "in case of", "concern for", "concerning for", "evaluate for", "screening for", "to prevent",
        "prevention of", "prophylaxis of", "prophylaxis against",
    ),
    "supposes what precedes": (
        "is suspected", "was suspected", "were suspected", "is possible", "was possible", "is likely", "cannot be excluded",
        "could not be excluded", "cannot be ruled out", "could not be ruled out", "not ruled out", "to be ruled out",
        "should be ruled out", "must be ruled out", "should be considered", "has been suggested", "remains uncertain",
    ),
    "ends": (
        "but", "however", "although", "though", "except", "except for", "apart from", "aside from", "yet", "which", "who",
        "whereas", "while", "because", "since", "due to", "secondary to", "as a cause of", "caused by", "despite", "still",
        "nevertheless", "otherwise", "than", "then", ";", ":",
    ),
}  # fmt: skip
REACH = 12
"""How many words a trigger governs at most; a list of findings is about as long."""
FARTHEST = 400
"""How many characters before a trigger are looked at, so that a sentence without end costs no more than another."""
EFFECT: dict[Role, Polarity] = {
    "negates what follows": "negated",
    "negates what precedes": "negated",
    "supposes what follows": "hypothetical",
    "supposes what precedes": "hypothetical",
}
ROLES: dict[str, Role] = {phrase: role for role, phrases in TRIGGERS.items() for phrase in phrases}
WORD = re.compile(r"\S+")


def _pattern() -> re.Pattern[str]:
    phrases = sorted(ROLES, key=len, reverse=True)
    words = "|".join(re.escape(one).replace(r"\ ", r"\s+") for one in phrases if one[0].isalpha())
    marks = "|".join(re.escape(one) for one in phrases if not one[0].isalpha())
    return re.compile(rf"(?<![\w-])(?:{words})(?![\w-])|{marks}", re.IGNORECASE)


PATTERN = _pattern()


class Scope(NamedTuple):
    """A stretch of text and what is said of the things in it."""

    start: int
    end: int
    polarity: Polarity


def polarities(text: str, sentence: tuple[int, int], spans: Iterable[tuple[int, int]]) -> list[Polarity]:
    """Return what a sentence says of each span in it (in order, not overlapping); a denial counts before a supposition.

    A trigger inside a span is part of a name and governs nothing. Linear in the sentence, whatever its length.
    """
    spans = list(spans)
    coming = sorted(scopes(text, sentence, spans))
    open_ones: list[Scope] = []
    said: list[Polarity] = []
    at = 0
    for start, end in spans:
        while at < len(coming) and coming[at].start <= start:
            open_ones.append(coming[at])
            at += 1
        open_ones = [one for one in open_ones if one.end > start]
        governing = {one.polarity for one in open_ones if end <= one.end}
        said.append("negated" if "negated" in governing else "hypothetical" if governing else "affirmed")
    return said


def scopes(text: str, sentence: tuple[int, int], names: Iterable[tuple[int, int]] = ()) -> list[Scope]:
    """Return the stretches of a sentence that triggers govern; ``names`` are in order."""
    found = list(_triggers(text, sentence, list(names)))
    made: list[Scope] = []
    stop = sentence[1]
    for start, end, role in reversed(found):
        if role.endswith("follows"):
            made.append(Scope(end, _reach_after(text, end, stop), EFFECT[role]))
        elif role != "none":
            stop = start
    stop = sentence[0]
    for start, end, role in found:
        if role.endswith("precedes"):
            made.append(Scope(_reach_before(text, stop, start), start, EFFECT[role]))
        elif role == "ends":
            stop = end
    return made


def _triggers(text: str, sentence: tuple[int, int], names: list[tuple[int, int]]) -> Iterator[tuple[int, int, Role]]:
    """Yield the triggers that are not part of a name, in order."""
    at = 0
    for match in PATTERN.finditer(text, *sentence):
        while at < len(names) and names[at][1] <= match.start():
            at += 1
        if at == len(names) or names[at][0] >= match.end():
            yield match.start(), match.end(), ROLES[" ".join(match.group().lower().split())]


def _reach_after(text: str, start: int, end: int) -> int:
    return next((word.end() for count, word in enumerate(WORD.finditer(text, start, end), 1) if count == REACH), end)


def _reach_before(text: str, start: int, end: int) -> int:
    begin = max(start, end - FARTHEST)
    words = [word.start() for word in WORD.finditer(text, begin, end)]
    return words[-REACH] if len(words) > REACH else begin
