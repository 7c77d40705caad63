"""The conformance suite: an honest stage passes every rule, and each rule catches a stage that breaks it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from lying_stages import LIES, Broken, Item, Lie, Sampled, case_of, given

from medical_kg.orchestration.registry import STAGES
from medical_kg.testing import StageCase
from medical_kg.testing.conformance import StageConformance, Trial

RULES: dict[str, Callable[..., None]] = {
    name.removeprefix("test_"): rule
    for name, rule in inspect.getmembers(StageConformance, inspect.isfunction)
    if name.startswith("test_")
}
SLOW = {
    "import_is_cheap",
    "every_process_gives_the_same_where_cacheable",
    "it_survives_a_kill_before_its_commit",
    "it_survives_a_kill_after_its_commit",
}
"""Rules that start processes: tried where a lie is meant for them."""


def verdict(rule: str, lie: Lie, folder: Path) -> str:
    """Return what a rule says of a stage: the message of its failure, else nothing."""
    said = judged(rule, case_of(lie), folder)
    return "" if said.startswith("skipped: ") else said


def judged(rule: str, case: StageCase, folder: Path) -> str:
    """As above, and why it is skipped."""
    more = {"record_property": lambda *_: None} if rule == "import_is_cheap" else {}
    folder.mkdir()
    try:
        RULES[rule](StageConformance(), Trial(case, folder), **more)
    except pytest.skip.Exception as reason:
        return f"skipped: {reason}"
    except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001  # as pytest takes it
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_each_lie_breaks_its_rules_and_no_other(lie: Lie, tmp_path: Path) -> None:
    """A stage that breaks a rule is caught by that rule, and by others only where they follow from it."""
    tried = {name for name in RULES if name not in SLOW or name in lie.breaks}
    found = {name: said for name in sorted(tried) if (said := verdict(name, lie, tmp_path / name))}
    if lie.fatal:
        assert lie.breaks[0] in found
    else:
        assert set(found) == set(lie.breaks), found


@pytest.mark.parametrize("lie", [lie for lie in LIES if lie.breaks], ids=str)
def test_a_failure_says_what_to_do(lie: Lie, tmp_path: Path) -> None:
    """The message names the stage type and the rule, what was found, and what to do."""
    said = verdict(lie.breaks[0], lie, tmp_path / "one")
    assert "stage type 'lying' breaks the rule of" in said
    assert "Found: " in said
    assert "To do: " in said


def test_every_rule_is_broken_by_a_lie() -> None:
    """No rule is there that nothing has been seen to break; the two others have tests of their own below."""
    broken = {lie.breaks[0] for lie in LIES if lie.breaks}
    assert set(RULES) - broken == {"entry_point_loads_this_stage_type", "import_is_cheap"}


def test_every_rule_says_what_it_is() -> None:
    """Each is one line, as it stands in the report."""
    assert [name for name, rule in RULES.items() if "\n" in (rule.__doc__ or "\n")] == []


@pytest.mark.parametrize("lie", [lie for lie in LIES if not lie.breaks], ids=str)
@pytest.mark.parametrize("rule", sorted(SLOW))
def test_an_honest_stage_passes_the_slow_rules_too(rule: str, lie: Lie, tmp_path: Path) -> None:
    """What is honest passes everything."""
    assert verdict(rule, lie, tmp_path / "one") == ""


# Rules that look at the package around a stage type

KIT = """
{imports}
from medical_kg import NoConfig, Stage, StageMetadata

class KitStage(Stage[NoConfig]):
    metadata = StageMetadata(stage_type="kit", version="1", description="Does.")

    def run(self, ctx):
        return None

other = type("Other", (KitStage,), {{}})
"""


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., StageCase]:
    """Makes an installed package with a stage type, whose module imports something and whose entry points are these."""

    def make(name: str, *entries: str, imports: str = "") -> StageCase:
        site = tmp_path / "site"
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("\n".join([f"[{STAGES}]", *entries]))
        (site / f"{name}.py").write_text(KIT.format(imports=imports))
        monkeypatch.syspath_prepend(str(site))
        return StageCase(importlib.import_module(name).KitStage)

    return make


@pytest.mark.parametrize(
    ("name", "entry", "said"),
    [
        ("kit_right", "kit = kit_right:KitStage", ""),
        ("kit_none", "", "skipped: no installed distribution of kit_none has an entry point"),
        ("kit_misnamed", "kti = kit_misnamed:KitStage", "stage_type is 'kit', the entry points of its package are kti"),
        ("kit_astray", "kit = kit_astray:other", "kit_astray:other is not"),
    ],
)
def test_the_rule_of_the_entry_point(
    kit: Callable[..., StageCase], name: str, entry: str, said: str, tmp_path: Path
) -> None:
    """The entry point of the stage's name, in its own package, loads this class; without any the rule is skipped."""
    found = judged("entry_point_loads_this_stage_type", kit(name, entry), tmp_path / "one")
    assert said in found if said else found == ""


@pytest.mark.parametrize(
    ("name", "imports", "said"),
    [
        ("kit_cheap", "import medical_kg.documents.keys, medical_kg.formats.contract", ""),
        ("kit_pack", "import medical_kg.stages.chunk", "importing kit_pack imports medical_kg.stages.chunk"),
        ("kit_cli", "import medical_kg.cli", "importing kit_cli imports medical_kg.cli"),
        ("kit_heavy", "import dagster", "importing kit_heavy imports dagster"),
    ],
)
def test_the_rule_of_the_cheap_import(
    kit: Callable[..., StageCase], name: str, imports: str, said: str, tmp_path: Path
) -> None:
    """Contracts may be imported; Dagster, the command line and the pack may not."""
    found = judged("import_is_cheap", kit(name, imports=imports), tmp_path / "one")
    assert said in found if said else found == ""


def test_a_module_that_no_other_process_can_import(kit: Callable[..., StageCase], tmp_path: Path) -> None:
    """What fails only in another process is told with the end of its traceback."""
    case = kit("kit_here_only", imports="import sys; assert 'pytest' in sys.modules, 'not here'")
    said = judged("import_is_cheap", case, tmp_path / "one")
    assert "breaks the rule of another process" in said
    assert "AssertionError: not here" in said
    said = judged("it_survives_a_kill_after_its_commit", case, tmp_path / "two")
    assert "the process ended by itself" in said


def test_what_cannot_be_taken_to_another_process_is_skipped(tmp_path: Path) -> None:
    """A class inside a function, and a fake that cannot be pickled, are reasons, not failures."""

    class Inner(Item):
        pass

    inside = StageCase(Inner, reads={"words": given()})
    assert judged("import_is_cheap", inside, tmp_path / "one").endswith("can be imported by no other process")
    unpicklable = StageCase(Item, reads={"words": given()}, more={"services": {"files": lambda: None}})
    said = judged("it_survives_a_kill_after_its_commit", unpicklable, tmp_path / "two")
    assert said.startswith("skipped: a keyword in more of the case cannot be pickled")


def test_values_may_differ_where_the_case_says_so(tmp_path: Path) -> None:
    """With ``repeatable=False`` ids and roots are compared, values are not."""
    for rule in ("items_do_not_depend_on_each_other", "called_again_it_gives_the_same"):
        case = StageCase(Sampled, reads={"words": given()})
        assert "breaks the rule" in judged(rule, case, tmp_path / f"{rule}-1")
        assert judged(rule, replace(case, repeatable=False), tmp_path / f"{rule}-2") == ""


def test_one_item_is_too_few(tmp_path: Path) -> None:
    """Whether items depend on each other shows with two of them only."""
    case = StageCase(Item, reads={"words": given()[:1]})
    said = judged("items_do_not_depend_on_each_other", case, tmp_path / "one")
    assert said == "skipped: the case has fewer than two items"


def test_a_case_of_the_wrong_type(tmp_path: Path) -> None:
    """A case whose reads cannot be stored is told as such."""
    said = judged("leaves_its_inputs_as_they_were", StageCase(Item, reads={"words": ["text"]}), tmp_path / "one")
    assert "breaks the rule of the case itself" in said


def test_a_case_without_items(tmp_path: Path) -> None:
    """A case that forgets the items is told so, with how to give them."""
    said = judged("items_keep_their_root", StageCase(Item), tmp_path / "one")
    assert "it gives no words, which the stage works on" in said
    assert "give reads={'words': [...]}" in said


def test_a_stage_that_fails_in_an_engine_only(tmp_path: Path) -> None:
    """What the resumed or unbroken run in a workspace says is passed on."""
    said = judged("it_survives_a_kill_before_its_commit", StageCase(Broken, reads={"words": given()}), tmp_path / "one")
    assert "in an engine it fails: ValueError: broken" in said
