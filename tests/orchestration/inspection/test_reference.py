"""Pages of reference: everything a plugin says of itself, and nothing made up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field
from support import LOWER, TALLY, UPPER, WORDS, Config, Feed, Tally

from medical_kg.orchestration import plugin_page
from medical_kg.orchestration.contract import ConditionRef, PluginName, PluginOptions, Stage, StageMetadata, optional
from medical_kg.orchestration.contract.errors import PluginNotFound
from medical_kg.orchestration.inspection.facts import UNKNOWN, config_fields, counts_of, first_paragraph, place
from medical_kg.orchestration.inspection.reference import stage_pages, table
from medical_kg.orchestration.registry import STAGES, Installation, Origin

ORIGIN = Origin("medical_kg.formats", "x", "kit", "1", "kit:x")


class Limits(BaseModel):
    """How much."""

    model_config = ConfigDict(extra="forbid")
    least: int = Field(default=1, ge=1, le=9, description="no less")
    parts: tuple[str, ...] = Field(default=(), max_length=3)


class Full(BaseModel):
    """Config of everything.

    A second paragraph.
    """

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=2, pattern="^a|b$")
    store: Annotated[str, PluginName("medical_kg.stores")] = "database"
    gate: ConditionRef | None = None
    ratio: float | None = Field(default=None, gt=0, lt=1, multiple_of=0.1)
    limits: Limits = Limits()
    made: list[int] = Field(default_factory=lambda: [1])


class Whole(Stage[Full]):
    """A stage of everything."""

    metadata = StageMetadata(
        stage_type="whole",
        version="2.0",
        description="Does | it all.",
        reads=(WORDS, optional(UPPER)),
        writes=(LOWER,),
        mode="item",
        items_per_call=4,
        flat=True,
        cacheable=True,
        default_policy="polite-api",
        needs=("files",),
        config_model=Full,
    )

    def process_many(self, ctx: Any, items: Any, **reads: Any) -> Any: ...


def page(*types: type[Stage[Any]], name: str, installed: bool = True) -> str:
    installation = Installation(path=[])
    for cls in types:
        installation.stages.add(cls.metadata.stage_type, cls, distribution="kit", version="3.1")
    return plugin_page(installation, STAGES, name, installed=installed)


def test_a_page_has_all_that_the_metadata_says() -> None:
    """Reads, writes with types, mode, policy, services, version, config with constraints, and provenance."""
    text = page(Whole, name="whole")
    assert text.startswith("# `whole`\n\nDoes | it all.\n")
    for line in (
        "| version of its behaviour | 2.0 |",
        "| mode | `item`: it is called per item; an item that fails is left out alone |",
        "| items per call | up to 4 |",
        "| output | one item may give any number of records |",
        "| cacheable | equal input and config always give equal output |",
        "| policy | `polite-api`, unless the pipeline names one |",
        "| needs | `files` (the workspace's file area) |",
        "| `words` | `list[Word]` |  |  |",
        "| `upper` | `list[Word]` | may be missing |  |",
        "| `lower` | `list[Word]` |  |  |",
        "## Counts\n\n`lower`",
        "Config of everything.",
        "| `name` | `str` | `(required)` | length ≥ 2; matches ^a\\|b$ |  |",
        "| `limits.least` | `int` | `1` | ≥ 1; ≤ 9 | no less |",
        "| distribution | kit 3.1 |",
        "in `medical_kg.orchestration.stages` |",
        f"| defined at | `{Path(__file__)}:",
    ):
        assert line in text, line
    assert "A second paragraph" not in text


def test_what_a_stage_type_does_not_have_is_said() -> None:
    """No reads, no writes, no counts, no config: each in words."""

    class Bare(Stage[Any]):
        metadata = StageMetadata(stage_type="bare", version="1.0", description="Bare.")

        def run(self, ctx: Any, **reads: Any) -> None: ...

    text = page(Bare, name="bare")
    for words in ("It reads nothing.", "It writes nothing.", "It counts nothing.", "It takes no config."):
        assert words in text
    assert "| needs | nothing |" in text
    assert "| policy | `default`, unless" in text


def test_config_fields_have_their_constraints() -> None:
    """From the field, its alternatives and the names it holds; fields of models within it follow by dotted names."""
    found = {one.field: (one.type, one.default, one.constraints) for one in config_fields(Full)}
    assert found == {
        "name": ("str", "(required)", "length ≥ 2; matches ^a|b$"),
        "store": ("str", "'database'", "the name of a plugin of medical_kg.stores"),
        "gate": ("ConditionRef | None", "None", "length ≥ 1; the name of a condition under gates"),
        "ratio": ("float | None", "None", "> 0; < 1; multiple of 0.1"),
        "limits": ("Limits", "Limits(least=1, parts=())", ""),
        "limits.least": ("int", "1", "≥ 1; ≤ 9"),
        "limits.parts": ("tuple[str, ...]", "()", "number of items ≤ 3"),
        "made": ("list[int]", "[1]", ""),
    }


class Typed(BaseModel):
    store: Annotated[str, PluginName("medical_kg.stores")] = ""
    stores: tuple[Annotated[str, PluginName("medical_kg.stores")] | Limits, ...] = ()
    options: Annotated[dict[str, Any], PluginOptions("store")] = {}
    either: Literal["a", "b"] | None = None
    place: Path | None = None


def test_types_are_told_as_they_are_written() -> None:
    """Without modules, and with what is marked on them in words."""
    found = {one.field: (one.type, one.constraints) for one in config_fields(Typed)}
    stores = "the name of a plugin of medical_kg.stores"
    assert found == {
        "store": ("str", stores),
        "stores": ("tuple[str | Limits, ...]", stores),
        "options": ("dict[str, Any]", "what the plugin under store takes"),
        "either": ("Literal['a', 'b'] | None", ""),
        "place": ("Path | None", ""),
    }


def test_a_config_that_cannot_say_what_it_is_does_no_harm() -> None:
    """A default that cannot be made and a type without a schema are left open."""

    def fail() -> int:
        raise SystemExit("not now")

    class Odd(BaseModel):
        model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
        thing: Format = Field(default_factory=fail)

    assert [(one.default, one.constraints) for one in config_fields(Odd)] == [(UNKNOWN, "")]


def test_counts_are_named_by_the_counter_where_it_can() -> None:
    """From an output of nothing, single values too; a counter that needs a real one leaves them open."""
    assert counts_of(Tally.metadata) == ("tallied",)
    assert counts_of(Feed.metadata) == ("words",)
    counters: dict[Any, tuple[str, ...]] = {
        (lambda out: {"documents": out[TALLY].documents, "more": out[TALLY]["x"], "n": len(out[TALLY])}): (
            "documents",
            "more",
            "n",
        ),
        (lambda out: 3): ("output",),
        (lambda out: {"first": out[LOWER][0].size}): (),
    }
    for counter, names in counters.items():
        metadata = StageMetadata(
            stage_type="x", version="1.0", description="X.", writes=(LOWER, TALLY), output_counter=counter
        )
        assert counts_of(metadata) == names


def test_a_counter_that_needs_a_real_output_is_said() -> None:
    """The page does not guess."""

    class Late(Stage[Config]):
        metadata = StageMetadata(
            stage_type="late",
            version="1.0",
            description="L.",
            writes=(LOWER,),
            output_counter=lambda out: out[LOWER][0],
        )

        def run(self, ctx: Any, **reads: Any) -> None: ...

    assert "so they are known when it has run" in page(Late, name="late")


def test_a_stable_page_leaves_out_what_is_of_this_installation_only() -> None:
    """No version of the distribution, no file: such a page changes only when the stage type does."""
    text = page(Whole, name="whole", installed=False)
    assert "| distribution | kit |" in text
    assert "defined at" not in text


class Format:
    """Reads ``things``.

    More.
    """

    name: ClassVar[str] = "things"
    kinds: ClassVar[tuple[str, ...]] = ("a/b",)
    options_model: ClassVar[type[BaseModel]] = Limits

    def read(self) -> None: ...


def test_plugins_of_other_doors_say_what_they_can() -> None:
    """Docstring, constants of the class and its models of options; of a plain object the docstring of its module."""
    installation = Installation(path=[])
    formats = installation.door("medical_kg.formats")
    formats.add("things", Format, distribution="kit")
    text = plugin_page(installation, "medical_kg.formats", "things")
    assert "Reads `things`." in text
    assert "| kinds | `('a/b',)` |" in text
    assert "## Options\n\nHow much.\n\n| field |" in text
    formats.add("plain", 7, distribution="kit")
    assert plugin_page(installation, "medical_kg.formats", "plain").startswith("# `plain`\n\n## Where it comes from")


def test_a_local_module_s_page_has_the_hash_of_its_source(tmp_path: Path) -> None:
    """A project's own stage is told with what goes into its fingerprint."""
    from medical_kg.orchestration.workspace import Workspace

    (tmp_path / "medical_kg.toml").write_text('[plugins.local.formats]\nmine = "mine_reference:Mine"\n')
    (tmp_path / "mine_reference.py").write_text('class Mine:\n    """My own."""\n')
    installation = Workspace(tmp_path / ".medical-kg").installation
    text = plugin_page(installation, "medical_kg.formats", "mine")
    assert "| distribution | local " in text
    assert "| source | sha256 `" in text
    assert f"| defined at | `{tmp_path / 'mine_reference.py'}:1` |" in text


def test_where_something_is_defined_is_told_as_far_as_it_is_known() -> None:
    """File and line of a class, nothing of what is built in."""
    assert place(Format, ORIGIN).startswith(f"{Path(__file__)}:")
    assert place(dict, ORIGIN) == ""
    assert place(7, ORIGIN) == ""
    assert first_paragraph(Format) == "Reads `things`."
    assert first_paragraph(type("Silent", (Format,), {})) == ""


def test_a_table_survives_odd_texts() -> None:
    """A bar or a line break in a cell does not break the table."""
    assert table(("a",), [("x|y\nz",)]) == "| a |\n| --- |\n| x\\|y z |"


def test_every_stage_type_of_a_distribution_has_a_page() -> None:
    """By name; those of other distributions are left out."""
    installation = Installation(path=[])
    installation.stages.add("feed", Feed, distribution="kit")
    installation.stages.add("tally", Tally, distribution="other")
    assert set(stage_pages(installation, "kit")) == {"feed"}


def test_what_is_not_there_is_refused() -> None:
    """A name nothing provides is an error with the near names."""
    with pytest.raises(PluginNotFound, match="did you mean 'feed'"):
        page(Feed, name="feet")
