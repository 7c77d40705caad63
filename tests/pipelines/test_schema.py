"""The JSON schema for editors, by a real validator: it refuses what is wrong by its shape, and nothing that is right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from mutations import Pipeline, examples, mutations

from medical_kg.orchestration.pipeline import CheckResult, load_policies
from medical_kg.orchestration.pipeline.catalog import shipped_folder
from medical_kg.orchestration.pipeline.load import LoadFailed, load, parse
from medical_kg.orchestration.pipeline.policies import FILE_NAMES
from medical_kg.orchestration.pipeline.schema import schema
from medical_kg.orchestration.registry import Installation

# Thousands of files, of which those of the other modules reach the same lines.
pytestmark = pytest.mark.no_cover

Check = Callable[..., CheckResult]
ROOT = Path(__file__).parents[2]
WRONG = Path(__file__).parent / "wrong"
OLD = ROOT / "tests" / "orchestration" / "pipeline" / "data"

SHAPE = {"MKG010", "MKG011", "MKG012", "MKG013", "MKG014", "MKG020", "MKG021", "MKG022", "MKG026", "MKG043"}
"""Codes of what is wrong in one place by itself."""
BY_CODE = {"config/fields-that-contradict.yaml", "config/number-is-nan.yaml"}
"""What a config model judges by its own code, and the one number that is within no bounds and outside none."""

RIGHT = [
    *(path for path in shipped_folder().glob("*.yaml") if path.name not in FILE_NAMES),
    *(path for path in OLD.glob("*.yaml") if path.name not in FILE_NAMES),
    *(path for project in examples() for path in project.glob("pipelines/*.yaml")),
]
MORE_RIGHT = {
    "nothing below a key": "stages:\n  - {name: parse, type: parse, depends_on: ~, config: ~}\ngates: ~\n",
    "by distribution": "stages:\n  - {name: parse, type: 'medical-kg:parse'}\n",
    "a plugin by distribution": "stages:\n  - {name: i, type: ingest, config: {adapter: 'medical-kg:files'}}\n",
    "no options, whatever is needed": "stages:\n  - {name: p, type: parse}\n"
    "  - {name: e, type: embed, depends_on: [p], config: {embedder: openai-compatible, options: {}}}\n",
    "in a process": "stages:\n  - {name: parse, type: parse, environment: process}\n",
    "a type of elsewhere": "stages:\n  - {name: x, type: only-there, environment: gone, config: {x: 1}}\n",
    "no condition on the value": "stages:\n  - {name: a, type: gate}\ngates:\n  - {name: g, condition: {field: g, equals: [1]}}\n",
    "clauses": "stages:\n  - {name: a, type: gate}\ngates:\n  - name: g\n    condition:\n      mode: any\n      clauses:\n"
    "        - {field: a, operator: in, value: [1]}\n        - {field: a, operator: gte, value: 3}\n"
    "        - {field: a, operator: exists}\n        - {field: a, operator: changed}\n",
    "limits": "stages:\n  - {name: parse, type: parse}\nbatch_size: 1\nmax_failed_items: 5.5%\n",
}
ALSO_WRONG = {
    "a percentage over all": "max_failed_items: 101%",
    "a percentage with a line break": 'max_failed_items: "5%\\n"',
    "a negative number": "max_failed_items: -1",
    "true for a number": "batch_size: true",
    "a reserved name": "stages: [{name: open_batch, type: parse}]",
    "a keyword": "stages: [{name: import, type: parse}]",
}


def readable(text: str) -> bool:
    try:
        parse(text, "f")
    except LoadFailed:
        return False
    return True


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8-sig", "replace")


WITH_A_VALUE = [
    path for path in sorted(WRONG.rglob("*.yaml")) if "\ufffd" not in text_of(path) and readable(text_of(path))
]
"""The others are no UTF-8 or no YAML, which an editor's own reader says."""


@pytest.fixture(scope="module")
def validator(installed: Installation) -> Any:
    policies = load_policies(shipped_folder() / "resilience.yaml").by_name
    made = schema(installed.stages, installed, policies, ["limited", "process", "gone"])
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_right_files_are_accepted(path: Path, validator: Any) -> None:
    """What the check lets pass, the schema lets pass (the old two-phase file is wrong in its wiring only)."""
    assert list(validator.iter_errors(load(path)[1].value)) == []


@pytest.mark.parametrize("text", MORE_RIGHT.values(), ids=MORE_RIGHT.keys())
def test_right_forms_are_accepted(text: str, validator: Any, judge: Check) -> None:
    """So are the forms that the shipped files do not use; the check finds nothing wrong with their shape either."""
    whole = f'name: p\nversion: "1"\n{text}'
    assert [error.message for error in validator.iter_errors(parse(whole, "f").value)] == []
    assert not SHAPE & {problem.code for problem in judge(whole).problems}


@pytest.mark.parametrize("text", ALSO_WRONG.values(), ids=ALSO_WRONG.keys())
def test_wrong_values_are_refused(text: str, validator: Any) -> None:
    """The bounds that the check has by code are in the schema too."""
    whole = {"name": "p", "version": "1", "stages": [{"name": "parse", "type": "parse"}], **yaml.safe_load(text)}
    assert len(list(validator.iter_errors(whole))) == 1


@pytest.mark.parametrize("path", WITH_A_VALUE, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_wrong_shape_is_refused_and_nothing_else(
    path: Path, validator: Any, expected: Callable[[str], list[tuple[int, int, str, str]]]
) -> None:
    """A mistake of one place is seen by an editor; one that joins places is left to the check."""
    codes = {code for _, _, code, _ in expected(text_of(path))}
    refused = not validator.is_valid(parse(text_of(path), "f").value)
    assert refused == (bool(codes & SHAPE) and str(path.relative_to(WRONG)) not in BY_CODE), codes


def test_mutations_of_right_files_are_refused(validator: Any) -> None:
    """The same for mistakes made at every place of a shipped pipeline that has a gate."""
    text = (shipped_folder() / "pdf-two-phase.yaml").read_text(encoding="utf-8")
    refused = 0
    for one in (one for one in mutations(Pipeline(text)) if readable(one.edit(text))):
        wrong = bool({code for code, _ in one.expected} & SHAPE)
        assert validator.is_valid(parse(one.edit(text), "f").value) != wrong, one
        refused += wrong
    assert refused > 300
