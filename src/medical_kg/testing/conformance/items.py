"""Rules of item mode: roots and ids, order, groups, and a bad item among good ones."""

from __future__ import annotations

from typing import Any

import pytest

from medical_kg.orchestration.contract import StateKey
from medical_kg.testing.conformance.trial import Trial, bytes_of, letters, outcome
from medical_kg.testing.harness import StageRun


class ItemRules:
    """Each item is worked on by itself."""

    def test_items_keep_their_root(self, trial: Trial) -> None:
        """What comes of an item names the same root as the item."""
        trial.needs_mode("item", "roots are looked at item by item")
        read = trial.items_key
        written = [key for key in trial.metadata.writes if key.root_of is not None]
        if not written:
            pytest.skip(f"{trial.case} writes no key with a root")
        for item in trial.items:
            wanted = _root(read, item)
            run = trial.run(trial.reads(**{read.name: [item]}))
            found = {(key.name, _root(key, record)) for key in written for record in run.output[key]}
            wrong = {(name, root) for name, root in found if root != wanted}
            assert wrong == set(), trial.says(
                "kept roots",
                f"an item of root {wanted!r} gave {', '.join(f'{name} of root {root!r}' for name, root in wrong)}",
                "copy the root of the item into every record that comes of it",
            )

    def test_ids_are_texts_and_stable(self, trial: Trial) -> None:
        """Every written record has a text as id, the same in every run, and no two of a key share one."""
        trial.needs_mode("item", "ids are made item by item")
        first, second = _ids(trial, trial.run()), _ids(trial, trial.run())
        odd = [ident for ids in first.values() for ident in ids if not isinstance(ident, str) or not ident]
        assert odd == [], trial.says("stable ids", f"the ids {odd[:3]}", "give every record a text as id")
        assert first == second, trial.says(
            "stable ids", f"{first} in one run, {second} in the next", "make ids from the item, not from chance or time"
        )

    def test_items_do_not_depend_on_each_other(self, trial: Trial) -> None:
        """An item alone gives what it gives among the others, and the order of the items does not matter."""
        items = _several(trial)
        together = _by_root(trial, trial.run())
        alone: dict[Any, Any] = {}
        for item in items:
            _merge(alone, _by_root(trial, trial.run(trial.reads(**{trial.items_key.name: [item]}))))
        advice = "keep nothing of one item for the next; what needs all items is a batch stage"
        assert alone == together, trial.says("independent items", _differing(alone, together, "alone"), advice)
        backwards = trial.run(trial.reads(**{trial.items_key.name: items[::-1]}))
        other = _by_root(trial, backwards)
        assert other == together, trial.says(
            "independent items", _differing(other, together, "in the opposite order"), advice
        )

    def test_the_size_of_a_call_does_not_matter(self, trial: Trial) -> None:
        """Items that come one, two or many in a call give the same."""
        per_call = trial.metadata.items_per_call
        if per_call is None:
            pytest.skip(f"{trial.case} takes items one by one")
        _several(trial)
        wanted = outcome(trial, trial.run())
        for size in sorted({1, 2, per_call, per_call + 1}):
            run = trial.run(stage_type=trial.with_metadata(items_per_call=size))
            assert outcome(trial, run) == wanted, trial.says(
                "the size of a call",
                f"with {size} item(s) in a call the result is another ({letters(run) or 'no dead letters'})",
                "give one result per item, in order, whatever else is in the call (repeatable=False in the case, if "
                "only the last digits of numbers differ)",
            )

    def test_a_bad_item_stands_alone(self, trial: Trial) -> None:
        """A bad item among good ones is one dead letter, and the good ones give what they give without it."""
        trial.needs_mode("item", "only item mode isolates items")
        bad = trial.case.bad_item
        if bad is None:
            pytest.skip("the case gives no bad_item")
        good, key = trial.items, trial.items_key
        wanted = outcome(trial, trial.run())
        middle = len(good) // 2
        run = trial.run(trial.reads(**{key.name: [*good[:middle], bad, *good[middle:]]}))
        assert key.id_of is not None  # item mode needs one
        ids = [letter.item_id for letter in run.dead_letters]
        assert ids == [str(key.id_of(bad))], trial.says(
            "the bad item alone",
            f"dead letters {ids}, expected one, of {key.id_of(bad)!r} ({letters(run) or 'it was taken'})",
            "raise ItemRejected for an item that cannot be processed, and only for that one",
        )
        assert outcome(trial, run) == wanted, trial.says(
            "the bad item alone",
            "beside a bad item the good ones gave something else",
            "leave nothing behind when an item fails",
        )


def _several(trial: Trial) -> list[Any]:
    trial.needs_mode("item", "its items are one whole")
    if len(trial.items) < 2:  # noqa: PLR2004  # one item cannot depend on another
        pytest.skip("the case has fewer than two items")
    return trial.items


def _root(key: StateKey[Any], record: Any) -> Any:
    # An input record descends from itself.
    accessor = key.root_of or key.id_of
    return None if accessor is None else accessor(record)


def _ids(trial: Trial, run: StageRun) -> dict[str, list[Any]]:
    return {key.name: [key.id_of(one) for one in run.output[key]] for key in trial.metadata.writes if key.id_of}


def _by_root(trial: Trial, run: StageRun) -> dict[Any, Any]:
    """Return what was written for each key and root; sorted, as several items may have one root."""
    found: dict[Any, Any] = {}
    for key in trial.metadata.writes:
        for record in run.output[key]:
            found.setdefault((key.name, _root(key, record)), []).append(_shown(trial, key, record))
    return {name: sorted(records) for name, records in found.items()}


def _merge(into: dict[Any, Any], more: dict[Any, Any]) -> None:
    for name, records in more.items():
        into[name] = sorted([*into.get(name, []), *records])


def _shown(trial: Trial, key: StateKey[Any], record: Any) -> Any:
    if trial.case.repeatable or key.id_of is None:
        return bytes_of(key, [record])
    return str(key.id_of(record)).encode()


def _differing(one: dict[Any, Any], other: dict[Any, Any], how: str) -> str:
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    key, root = names[0]
    return f"{key} of root {root!r} is {one.get(names[0])} {how}, {other.get(names[0])} among the others"
