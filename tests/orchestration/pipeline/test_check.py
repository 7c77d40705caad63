"""A right file becomes a plan; a wrong one is advised on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from medical_kg.orchestration.pipeline.check import CheckResult
from medical_kg.orchestration.pipeline.plan import Plan
from medical_kg.orchestration.resilience import Policy

Check = Callable[..., CheckResult]
DATA = Path(__file__).parent / "data"

HEAD = 'name: p\nversion: "1"\n'
FLOW = """stages:
  - {name: ingest, type: ingest}
  - {name: parse, type: parse, depends_on: [ingest]}
"""


def plan_of(result: CheckResult) -> Plan:
    assert result.plan is not None, "\n".join(map(str, result.problems))
    return result.plan


def bindings(plan: Plan, name: str) -> dict[str, tuple[str, ...]]:
    return {binding.key.name: binding.writers for binding in plan.stage(name).bindings}


@pytest.mark.parametrize("name", ["auto", "clinical-trials", "pmc-fulltext"])
def test_the_old_files_load_unchanged(name: str, run_check: Check, old_policies: Mapping[str, Policy]) -> None:
    """Files of the old form pass, and nothing in them is named as not enforced."""
    result = run_check(DATA / f"{name}.yaml", policies=old_policies)
    assert plan_of(result).name == name
    assert result.problems == ()


def test_the_old_two_phase_file_is_wrong_and_the_advice_mends_it(
    run_check: Check, old_policies: Mapping[str, Policy], tmp_path: Path
) -> None:
    """``chunk`` and ``extract`` read documents nobody writes; the proposed stage behind the gate mends both."""
    path = DATA / "pdf-two-phase.yaml"
    result = run_check(path, policies=old_policies)
    assert result.plan is None
    found = [(problem.code, problem.line, problem.text.split()[2]) for problem in result.errors]
    assert found == [("MKG050", 10, "chunk,"), ("MKG050", 13, "extract,")]
    for problem in result.errors:
        assert "'documents'" in problem.message
        advice = "add a stage of type 'parse' after 'gate_pdf_ir_ready', and let 'chunk' depend on it"
        assert problem.suggestion == advice
    mended = path.read_text(encoding="utf-8").replace(
        "  - {name: chunk, type: chunk, policy: gpu-bound, depends_on: [gate_pdf_ir_ready]}",
        "  - {name: parse, type: parse, depends_on: [gate_pdf_ir_ready]}\n"
        "  - {name: chunk, type: chunk, policy: gpu-bound, depends_on: [parse]}",
    )
    assert plan_of(run_check(mended, policies=old_policies)).ancestors("extract") >= {"parse", "gate_pdf_ir_ready"}


def test_a_plan_has_what_the_runners_need(run_check: Check, old_policies: Mapping[str, Policy]) -> None:
    """Order, wiring, policies, conditions, digest and path of a pipeline with a gate."""
    path = DATA / "pmc-fulltext.yaml"
    plan = plan_of(run_check(path, policies=old_policies))
    assert plan.path == path
    assert plan.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (plan.version, plan.batch_size, plan.description) == ("2025-01-01", 2000, "full texts with a PDF gate")
    assert plan.stream is plan.stage("ingest")
    assert plan.descendants("chunk") == {"embed", "index", "kg"}
    assert plan.ancestors("chunk") == {"ingest", "download", "gate_pdf_ir_ready", "parse", "ir_ready"}
    assert bindings(plan, "parse") == {"payloads": ("ingest",), "files": ("download",)}
    assert plan.stage("parse").order_only == ("gate_pdf_ir_ready",)
    assert bindings(plan, "chunk") == {"documents": ("ir_ready",)}
    assert plan.stage("kg").order_only == ("index",)
    gate = plan.stage("gate_pdf_ir_ready")
    assert gate.config.gate == "pdf_ir_ready"
    assert dict(gate.conditions) == dict(plan.conditions)
    assert plan.conditions["pdf_ir_ready"].timeout_seconds == 900
    assert (plan.stage("parse").policy_name, plan.stage("parse").policy) == ("gpu-bound", old_policies["gpu-bound"])


def test_the_policy_of_a_stage(run_check: Check) -> None:
    """Its own, else its type's, else the one named default, else the empty one."""
    text = (
        HEAD
        + FLOW
        + "  - {name: c, type: chunk, depends_on: [parse]}\n  - {name: e, type: embed, depends_on: [c]}\n"
        + "  - {name: x, type: extract, policy: polite, depends_on: [parse]}\n"
    )
    plan = plan_of(run_check(text))
    assert [plan.stage(name).policy_name for name in ("x", "e", "c")] == ["polite", "gpu-bound", "default"]
    bare = plan_of(run_check(text, policies={"polite": Policy(max_attempts=9), "gpu-bound": Policy()}))
    assert bare.stage("c").policy == Policy()


def test_stages_may_stand_in_any_order(run_check: Check) -> None:
    """The plan puts dependencies first and keeps the file's order otherwise."""
    text = HEAD + (
        "stages:\n  - {name: z, type: extract, depends_on: [p]}\n  - {name: b, type: chunk, depends_on: [p]}\n"
        "  - {name: p, type: parse, depends_on: [i]}\n  - {name: a, type: night, policy: default}\n"
        "  - {name: i, type: ingest}\n"
    )
    assert [stage.name for stage in plan_of(run_check(text)).stages] == ["a", "i", "p", "z", "b"]


def test_a_key_with_merge_append_may_have_parallel_writers(run_check: Check) -> None:
    """A reader behind both gets both, in plan order."""
    text = (
        HEAD
        + FLOW
        + "  - {name: n2, type: note, depends_on: [parse]}\n  - {name: n1, type: note, depends_on: [parse]}\n"
        + "  - {name: r, type: read-notes, depends_on: [n1, n2]}\n"
    )
    assert bindings(plan_of(run_check(text)), "r") == {"notes": ("n2", "n1")}


def test_an_optional_read_may_have_no_writer(run_check: Check) -> None:
    """It is bound to nobody, and the stage gets None."""
    plan = plan_of(run_check(HEAD + FLOW))
    assert bindings(plan, "parse") == {"payloads": ("ingest",), "files": ()}
    assert plan.stage("parse").bindings[1].key.name == "files"


def test_only_the_types_in_use_are_loaded(run_check: Check, loads: Any) -> None:
    """A check that finds nothing wrong imports no other plugin, broken ones least of all."""
    assert run_check(HEAD + FLOW).ok
    assert sorted(loads.loaded) == ["ingest", "parse"]


def test_advice_looks_at_other_types_and_survives_broken_ones(run_check: Check, loads: Any) -> None:
    """A missing writer is looked for among all that is installed, each loaded in its guard."""
    (problem,) = run_check(HEAD + FLOW + "  - {name: e, type: embed, depends_on: [parse]}\n").errors
    assert problem.suggestion == "add a stage of type 'chunk' after 'parse', and let 'e' depend on it"
    assert "broken" in loads.loaded


def test_advice_when_the_writer_itself_lacks_something(run_check: Check) -> None:
    """A type that writes the key but could not work there is named with what it reads."""
    (problem,) = run_check(HEAD + FLOW + "  - {name: r, type: rank, depends_on: [parse]}\n").errors
    assert problem.suggestion == "stage type 'score' writes it, and reads 'weights'"


def test_no_second_feed_is_advised(run_check: Check) -> None:
    """Where a stage feeds the pipeline already, another such type is no way out."""
    (problem,) = run_check(HEAD + FLOW + "  - {name: s, type: score, depends_on: [parse]}\n").errors
    assert problem.suggestion == "no installed stage type writes 'weights' here; install one that does"
    first = run_check(HEAD + "stages:\n  - {name: s, type: score}\n").errors
    assert first[1].suggestion == "add a stage of type 'scale' before 's', and let 's' depend on it"


def test_advice_without_a_feeding_type_installed(run_check: Check, registry: Any) -> None:
    """Where nothing can feed a pipeline, the advice is to install something."""
    for claim in registry.claims():
        if claim.origin.name in ("ingest", "poll", "scale"):
            del registry._claims[claim.origin.name, "fakes"]
    found = {
        problem.code: problem.suggestion for problem in run_check(HEAD + "stages:\n  - {name: p, type: parse}").errors
    }
    assert found["MKG055"] == "install a type that feeds one"


def test_config_is_validated_and_completed(run_check: Check) -> None:
    """The plan holds the config model with its defaults; null means nothing was said."""
    text = HEAD + FLOW + "  - name: c\n    type: chunk\n    depends_on: [parse]\n    config: {window: {size: 3}}\n"
    config = plan_of(run_check(text)).stage("c").config
    assert (config.max_tokens, config.window.size, config.window.overlap) == (100, 3, 0)
    empty = HEAD + "stages:\n  - name: i\n    type: ingest\n    depends_on:\n    config:\ngates:\n"
    assert plan_of(run_check(empty)).stage("i").config.adapter == "auto"


def test_conditions_in_every_form(run_check: Check) -> None:
    """One field, or clauses; ``ledger.`` is left out; on_timeout and timeout are carried over."""
    text = HEAD + (
        "stages:\n  - {name: m, type: mix, config: {waits: [one, many]}}\ngates:\n"
        "  - {name: one, condition: {field: ledger.done}}\n"
        "  - {name: many, on_timeout: continue, condition: {mode: any, timeout_seconds: 5,"
        " clauses: [{field: n, operator: gte, value: 3}, {field: stop, operator: exists}]}}\n"
    )
    plan = plan_of(run_check(text))
    one, many = plan.conditions["one"], plan.conditions["many"]
    assert str(one.condition) == "done equals True"
    assert (one.timeout_seconds, one.on_timeout) == (None, "fail")
    assert str(many.condition) == "n gte 3 or stop exists"
    assert (many.timeout_seconds, many.on_timeout) == (5, "continue")
    assert set(plan.stage("m").conditions) == {"one", "many"}


def test_a_resume_stage_behind_a_cycle_or_an_unused_condition_is_not_judged(run_check: Check) -> None:
    """What is in doubt gives no second problem."""
    text = (
        HEAD
        + FLOW
        + "  - {name: gate_g, type: gate}\n  - {name: a, type: ir-validation, depends_on: [parse, b]}\n"
        + "  - {name: b, type: ir-validation, depends_on: [a]}\n"
        + "gates:\n  - {name: g, resume_stage: a, condition: {field: g}}\n"
    )
    assert [problem.code for problem in run_check(text).problems] == ["MKG032"]


def test_overrides_change_configs_before_the_check(run_check: Check) -> None:
    """A value set from outside is checked like the file's, placed at ``--set``, and counts in the digest."""
    text = HEAD + FLOW + "  - {name: c, type: chunk, depends_on: [parse]}\n"
    plain = plan_of(run_check(text))
    changed = plan_of(run_check(text, overrides={"c.max_tokens": 7, "c.window.size": 3, "ingest.adapter": "pmc"}))
    config = changed.stage("c").config
    assert (config.max_tokens, config.window.size) == (7, 3)
    assert changed.stage("ingest").config.adapter == "pmc"
    assert changed.digest != plain.digest == plan_of(run_check(text, overrides={})).digest
    wrong = run_check(
        text, overrides={"c.max_tokens": 0, "c.windows": [{"size": 1}, {"sise": 1}], "ingest.adapter": "x"}
    )
    assert [(problem.code, problem.file, problem.line) for problem in wrong.errors] == [
        ("MKG013", "--set c.max_tokens=0", 0),
        ("MKG011", '--set c.windows=[{"size": 1}, {"sise": 1}]', 0),
        ("MKG043", '--set ingest.adapter="x"', 0),
    ]


def test_the_digest_is_of_the_text_and_what_is_set(run_check: Check) -> None:
    """Equal overrides in another order make the same pipeline; a value that JSON lacks counts as its text."""
    text = HEAD + FLOW + "  - {name: c, type: chunk, depends_on: [parse]}\n"

    def digest(**values: Any) -> str:
        overrides = {f"c.{name}": value for name, value in values.items()}
        return plan_of(run_check(text, overrides=overrides)).digest

    assert digest() == hashlib.sha256(text.encode()).hexdigest()
    changed = text + '\n--set {"c.label": "x", "c.max_tokens": 7}'
    assert digest(max_tokens=7, label="x") == hashlib.sha256(changed.encode()).hexdigest()
    assert digest(max_tokens=7, label="x") == digest(label="x", max_tokens=7) != digest(label="y", max_tokens=7)


def test_a_problem_with_an_override_names_the_option(run_check: Check) -> None:
    """The option is repeated as given, without a line."""
    (problem,) = run_check(HEAD + FLOW, overrides={"prase.limit": 5}).errors
    both = run_check(HEAD + "batch_size: 0\n" + FLOW, overrides={"prase.limit": 5}).errors
    assert [one.code for one in both] == ["MKG013", "MKG080"]  # the file's own come first
    assert str(problem) == "--set prase.limit=5: error MKG080: no stage is named 'prase'\n  help: did you mean 'parse'?"


def test_the_check_changes_nothing(run_check: Check, tmp_path: Path) -> None:
    """Twice the same file, twice the same result; the folder is as before."""
    path = tmp_path / "p.yaml"
    path.write_text(HEAD + FLOW, encoding="utf-8")
    first, second = run_check(path), run_check(path)
    assert first == second
    assert list(tmp_path.iterdir()) == [path]
