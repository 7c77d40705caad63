"""Pages without what was seen before: digests by input record, and records that come on several pages."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from support import UPPER, WORDS, Word

from medical_kg import StageMetadata, StateKey
from medical_kg.orchestration.execution.calling import Called
from medical_kg.orchestration.execution.sweeping import digests_of, rooted, sweep

NOTE: StateKey[dict[str, Any]] = StateKey("note", dict[str, Any])
NUMBERS: StateKey[list[Any]] = StateKey("numbers", list[Any], id="id", root=lambda item: item["root"])


def stage(*writes: StateKey[Any]) -> StageMetadata:
    return StageMetadata(stage_type="feed", version="1", description="Feeds.", writes=writes, mode="stream")


def digests(output: Mapping[StateKey[Any], Any]) -> dict[str, str]:
    metadata = stage(*output)
    roots = {key: [item["root"] if key is NUMBERS else item.root for item in output[key]] for key in rooted(metadata)}
    return digests_of(metadata, roots, output)


def word(root: str, text: str, ident: str = "") -> Word:
    return Word(id=ident or root, root=root, text=text)


def test_a_digest_is_over_all_that_is_given_of_a_record() -> None:
    """Its items under every key, in their order, and what has no root; not what is given of others."""
    base = {WORDS: [word("a", "one"), word("b", "two")], UPPER: [word("a", "ONE")], NOTE: {"of": "all"}}
    known = digests(base)
    assert digests({**base, WORDS: base[WORDS][::-1]}) == known  # type: ignore[index]
    others = [
        {**base, UPPER: [word("a", "1")]},
        {**base, UPPER: []},
        {**base, WORDS: [word("a", "one"), word("a", "more", "a2"), word("b", "two")]},
    ]
    for other in others:
        found = digests(other)
        assert (found["a"] != known["a"], found["b"] == known["b"]) == (True, True)
    assert all(digest != known[root] for root, digest in digests({**base, NOTE: {"of": "none"}}).items())


def test_what_cannot_be_encoded_equals_nothing() -> None:
    """Of one item it alone is held to differ; of a value without roots nothing is compared."""
    good, bad = {"id": "a", "root": "a"}, {"id": "b", "root": "b", "text": object()}
    found = digests({NUMBERS: [good, bad]})
    assert (len(found["a"]), found["b"]) == (64, "")
    assert digests({WORDS: [word("a", "one")], NOTE: {"of": object()}}) == {}


def test_of_a_record_on_several_pages_the_last_counts() -> None:
    """Also where it comes again as it was seen, after a page that had it otherwise."""
    pages = {
        None: Called({WORDS: [word("a", "new"), word("b", "old")]}, cursor="1"),
        "1": Called({WORDS: [word("a", "old"), word("c", "old")]}, complete=True),
    }
    met: list[str] = []

    def meet(found: Mapping[str, str], rejected: Sequence[str], *, process_all: bool) -> Collection[str]:
        met.extend(found)
        return {"b"} if len(met) == 2 else {"a", "c"}

    called, swept = sweep(stage(WORDS), lambda cursor, limit: pages[cursor], None, 10, meet)
    assert [(one.root, one.text) for one in called.output[WORDS]] == [("a", "old")]
    assert (met, swept.unchanged, list(swept.digests), swept.complete, swept.pages) == ([*"abac"], 2, ["a"], True, 2)


def test_a_record_without_a_usable_root_is_never_skipped() -> None:
    """One whose root cannot be told, or cannot be named in the ledger as it is."""
    odd = [{"id": "x"}, {"id": "y", "root": 7}, {"id": "z", "root": "a\x00"}]
    seen: list[str] = []

    def meet(found: Mapping[str, str], rejected: Sequence[str], *, process_all: bool) -> Collection[str]:
        seen.extend(found)
        return list(found)

    page = Called({NUMBERS: [*odd, {"id": "a", "root": "a"}]})
    called, _ = sweep(stage(NUMBERS), lambda cursor, limit: page, None, 10, meet)
    assert (called.output[NUMBERS], seen) == (odd, ["a"])
