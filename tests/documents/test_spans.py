from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medical_kg.documents.sentences import sentences
from medical_kg.documents.spans import Span, pack


def words(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]


def pieces(text: str) -> list[tuple[int, int]]:
    """Like a word-piece model: up to three characters a token, and the first token of a word is one character."""
    return [match.span() for match in re.finditer(r"(?<!\w)\w|(?<=\w)\w{1,3}|[^\w\s\u200b]", text)]


def spans(text: str, budget: int, overlap: int = 0, tokenizer: object = words) -> list[Span]:
    starts = [start for start, _ in sentences(text)]
    return list(pack(text, tokenizer, starts, budget, overlap))  # type: ignore[arg-type]  # any of the two above


def texts(text: str, found: Sequence[Span]) -> list[str]:
    return [text[span.start : span.end] for span in found]


def test_spans_end_at_sentences() -> None:
    """The last sentence end that fits is the border."""
    text = "One two. Three four. Five six."
    assert texts(text, spans(text, 7)) == ["One two. Three four.", "Five six."]


def test_a_long_sentence_is_cut_at_white_space_then_at_a_mark_then_anywhere() -> None:
    """Where no sentence end fits, the cut falls between words, then beside a mark, then between tokens."""
    assert texts("a b c d e", spans("a b c d e", 2)) == ["a b", "c d", "e"]
    assert texts("a-b-c-d", spans("a-b-c-d", 3)) == ["a-b", "-c-", "d"]
    assert texts("abcdefghij", spans("abcdefghij", 2, tokenizer=pieces)) == ["abcd", "efg", "hij"]


def test_half_a_word_is_counted_anew() -> None:
    """The second part of a cut word has other tokens than the word had; it still keeps the budget."""
    text = "x" * 50
    assert all(len(pieces(part)) <= 3 for part in texts(text, spans(text, 3, tokenizer=pieces)))


def test_overlap_repeats_whole_words_or_sentences() -> None:
    """A span begins at a sentence, or a word, at most ``overlap`` tokens before the end of the one before."""
    assert texts("a b c d e f", spans("a b c d e f", 4, 2)) == ["a b c d", "c d e f"]
    text = "One. Two. Three. Four."
    assert texts(text, spans(text, 4, 2)) == ["One. Two.", "Two. Three.", "Three. Four."]
    assert texts("a-b-c-d", spans("a-b-c-d", 4, 2)) == ["a-b-", "c-d"]


def test_text_without_tokens_is_kept() -> None:
    """Characters that the tokenizer drops are still in a span; white space alone gives none."""
    assert spans(" \u200b ", 4, tokenizer=pieces) == [Span(1, 2, 0)]
    assert spans(" \n ", 4) == []


def test_tokens_of_one_character_stay_together() -> None:
    """Tokens that share a character are never parted, even above the budget."""

    def triple(text: str) -> list[tuple[int, int]]:
        return [(at, at + 1) for at in range(len(text)) for _ in range(3)]

    assert spans("ab", 2, tokenizer=triple) == [Span(0, 1, 3), Span(1, 2, 3)]
    assert spans("abcd", 6, 3, tokenizer=triple) == [Span(0, 2, 6), Span(2, 4, 6)]


def test_an_overlap_that_leaves_no_room_is_given_up() -> None:
    """Where the next character does not fit beside the overlap, the span begins without it, and moves on."""
    weights = {"a": 1, "b": 1, "c": 3}

    def weighed(text: str) -> list[tuple[int, int]]:
        return [(at, at + 1) for at, char in enumerate(text) for _ in range(weights.get(char, 0))]

    assert spans("a b c", 3, 1, tokenizer=weighed) == [Span(0, 3, 2), Span(4, 5, 3)]


def test_a_word_without_end_is_cut_too() -> None:
    """A token of more than 100 characters is one for every 16, so a span has a bounded length; a shorter one is one."""
    text = "short " + "x" * 170 + " " + "y" * 100
    assert [len(part) for part in texts(text, spans(text, 4))] == [5, 64, 64, 42 + 1 + 100]
    assert [span.tokens for span in spans(text, 4)] == [1, 1, 1, 2]


def test_tokens_without_width_count_but_make_no_border() -> None:
    """An empty token belongs to the one before; one at the very start has nothing to belong to."""
    assert list(pack("ab", lambda _: [(0, 0), (0, 1), (1, 1), (1, 2)], [0], 9)) == [Span(0, 2, 3)]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(
    st.text(alphabet=st.sampled_from("abcA1 .!?-\n\u200b\xe9"), max_size=200),
    st.integers(4, 12),
    st.integers(0, 6),
    st.sampled_from([words, pieces]),
)
def test_spans_keep_the_budget_and_lose_nothing(text: str, budget: int, overlap: int, tokenizer: object) -> None:
    """No span is above the budget, every one moves on, and without overlap they join up to the whole text."""
    found = spans(text, budget, min(overlap, budget // 2), tokenizer)
    parts = texts(text, found)
    assert all(len(tokenizer(part)) <= budget for part in parts)  # type: ignore[operator]  # one of the two above
    assert all(left.end < right.end and left.start < right.start for left, right in pairwise(found))
    covered = {at for span in found for at in range(span.start, span.end)}
    assert all(at in covered or char.isspace() for at, char in enumerate(text))
    if overlap == 0:
        assert "".join("".join(part.split()) for part in parts) == "".join(text.split())
