"""Results of single items that are taken from earlier batches and submissions, on either database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from postgres_server import PostgresServer
from shelves import Library, rare
from support import UPPER, WORDS, Config, Word, make_workspace

from medical_kg.orchestration import Report, Workspace, api, forget, prune, trace
from medical_kg.orchestration.contract import Stage, StageContext, StageMetadata, StateKey
from medical_kg.orchestration.contract.errors import ItemRejected, PipelineInvalid

CALLED: list[str] = []

PIPELINE = """name: {name}
version: "1"
stages:
  - {{name: library, type: library, config: {{number: {number}}}}}
  - {{name: learn, type: {type}, cache: true, depends_on: [library], config: {config}}}
"""


class Learn(Stage[Config]):
    """Says what it is called with."""

    metadata = StageMetadata(
        stage_type="learn",
        version="1.0",
        description="Learns.",
        reads=(WORDS,),
        writes=(UPPER,),
        mode="item",
        config_model=Config,
        cacheable=True,
    )

    def process(self, ctx: StageContext, item: Word, **reads: Any) -> Word:
        CALLED.append(item.id)
        if item.id in self.config.bad:
            raise ItemRejected("too hard")
        return Word(id=item.id, root=item.root, text=item.text.upper())


class Newer(Learn):
    """The same in another version."""

    metadata = replace(Learn.metadata, version="2.0")


class Swot(Stage[Config]):
    """The same in groups of two."""

    metadata = replace(Learn.metadata, stage_type="swot", items_per_call=2)

    def process_many(self, ctx: StageContext, items: Sequence[Word], **reads: Any) -> list[Word]:
        CALLED.extend(item.id for item in items)
        return [Word(id=item.id, root=item.root, text=item.text.upper()) for item in items]


Make = Callable[..., Workspace]


@pytest.fixture(params=["sqlite", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """A workspace with the stages above."""
    opened = []
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        server.serve(tmp_path)

    def made(learn: type[Stage[Any]] = Learn) -> Workspace:
        opened.append(make_workspace(tmp_path, library=Library, learn=learn, swot=Swot))
        return opened[-1]

    yield made
    for one in opened:
        one.close()


def run(workspace: Workspace, name: str, number: int = 3, type_: str = "learn", config: str = "{}", **more: Any) -> Any:
    """Run a pipeline of its own, and return what was called and how many results were there already."""
    CALLED.clear()
    text = PIPELINE.format(name=name, number=number, type=type_, config=config)
    (workspace.root / "pipelines" / f"{name}.yaml").write_text(text, encoding="utf-8")
    report: Report = api.submit(workspace, name, **{"engine": "plain", **more})
    record = workspace.ledger.results(report.batches[0].id)["learn"]
    return list(CALLED), record.counts["cached"], record


def test_an_equal_item_is_not_processed_again(make: Make) -> None:
    """What another submission made of an item is taken, in order, and equal to what the stage would give."""
    workspace = make()
    assert run(workspace, "one")[:2] == (["w0", "w1", "w2"], 0)
    called, cached, record = run(workspace, "two", number=4)
    assert (called, cached) == (["w3"], 3)
    assert record.outputs == run(workspace, "three", number=4)[2].outputs
    assert record.outputs["upper"].items == 4


def test_a_change_of_what_decides_it_calls_again(make: Make) -> None:
    """Another config or another version of the stage has results of its own."""
    workspace = make()
    run(workspace, "one")
    assert run(workspace, "two", config="{number: 7}")[:2] == (["w0", "w1", "w2"], 0)
    assert run(make(Newer), "three")[:2] == (["w0", "w1", "w2"], 0)


def test_failures_are_not_kept(make: Make) -> None:
    """An item that became a dead letter is tried again wherever it comes again."""
    workspace = make()
    for name in ("one", "two"):
        called, _, record = run(workspace, name, config="{bad: [w1]}")
        assert "w1" in called
        assert record.dead_letters == 1


def test_groups_hold_what_is_not_known(make: Make) -> None:
    """Of a group only the unknown items go to the stage, and the order of results is that of the items."""
    workspace = make()
    run(workspace, "one", number=1, type_="swot")
    called, cached, record = run(workspace, "two", number=5, type_="swot")
    assert (called, cached) == (["w1", "w2", "w3", "w4"], 1)
    stored = workspace.checkpoints.get(record.outputs["upper"].digest, record.outputs["upper"].suffix)
    assert [stored.index(rare(f"w{n}").upper().encode()) for n in range(5)] == sorted(
        stored.index(rare(f"w{n}").upper().encode()) for n in range(5)
    )


def test_each_tenant_has_its_own(make: Make) -> None:
    """What one tenant's items gave is never another's."""
    workspace = make()
    run(workspace, "one")
    assert run(workspace, "two", tenant="other")[1] == 0


def test_a_forgotten_document_leaves_nothing(make: Make) -> None:
    """Its kept results are told of, counted and removed; those of others stay."""
    workspace = make()
    run(workspace, "one")
    assert trace(workspace, "w0").ledger.kept_results == {"learn": 1}
    assert forget(workspace, "w0", dry_run=True).removed["ledger"]["kept results"] == 1
    assert forget(workspace, "w0").removed["ledger"]["kept results"] == 1
    assert trace(workspace, "w0").ledger.kept_results == {}
    assert run(workspace, "two")[:2] == ([], 2)


def test_pruning_drops_what_was_not_used_since(make: Make) -> None:
    """Kept results go by the age of their last use; a dry run only counts them."""
    workspace = make()
    run(workspace, "one")
    assert prune(workspace, older_than=timedelta(days=1)).item_results == 0
    assert prune(workspace, older_than=timedelta(0), dry_run=True).item_results == 3
    assert prune(workspace, older_than=timedelta(0)).item_results == 3
    assert run(workspace, "two")[1] == 0


def test_a_use_counts_as_use(make: Make) -> None:
    """What was used again is as young as its last use."""
    workspace = make()
    run(workspace, "one")
    between = workspace.clock.now()
    run(workspace, "two", number=1)
    assert workspace.ledger.drop_unused(between) == 2
    assert run(workspace, "three", number=1)[1] == 1


def test_dagster_takes_and_keeps_the_same(make: Make) -> None:
    """What one engine kept, the other takes."""
    workspace = make()
    assert run(workspace, "one", engine="dagster")[1] == 0
    assert run(workspace, "two", engine="plain")[1] == 3
    assert run(workspace, "three", engine="dagster")[:2] == ([], 3)


NO_ROOT = StateKey("loose", list[Word], id="id")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cacheable": False}, "does not claim to be `cacheable`"),
        ({"mode": "batch"}, "called with a whole batch, not item by item"),
        ({"reads": (WORDS, UPPER), "writes": ()}, "reads more than its items"),
        ({"output_handler": lambda out: out}, "has an output handler"),
        ({"reads": (NO_ROOT,)}, "its items name no root"),
    ],
)
def test_a_stage_whose_results_cannot_be_kept_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    """By the check, with the reason; nothing runs."""

    class Other(Learn):
        metadata = replace(Learn.metadata, **changes)

        def run(self, ctx: StageContext, **reads: Any) -> None:
            raise AssertionError

    class Loose(Library):
        metadata = replace(Library.metadata, writes=(*Library.metadata.writes, UPPER, NO_ROOT))

    workspace = make_workspace(tmp_path, library=Loose, learn=Other)
    with pytest.raises(PipelineInvalid, match=f"MKG028.*cannot keep results of single items: .*{reason}"):
        run(workspace, "one")
