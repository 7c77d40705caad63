"""The page of checks says what the check does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from medical_kg.orchestration.pipeline.catalog import shipped_folder
from medical_kg.orchestration.pipeline.check import check
from medical_kg.orchestration.pipeline.policies import load_policies
from medical_kg.orchestration.pipeline.problems import KINDS
from medical_kg.orchestration.registry import Installation

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "checks.md"
SECTIONS = re.findall(
    r"^### (MKG\d+): (.+?)\n(.*?)(?=^##|\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


def block(kind: str, section: str) -> str | None:
    found = re.search(rf"^```{kind}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return found[1] if found else None


def test_the_page_has_every_code_in_order() -> None:
    """Each code once, with its title, a message and what to do."""
    assert {code: title for code, title, _ in SECTIONS} == {code: kind.title for code, kind in KINDS.items()}
    assert [code for code, _, _ in SECTIONS] == list(KINDS)
    for code, _, section in SECTIONS:
        message = block("text", section) or ""
        assert f" {KINDS[code].severity} {code}: " in message.split("\n")[0]
        assert section.rpartition("```")[2].strip()


@pytest.mark.parametrize(
    ("code", "section"), [(code, section) for code, _, section in SECTIONS if block("yaml", section)]
)
def test_an_example_gives_the_message_beside_it(code: str, section: str) -> None:
    """Each wrong example on the page gives, with what is installed, just the message printed below it."""
    policies = load_policies(shipped_folder() / "resilience.yaml").by_name
    installed = Installation()
    result = check(block("yaml", section) or "", installed.stages, installed, policies, file="trials.yaml")
    shown = [str(problem) for problem in result.problems if problem.code == code]
    assert shown[0] + "\n" == block("text", section)
