"""The Flesch reading ease of an English text.

Source: R. Flesch, "A new readability yardstick", Journal of Applied Psychology 32 (1948), 221-233.
"""

from __future__ import annotations

import re
from typing import NamedTuple

WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*")
SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)")
VOWELS = re.compile(r"[aeiouy]+")


class TextCounts(NamedTuple):
    """What the formula needs to know of a text."""

    words: int
    sentences: int
    syllables: int

    @property
    def reading_ease(self) -> float:
        """The score: about 100 is very easy, 30 and below is for specialists; it has no limits."""
        return 206.835 - 1.015 * self.words / self.sentences - 84.6 * self.syllables / self.words


def count(text: str) -> TextCounts:
    """Count words, sentences (at least one) and syllables."""
    words = WORD.findall(text)
    sentences = max(1, len(SENTENCE_END.findall(text)))
    return TextCounts(len(words), sentences, sum(map(syllables, words)))


def syllables(word: str) -> int:
    """Estimate the syllables of an English word: its groups of vowels, without a silent final e, at least one."""
    lower = word.lower()
    groups = len(VOWELS.findall(lower))
    silent = lower.endswith("e") and not lower.endswith(("le", "ee"))
    return max(1, groups - silent)
