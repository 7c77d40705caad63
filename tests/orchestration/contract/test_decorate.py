"""``@stage(metadata)``: a plain function is a stage type like any class."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support import LOWER, TALLY, UPPER, WORDS, Config, Word

from medical_kg import MetadataError, Page, Stage, StageMetadata, TransientError, optional, stage
from medical_kg.orchestration.registry import STAGES, Installation
from medical_kg.orchestration.resilience import Policy
from medical_kg.testing import run_stage


def metadata(**fields: Any) -> StageMetadata:
    return StageMetadata(
        **{"stage_type": "decorated", "version": "1", "description": "Is decorated.", "config_model": Config, **fields}
    )


ITEM = metadata(reads=(WORDS,), writes=(UPPER,), mode="item")
FLAT = metadata(reads=(WORDS,), writes=(UPPER,), mode="item", flat=True)


@stage(ITEM)
def shouted(ctx: Any, item: Word) -> Word:
    """Shouts."""
    return item.model_copy(update={"text": item.text.upper() * ctx.config.number})


def some(count: int) -> list[Word]:
    return [Word(id=f"w{n}", root=f"r{n}", text="x") for n in range(count)]


def test_it_is_a_stage_type_found_where_the_function_stands() -> None:
    """Name, module, documentation, place and pickle are the function's; ``__wrapped__`` is the function."""
    assert issubclass(shouted, Stage)
    assert shouted.metadata is ITEM
    assert (shouted.__name__, shouted.__qualname__, shouted.__module__) == ("shouted", "shouted", __name__)
    assert shouted.__doc__ == "Shouts."
    function = vars(shouted)["__wrapped__"]
    assert inspect.isfunction(function)
    assert inspect.getsourcefile(shouted) == __file__
    assert inspect.getsourcelines(shouted)[1] == function.__code__.co_firstlineno
    assert pickle.loads(pickle.dumps(shouted)) is shouted


def test_an_entry_point_may_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``module:function_name`` loads like a class, by the registry that loads any other."""
    info = tmp_path / "deco-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: deco\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{STAGES}]\ndeco = deco_kit:deco\n")
    (tmp_path / "deco_kit.py").write_text(
        "from medical_kg import StageMetadata, stage\n"
        "@stage(StageMetadata(stage_type='deco', version='1', description='Does.'))\n"
        "def deco(ctx):\n    return None\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "deco_kit", raising=False)  # of a former run in this process
    found = Installation(path=[str(tmp_path)]).stages.get("deco")
    assert (found.cls.__qualname__, found.origin.object) == ("deco", "deco_kit:deco")
    assert (inspect.getsourcefile(found.cls), inspect.getsourcelines(found.cls)[1]) == (
        str(tmp_path / "deco_kit.py"),
        2,
    )


def test_item_mode() -> None:
    """The function gets the context and the item; its config is the context's."""
    result = run_stage(shouted, {"number": 2}, words=some(1))
    assert [word.text for word in result.output["upper"]] == ["XX"]


def test_batch_mode_and_optional_reads() -> None:
    """Reads come by name; an optional one that nothing gives is None."""

    @stage(metadata(reads=(WORDS, optional(LOWER)), writes=(TALLY,)))
    def counted(ctx: Any, *, words: list[Word], lower: list[Word] | None) -> dict[str, int]:
        return {"words": len(words), "lower": -1 if lower is None else len(lower)}

    assert run_stage(counted, words=some(2)).output["tally"] == {"words": 2, "lower": -1}


def test_stream_mode() -> None:
    """The function gives pages."""

    @stage(metadata(writes=(WORDS,), mode="stream"))
    def fed(ctx: Any, cursor: str | None, limit: int) -> Page:
        return Page(some(limit), None if cursor else "on")

    assert run_stage(fed, limit=2).cursor == "on"
    assert run_stage(fed, cursor="on").cursor is None


def test_a_generator_gets_the_other_reads() -> None:
    """What is read besides the items reaches the body of a generator too."""

    @stage(metadata(reads=(WORDS, LOWER), writes=(UPPER,), mode="item", flat=True))
    def beside(ctx: Any, item: Word, *, lower: list[Word]) -> Iterator[Word]:
        yield from lower

    assert run_stage(beside, words=some(1), lower=some(2)).output["upper"] == some(2)


def test_several_items_in_a_call() -> None:
    """With ``items_per_call`` the function gets several, and may yield one result each."""

    @stage(metadata(reads=(WORDS,), writes=(UPPER,), mode="item", items_per_call=2))
    def grouped(ctx: Any, items: list[Word]) -> Iterator[Word]:
        yield from items

    assert run_stage(grouped, words=some(3)).output["upper"] == some(3)


def test_the_body_of_a_generator_is_guarded() -> None:
    """What a generator raises in its body is retried as the policy says, as any function's error is."""
    left = ["once"]

    @stage(FLAT)
    def yielding(ctx: Any, item: Word) -> Iterator[Word]:
        if left:
            raise TransientError(left.pop())
        yield item

    result = run_stage(yielding, words=some(2), policy=Policy(max_attempts=2))
    assert [str(error) for error in result.retries] == ["once"]
    assert result.output["upper"] == some(2)


def test_what_the_metadata_does_not_say_is_not_inferred() -> None:
    """Annotations, names and defaults of the function change nothing; without a docstring the description stands."""

    @stage(ITEM)
    def chunks(ctx: int, item: str, other: str = "") -> float:
        return item  # type: ignore[return-value]  # the annotations are wrong on purpose

    assert chunks.metadata is ITEM
    assert chunks.__doc__ == "Is decorated."
    assert run_stage(chunks, words=some(1)).output["upper"] == some(1)


async def later(ctx: Any) -> None: ...


async def later_and_later(ctx: Any) -> Any:
    yield 1


def yields(ctx: Any, *args: Any, **reads: Any) -> Iterator[Any]:
    yield 1


MANY = metadata(reads=(WORDS,), writes=(UPPER,), mode="item", items_per_call=2)
TWO = metadata(reads=(WORDS, LOWER), writes=(UPPER,), mode="item")
SEVERAL = metadata(reads=(WORDS,), writes=(UPPER, LOWER), mode="item", flat=True)


@pytest.mark.parametrize(
    ("given", "function", "said"),
    [
        (
            metadata(),
            later,
            "asynchronous: the engine calls stages in threads and awaits nothing; write a plain function$",
        ),
        (metadata(), later_and_later, "asynchronous"),
        (metadata(), yields, r"a yield\): batch mode returns whole values; return a list$"),
        (metadata(writes=(WORDS,), mode="stream"), yields, r"a yield\): stream mode returns one Page for each call$"),
        (ITEM, yields, r"a yield\): item mode returns one record; set flat=True where an item gives several$"),
        (SEVERAL, yields, r"a yield\): with several written keys an item gives a mapping .* records; return it$"),
        (metadata(), 5, "decorates a plain function$"),
        (metadata(), partial(later), "decorates a plain function$"),
        (metadata(), Word, "a plain function; a class states metadata as its attribute"),
        (metadata(), lambda: None, r"will be called as <lambda>\(ctx\), which its signature does not take"),
        (ITEM, lambda ctx, item, more: None, r"\(ctx, item\), .*missing a required argument: 'more'"),
        (metadata(reads=(WORDS,)), lambda ctx, word: None, r"\(ctx, words=...\)"),
        (metadata(writes=(WORDS,), mode="stream"), lambda ctx, cursor: None, r"\(ctx, cursor, limit\)"),
        (MANY, lambda ctx: None, r"\(ctx, items\), which"),
        (TWO, lambda ctx, item: None, r"\(ctx, item, lower=...\), which"),
    ],
)
def test_wrong_use_is_refused_at_the_decoration(given: StageMetadata, function: Any, said: str) -> None:
    """What could not be called is an error when the module is imported, not when the stage runs."""
    with pytest.raises(MetadataError, match=said) as caught:
        stage(given)(function)
    assert (caught.value.plugin, caught.value.field) == (f"stage type {given.stage_type!r}", "function")
    assert caught.value.value is function


def test_a_generator_with_a_handler_of_its_own() -> None:
    """Several keys with an output handler may be fed by a generator: the handler gets what was yielded."""
    handled = metadata(
        reads=(WORDS,),
        writes=(UPPER, LOWER),
        mode="item",
        flat=True,
        output_handler=lambda found: {UPPER: found, LOWER: []},
    )
    made = stage(handled)(lambda ctx, item: (word for word in [item]))
    assert run_stage(made, words=some(2)).output["upper"] == some(2)

    @stage(handled)
    def yielding(ctx: Any, item: Word) -> Iterator[Word]:
        yield item

    assert run_stage(yielding, words=some(2)).output["upper"] == some(2)


@pytest.mark.parametrize("given", [None, later, "metadata"])
def test_metadata_is_needed(given: Any) -> None:
    """``@stage`` without metadata says how to write it."""
    with pytest.raises(MetadataError, match=r"write @stage\(StageMetadata\(\.\.\.\)\) above the function") as caught:
        stage(given)
    assert (caught.value.plugin, caught.value.field) == ("@stage", "metadata")
    assert caught.value.value is given


AUTHOR = """
from medical_kg import Model, NoConfig, Stage, StageContext, StageMetadata, StateKey, stage
from medical_kg.testing import run_stage

class Word(Model):
    id: str

WORDS: StateKey[list[Word]] = StateKey("words", list[Word], id="id")

@stage(StageMetadata(stage_type="typed", version="1", description="Is typed.", reads=(WORDS,), writes=(WORDS,), mode="item"))
def typed(ctx: StageContext, item: Word) -> Word:
    return item

kind: type[Stage[NoConfig]] = typed
run_stage(typed, words=[Word(id="a")])
"""


@pytest.mark.slow
def test_authors_may_check_types_strictly(tmp_path: Path) -> None:
    """A decorated function passes ``mypy --strict`` in the author's own package."""
    (tmp_path / "typed.py").write_text(AUTHOR)
    # In a process of its own: run in this one, mypy lifts the limit of recursion for all that comes after it.
    command = ["--strict", "--config-file", "", str(tmp_path / "typed.py")]
    done = subprocess.run([sys.executable, "-m", "mypy", *command], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("Success: no issues found in 1 source file", 0)
