"""The error tree: one root, the tree of the docstring, exit codes, and messages that say what to do."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
from typing import Any

import pytest

import medical_kg
from medical_kg.orchestration.contract import errors
from medical_kg.orchestration.contract.errors import MedicalKGError, near

CLASSES = {name: cls for name, cls in vars(errors).items() if inspect.isclass(cls) and issubclass(cls, BaseException)}


def examples() -> list[tuple[MedicalKGError, int, str]]:
    """Every error with its exit code and message, made anew."""
    return [
        (errors.MedicalKGError("x"), 1, "x"),
        (errors.UsageError("x"), 2, "x"),
        (errors.InputError("x"), 2, "x"),
        (errors.SettingsError("x"), 2, "x"),
        (errors.PipelineNotFound("a", []), 2, "no pipeline is named 'a'; none are known"),
        (
            errors.PipelineNotFound("atuo", ["pubmed", "auto"], ["here", "there"]),
            2,
            "no pipeline is named 'atuo' (looked in here, there); did you mean 'auto'?",
        ),
        (errors.PipelineInvalid("a.yaml", ["one"]), 2, "a.yaml: 1 problem\none"),
        (errors.PipelineInvalid("a.yaml", ["one", "two"]), 2, "a.yaml: 2 problems\none\ntwo"),
        (errors.PluginError("x"), 1, "x"),
        (errors.MetadataError("p", "f", 3, "must be 4"), 1, "p: f=3 is refused: must be 4"),
        (errors.ContractError("p", "it lied", key="k"), 1, "p broke its contract: it lied"),
        (errors.PluginNotFound("d", "n", "is blocked", "unblock it"), 2, "'n' (d): is blocked; unblock it"),
        (
            errors.PluginConflict("d", "n", ["a 1", "b 2"]),
            2,
            (
                "'n' (d) is claimed by a 1 and b 2; choose one with "
                '[plugins.prefer] "n" = "a" in medical_kg.toml, or write a:n in the pipeline'
            ),
        ),
        (errors.PluginBroken("d", "n", "a 1", "bad", "Traceback"), 1, "'n' (d) from a 1 is quarantined: bad"),
        (
            errors.LockMismatch("kg.lock", ["a 1 is gone", "b 2 is new"], "lock anew"),
            2,
            "plugins differ from kg.lock: a 1 is gone; b 2 is new; lock anew",
        ),
        (errors.EnvironmentBroken("old", "it is gone"), 2, "environment 'old' cannot be used: it is gone"),
        (errors.StageError("x"), 1, "x"),
        (errors.WorkerDied("x"), 1, "x"),
        (errors.TransientError("x", retry_after=3), 1, "x"),
        (errors.StageTimeout("x"), 1, "x"),
        (
            errors.CircuitOpen("host example.org (policy polite)", 5, 29.6),
            1,
            (
                "the circuit breaker of host example.org (policy polite) is open after 5 failures in a row; "
                "it is tried again in 30 s"
            ),
        ),
        (errors.ItemRejected("x"), 1, "x"),
        (
            errors.TooManyFailed("b", 3, 2, "5%", 40),
            1,
            (
                "3 items of batch b failed; max_failed_items allows 5% of 40, that is 2, at most; "
                "mend the cause or raise the limit, then retry the batch"
            ),
        ),
        (errors.StageFailed("s", "b", "r"), 1, "stage 's' of batch b failed: r"),
        (errors.WaitTimedOut("x"), 1, "x"),
        (errors.LedgerError("x"), 1, "x"),
        (errors.RecordNotFound("batch", "b"), 2, "no batch 'b' in the ledger"),
        (errors.RecordNotFound("batch", "b-1", ["b-2"]), 2, "no batch 'b-1' in the ledger; did you mean 'b-2'?"),
        (errors.IllegalTransition("b", "x", "y", ["z", "w"]), 2, "b cannot go from x to y; legal moves: w, z"),
        (errors.IllegalTransition("b", "x", "y", []), 2, "b cannot go from x to y; legal moves: none (it is final)"),
        (errors.StaleGeneration("b", 1, 2), 1, "batch b is at generation 2; this run holds 1 and may not commit"),
        (errors.BatchHeld("x"), 1, "x"),
        (
            errors.SchemaTooNew("u", "9", "1"),
            2,
            "u has schema 9, newer than 1, the newest this release knows; upgrade medical-kg",
        ),
        (errors.StorageError("x"), 1, "x"),
    ]


EXAMPLES = range(len(examples()))


def tree_of_docstring() -> dict[str, str | None]:
    """Each class of the drawing with its parent."""
    parents: dict[str, str | None] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        name = line.lstrip(" │├└─").split(" ")[0]
        if not line.startswith("    ") or not name:
            continue
        depth = (len(line) - len(line.lstrip(" │├└─")) - 4) // 4
        parents[name] = above[depth - 1] if depth else None
        above[depth:] = [name]
    return parents


def test_the_drawing_is_the_tree() -> None:
    """The tree drawn in the docstring names every class, once, under its parent."""
    drawn = tree_of_docstring()
    assert drawn == {
        name: None if cls is MedicalKGError else cls.__bases__[0].__name__ for name, cls in CLASSES.items()
    }
    assert [name for name, parent in drawn.items() if parent is None] == ["MedicalKGError"]


def test_every_error_of_the_package_has_one_root() -> None:
    """Every exception class that any module defines derives from MedicalKGError, so one except clause takes them all."""
    loose = []
    for module in pkgutil.walk_packages(medical_kg.__path__, "medical_kg."):
        if module.name.rpartition(".")[2] in ("__main__", "env", "location"):
            continue  # programs of their own: alembic's and Dagster's entry into the package
        found = vars(importlib.import_module(module.name)).values()
        loose += [
            f"{cls.__module__}.{cls.__qualname__}"
            for cls in found
            if inspect.isclass(cls)
            and issubclass(cls, BaseException)
            and cls.__module__.startswith("medical_kg")
            and not issubclass(cls, MedicalKGError)
        ]
    assert sorted(set(loose)) == []


@pytest.mark.parametrize("number", EXAMPLES)
def test_messages_and_exit_codes(number: int) -> None:
    """An error says what, where and what to do; its exit code tells a request to change (2) from the rest (1)."""
    error, code, message = examples()[number]
    assert (str(error), error.exit_code) == (message, code)


def test_every_class_has_an_example() -> None:
    """The table above leaves no class out."""
    assert {type(error).__name__ for error, _, _ in examples()} == set(CLASSES)


@pytest.mark.parametrize("number", EXAMPLES)
def test_errors_cross_processes(number: int) -> None:
    """An error raised in a worker process arrives as it was, with its facts."""
    error, _, message = examples()[number]
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), message, vars(error))


def test_errors_keep_their_facts() -> None:
    """What a message was made of can be read from attributes."""
    assert errors.TransientError("x", retry_after=3).retry_after == 3
    assert errors.TransientError("x").retry_after is None
    assert errors.ContractError("p", "w", key="k").key == "k"
    assert errors.PluginBroken("d", "n", "a 1", "bad", "Traceback").detail == "Traceback"
    assert errors.PluginBroken("d", "n", "a 1", "bad").detail == ""
    failed = errors.StageFailed("s", "b", "r")
    assert (failed.stage, failed.batch_id, failed.reason) == ("s", "b", "r")
    missing = errors.RecordNotFound("batch", "b")
    assert (missing.kind, missing.ident) == ("batch", "b")
    illegal = errors.IllegalTransition("b", "x", "y", ["z", "w"])
    assert (illegal.what, illegal.old, illegal.new, illegal.allowed) == ("b", "x", "y", ["w", "z"])
    stale = errors.StaleGeneration("b", 1, 2)
    assert (stale.batch_id, stale.ours, stale.current) == ("b", 1, 2)
    newer = errors.SchemaTooNew("u", "9", "1")
    assert (newer.url, newer.found, newer.known) == ("u", "9", "1")


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("chunks", ["chunk", "embed"], "did you mean 'chunk'?"),
        ("ab1", ["ab3", "ab2", "zz"], "did you mean 'ab3' or 'ab2'?"),
        ("ab1", ["ab2", "ab3", "ab4", "ab5"], "did you mean 'ab5' or 'ab4' or 'ab3'?"),
        ("zzz", ["b", "a", "a"], "known: a, b"),
        ("x", [], "none are known"),
    ],
)
def test_near(name: str, known: list[str], said: str) -> None:
    """The nearest names are offered; where none is near, what exists is listed."""
    assert near(name, iter(known)) == said


def test_an_error_is_raised_with_its_parent_s_name() -> None:
    """A handler for a group takes each of its members."""
    examples: list[tuple[Any, type[MedicalKGError]]] = [
        (errors.StageTimeout("x"), errors.TransientError),
        (errors.BatchHeld("x"), errors.LedgerError),
        (errors.InputError("x"), errors.UsageError),
    ]
    for error, parent in examples:
        with pytest.raises(parent):
            raise error
