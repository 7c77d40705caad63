"""Sixteen faults met in other plugin systems and pipeline runtimes, each as a rule that this one keeps.

They are numbered as in the study of peers. Every test goes through the command line or the public API with packages
as an installer leaves them, and ``test_peer_guards.py`` shows each of them fail where its guard is taken out.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from typer.testing import Result

from medical_kg.orchestration.contract.errors import PluginConflict
from medical_kg.orchestration.registry import STAGES, Installation, PluginSettings
from medical_kg.orchestration.workspace import Workspace

Cli = Callable[..., Result]
Package = Callable[..., Path]

HEAD = """
from typing import Any
from medical_kg import ItemRejected, Model, Page, Stage, StageMetadata, StateKey

class Config(Model):
    size: int = 3

class Number(Model):
    id: str
    value: int = 0

class Text(Model):
    id: str
    value: str = ""

NUMBERS = StateKey("values", list[Number], id="id", root="id")
TEXTS = StateKey("values", list[Text], id="id", root="id")
SUMS = StateKey("sums", dict[str, int])
NAMES = StateKey("names", dict[str, str])
REPORT = StateKey("report", dict[str, Any])

def metadata(name, **more):
    return StageMetadata(stage_type=name, version="1.0", description="Made for a test.", config_model=Config, **more)
"""

PLAIN = """
class {cls}(Stage[Config]):
    metadata = metadata({name!r})

    def run(self, ctx):
        return None
"""

BROKEN = "raise ImportError('its wheel is half there')\n"


def plain(*names: str) -> str:
    """A module with stage types that do nothing, a class each."""
    return HEAD + "".join(PLAIN.format(cls=name.title(), name=name) for name in names)


def pipeline(here: Path, *stages: str, more: str = "") -> Path:
    """A pipeline with a stage per line."""
    path = here / "faults.yaml"
    lines = "".join(f"  - {{{stage}}}\n" for stage in stages)
    path.write_text(f'name: faults\nversion: "1"\n{more}stages:\n{lines}', encoding="utf-8")
    return path


def listed(cli: Cli) -> dict[tuple[str, str], dict[str, Any]]:
    result = cli("plugins", "list", "--json")
    assert result.exit_code == 0, result.stderr
    return {(row["distribution"], row["name"]): row for row in json.loads(result.stdout)}


def problems(cli: Cli, path: Path) -> dict[str, dict[str, Any]]:
    """What ``pipelines check`` finds, by code."""
    result = cli("pipelines", "check", path, "--json")
    assert result.exit_code in (0, 2), result.stderr
    return {one["code"]: one for one in json.loads(result.stdout)["problems"]}


def ran(cli: Cli, path: Path, *words: object) -> dict[str, Any]:
    """The report of a run that went well, with its stages by name."""
    result = cli("run", path, "--engine", "plain", "--json", *words)
    assert result.exit_code == 0, result.stdout + result.stderr
    report = json.loads(result.stdout)
    return {**report, "stages": {stage["stage"]: stage for stage in report["stages"]}}


def test_01_a_plugin_that_cannot_be_imported_takes_no_other_with_it(cli: Cli, package: Package, here: Path) -> None:
    """Of three plugins one fails to import: it is named where it is used, and the other two load and run."""
    package("f1-red", {STAGES: {"red": "f1_red:Red"}}, plain("red"))
    package("f1-sick", {STAGES: {"sick": "f1_sick:Sick"}}, BROKEN)
    package("f1-blue", {STAGES: {"blue": "f1_blue:Blue"}}, plain("blue"))
    found = problems(cli, pipeline(here, "name: a, type: red", "name: b, type: sick", "name: c, type: blue"))
    assert found.keys() == {"MKG022"}
    assert "its wheel is half there" in found["MKG022"]["message"]
    assert found["MKG022"]["line"] == 5
    report = ran(cli, pipeline(here, "name: a, type: red", "name: c, type: blue"))
    assert [stage["status"] for stage in report["stages"].values()] == ["completed", "completed"]


def test_02_a_misspelt_name_speaks_of_itself_only(cli: Cli, package: Package, here: Path) -> None:
    """A name that nothing provides is told with its nearest ones, whatever else is broken."""
    package("f2-sick", {STAGES: {"sick": "f2_sick:Sick"}}, BROKEN)
    result = cli("pipelines", "check", pipeline(here, "name: a, type: chnuk"))
    assert result.exit_code == 2
    said = result.stdout + result.stderr
    assert "no stage type 'chnuk' can be used: no installed distribution provides it" in said
    assert "did you mean 'chunk'?" in said
    assert "half there" not in said


def test_03_a_broken_plugin_of_a_door_that_is_asked_in_full_is_left_out(
    cli: Cli, package: Package, feed: Path, notes: Path
) -> None:
    """Where every plugin of a door is asked (which format is this file?), the broken one is left out and named."""
    package("f3-sick", {"medical_kg.formats": {"a-sick-format": "f3_sick:Sick"}}, BROKEN)
    report = cli("run", feed, "--engine", "plain", "--input", notes)
    assert (report.exit_code, "3 documents" in report.stdout) == (0, True)
    assert "format a-sick-format is left out" in report.stderr


def test_04_the_program_itself_always_answers(cli: Cli, package: Package) -> None:
    """``--version`` and ``--help`` work with a broken command and a damaged distribution; the help names the command."""
    package("f4-sick", {"medical_kg.commands": {"sick": "f4_sick:app"}}, BROKEN)
    (package("f4-torn", {STAGES: {"torn": "m:T"}}) / "f4_torn-1.5.dist-info" / "METADATA").write_bytes(b"\xff\xfe\x00")
    version, shown = cli("--version"), cli("--help")
    assert (version.exit_code, version.stdout.split()[0]) == (0, "medical-kg")
    assert shown.exit_code == 0
    assert "(cannot be used: 'sick' (medical_kg.commands) from f4-sick 1.5" in shown.stdout


def test_05_what_is_denied_is_never_imported(cli: Cli, package: Package, here: Path) -> None:
    """A distribution on the deny list is not imported, so it cannot fail; who asks for it hears that it is blocked."""
    package("f5-sick", {STAGES: {"sick": "f5_sick:Sick"}}, BROKEN)
    (here / "medical_kg.toml").write_text('[plugins]\ndeny = ["f5-sick"]\n')
    found = problems(cli, pipeline(here, "name: a, type: sick"))
    assert "f5-sick 1.5 is blocked" in found["MKG020"]["message"]
    assert "half there" not in str(found)
    assert cli("plugins", "show", "sick").exit_code == 2
    assert listed(cli)["f5-sick", "sick"]["status"] == "blocked"


def test_06_a_damaged_distribution_spoils_no_listing_and_no_check(
    program: Callable[..., CompletedProcess[str]], package: Package, here: Path
) -> None:
    """``plugins list`` and ``pipelines check`` work beside a distribution whose metadata cannot be read."""
    torn = package("f6-torn", {STAGES: {"torn": "f6_torn:Torn"}})
    path = torn / "f6_torn-1.5.dist-info" / "entry_points.txt"
    path.write_bytes(path.read_bytes() + b"\xff\xfe = nonsense\nneither this\n")
    good = package("f6-good", {STAGES: {"good": "f6_good:Good"}}, plain("good"))
    folders = os.pathsep.join(filter(None, (str(torn), str(good), os.environ.get("PYTHONPATH"))))
    shown = program("plugins", "list", "--door", "stages", "--json", PYTHONPATH=folders)
    status = {row["name"]: row["status"] for row in json.loads(shown.stdout)}
    assert (status["torn"], status["good"]) == ("broken", "installed")
    checked = program("pipelines", "check", pipeline(here, "name: a, type: good"), PYTHONPATH=folders)
    assert (checked.returncode, checked.stdout.split()[-1]) == (0, "ok")


def test_07_every_problem_of_a_config_is_told_at_once_and_in_its_place(cli: Cli, package: Package, here: Path) -> None:
    """Text in a number's place and an unknown field beside it are both refused, each with line and column."""
    package("f7-kit", {STAGES: {"sized": "f7_kit:Sized"}}, plain("sized"))
    path = pipeline(here, 'name: a, type: sized, config: {size: "abc", szie: 4}')
    found = problems(cli, path)
    assert found.keys() == {"MKG013", "MKG011"}
    line = path.read_text().splitlines()[3]
    at = {code: (one["line"], one["column"] - 1) for code, one in found.items()}
    assert at == {"MKG013": (4, line.index('"abc"')), "MKG011": (4, line.index("szie"))}
    assert "did you mean 'size'?" in found["MKG011"]["suggestion"]


def test_08_a_listing_is_never_older_than_the_files(cli: Cli, package: Package) -> None:
    """What an edit of entry_points.txt adds and takes away shows in the next listing, in the same second and size."""
    info = package("f8-kit", {STAGES: {"early": "f8_kit:Early"}}, plain("early")) / "f8_kit-1.5.dist-info"
    assert ("f8-kit", "early") in listed(cli)
    points = info / "entry_points.txt"
    points.write_text(points.read_text().replace("early = ", "later = "))
    rows = listed(cli)
    assert ("f8-kit", "later") in rows
    assert ("f8-kit", "early") not in rows


@pytest.mark.parametrize("between", ["", "f9-beta"])
def test_09_a_name_claimed_twice_is_an_error_wherever_the_claims_stand(
    cli: Cli, package: Package, here: Path, between: str
) -> None:
    """Two distributions that claim one name are both named, adjacent in the order of installation or not."""
    for name in filter(None, ("f9-alpha", between, "f9-gamma")):
        stage_type = "lone" if name == between else "wanted"
        package(name, {STAGES: {stage_type: "f9:X"}}, plain(stage_type))
    said = problems(cli, pipeline(here, "name: a, type: wanted"))["MKG021"]["message"]
    assert "f9-alpha 1.5" in said
    assert "f9-gamma 1.5" in said


def test_10_a_name_gives_its_own_plugin(cli: Cli, package: Package) -> None:
    """Asked for one of several names, the registry gives what its entry point names, and loads no other."""
    types = ("alder", "birch", "cedar")
    for name in types:
        package(f"f10-{name}", {STAGES: {name: f"f10_{name}:{name.title()}"}}, plain(name))
    for name in reversed(types):
        shown = json.loads(cli("plugins", "show", name, "--json").stdout)
        assert (shown["name"], shown["object"]) == (name, f"f10_{name}:{name.title()}")
        assert {other for other in types if f"f10_{other}" in sys.modules} == set(types[types.index(name) :])


def test_11_every_plugin_says_where_it_comes_from(cli: Cli, package: Package, here: Path) -> None:
    """Distribution and version stand in the listing, in the plan, and with every stored result."""
    package("f11-kit", {STAGES: {"traced": "f11_kit:Traced"}}, plain("traced"))
    rows = listed(cli)
    assert [row for row in rows.values() if not (row["distribution"] and row["version"])] == []
    assert rows["f11-kit", "traced"]["version"] == "1.5"
    path = pipeline(here, "name: a, type: traced")
    plan = json.loads(cli("run", path, "--dry-run", "--json").stdout)
    assert plan["stages"][0]["origin"] == "f11-kit 1.5"
    report = ran(cli, path)
    with closing(Workspace.find()) as workspace:
        origin = workspace.ledger.results(report["batches"][0]["id"])["a"].origin
    assert (origin["distribution"], origin["version"], origin["object"]) == ("f11-kit", "1.5", "f11_kit:Traced")


def test_12_one_rule_settles_a_name_for_all_who_ask(package: Package) -> None:
    """Two packages and an object added in code claim a name: asking, listing and loading agree, and ``prefer`` settles it."""
    for name in ("f12-a", "f12-b"):
        package(name, {STAGES: {"shared": f"{name.replace('-', '_')}:Shared"}}, plain("shared"))
    path = [entry for entry in sys.path if "site-f12" in entry]
    stages = Installation(path=path).stages
    cls = Installation(path=path).stages.get("f12-a:shared").cls
    stages.add("shared", cls, distribution="f12-code")
    for ask in (stages.get, stages.claim):
        with pytest.raises(PluginConflict) as caught:
            ask("shared")
        assert [claim.split()[0] for claim in caught.value.claims] == ["f12-a", "f12-b", "f12-code"]
    assert [claim.origin.distribution for claim in stages.claims()] == ["f12-a", "f12-b", "f12-code"]
    for chosen in ("f12-a", "f12-b"):
        preferred = Installation(PluginSettings(prefer={"shared": chosen}), path=path).stages
        assert preferred.get("shared").origin.distribution == chosen
        assert preferred.claim("shared").origin == preferred.get("shared").origin


PICKY = (
    HEAD
    + """
from medical_kg.documents.keys import DOCUMENTS

class Picky(Stage[Config]):
    metadata = metadata("picky", reads=(DOCUMENTS,), writes=(DOCUMENTS,), mode="item")

    def process(self, ctx, item):
        if "POISON" in item.text:
            raise ValueError("cannot stomach it")
        return item
"""
)


def test_13_a_bad_item_costs_only_itself_and_comes_in_once_it_is_good(
    cli: Cli, package: Package, here: Path, tmp_path: Path
) -> None:
    """Of five documents one fails: four are indexed, one is a dead letter; fixed and run again, all five are indexed."""
    package("f13-kit", {STAGES: {"picky": "f13_kit:Picky"}}, PICKY)
    path = pipeline(
        here,
        "name: ingest, type: ingest, config: {adapter: files}",
        "name: parse, type: parse, depends_on: [ingest]",
        "name: picky, type: picky, depends_on: [parse]",
        "name: chunk, type: chunk, depends_on: [picky]",
        "name: index, type: index, depends_on: [chunk]",
    )
    folder = tmp_path / "five"
    folder.mkdir()
    for number in range(5):
        (folder / f"note{number}.txt").write_text("POISON aspirin" if number == 3 else f"Aspirin, note {number}.")
    first = ran(cli, path, "--input", folder)
    assert (first["stages"]["picky"]["dead_letters"], first["stages"]["index"]["counts"]["documents"]) == (1, 4)
    assert found(cli) == {f"note{number}.txt" for number in (0, 1, 2, 4)}
    (folder / "note3.txt").write_text("Aspirin, note 3.")
    again = ran(cli, path, "--input", folder)
    assert again["stages"]["picky"]["dead_letters"] == 0
    assert found(cli) == {f"note{number}.txt" for number in range(5)}


def found(cli: Cli) -> set[str]:
    """The files in which a search finds what all documents say."""
    hits = json.loads(cli("search", "aspirin", "--kind", "text", "--json").stdout)
    return {hit["document"].removeprefix("file:") for hit in hits}


def test_14_a_misspelt_key_and_a_value_of_another_type_are_refused(cli: Cli, here: Path) -> None:
    """Of the pipeline's own keys and of a built-in type's config, none is passed over and none is taken as it comes."""
    path = pipeline(
        here,
        "name: ingest, type: ingest",
        "name: parse, type: parse, depend_on: [ingest]",
        "name: chunk, type: chunk, depends_on: [parse], config: {max_tokens: not-an-int}",
    )
    found = problems(cli, path)
    assert "depend_on" in found["MKG011"]["message"]
    assert "did you mean 'depends_on'?" in found["MKG011"]["suggestion"]
    assert found["MKG013"]["path"] == "stages[2].config.max_tokens"
    assert cli("run", path, "--engine", "plain").exit_code == 2


TYPED = (
    HEAD
    + """
class Count(Stage[Config]):
    metadata = metadata("count", writes=(NUMBERS,))

    def run(self, ctx):
        return [Number(id="a", value=1)]

class Spell(Stage[Config]):
    metadata = metadata("spell", reads=(TEXTS,))

    def run(self, ctx, values):
        for one in values:
            one.value.upper()
"""
)


def test_15_types_that_do_not_fit_are_found_before_the_run(cli: Cli, package: Package, here: Path) -> None:
    """A stage that reads texts is not wired to one that writes numbers; both lines are named, and nothing is run."""
    package("f15-kit", {STAGES: {"count": "f15_kit:Count", "spell": "f15_kit:Spell"}}, TYPED)
    path = pipeline(here, "name: a, type: count", "name: b, type: spell, depends_on: [a]")
    problem = problems(cli, path)["MKG052"]
    assert problem["line"] == 5
    assert "reads 'values: list[Text]', but 'a' on line 4 writes 'values: list[Number]'" in problem["message"]
    assert cli("run", path, "--engine", "plain").exit_code == 2


JOINED = (
    HEAD
    + """
class Sums(Stage[Config]):
    metadata = metadata("sums", writes=(SUMS,))

    def run(self, ctx):
        return {"total": self.config.size}

class Names(Stage[Config]):
    metadata = metadata("names", writes=(NAMES,))

    def run(self, ctx):
        return {"first": "ada"}

class Join(Stage[Config]):
    metadata = metadata("join", reads=(SUMS, NAMES), writes=(REPORT,), output_counter=lambda out: out[REPORT]["total"])

    def run(self, ctx, sums, names):
        return {**sums, **names}
"""
)


def test_16_branches_that_give_mappings_join(cli: Cli, package: Package, here: Path) -> None:
    """Mappings of two branches reach one stage, each under its key; two of one key are refused with both lines."""
    types = {name: f"f16_kit:{name.title()}" for name in ("sums", "names", "join")}
    package("f16-kit", {STAGES: types}, JOINED)
    branches = ("name: a, type: sums, config: {size: 7}", "name: b, type: names")
    report = ran(cli, pipeline(here, *branches, "name: c, type: join, depends_on: [a, b]"))
    assert report["stages"]["c"]["counts"] == {"output": 7}
    twice = (*branches, "name: d, type: sums", "name: c, type: join, depends_on: [a, b, d]")
    said = problems(cli, pipeline(here, *twice))["MKG051"]["message"]
    assert "stages 'a' (line 4) and 'd' (line 6) both write 'sums' on parallel branches" in said
