"""Policy files."""

from __future__ import annotations

from pathlib import Path

import pytest

from medical_kg.orchestration.pipeline.policies import Policies, find_policies, load_policies
from medical_kg.orchestration.resilience import Policy

DATA = Path(__file__).parent / "data"


def write(tmp_path: Path, text: str) -> Policies:
    path = tmp_path / "resilience.yaml"
    path.write_text(text, encoding="utf-8")
    return load_policies(path)


def test_the_old_policies_load_unchanged() -> None:
    """Every field of the old form is understood."""
    policies = load_policies(DATA / "resilience.yaml")
    assert policies.problems == ()
    polite = policies.by_name["polite-api"]
    assert (polite.max_attempts, polite.backoff.strategy, polite.timeout_seconds) == (10, "linear", 10)
    assert polite.rate_limit is not None
    assert polite.rate_limit.rate_limit_per_second == 5.0


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("", "MKG010", 1, 1),
        ("policies: [", "MKG004", 1, 11),
        ("policies: {}", "MKG013", 1, 11),
        ("policies:\n  a: {max_attempt: 3}", "MKG011", 2, 7),
        ("policies:\n  a: {max_attempts: 11}", "MKG013", 2, 21),
        ("policies:\n  a: {max_attempts: true}", "MKG013", 2, 21),
        ("policies:\n  a: {max_attempts: '3'}", "MKG013", 2, 21),
        ("policies:\n  a: {timeout_seconds: 0}", "MKG013", 2, 24),
        ("policies:\n  a: {timeout_seconds: .nan}", "MKG013", 2, 24),
        ("policies:\n  a:\n    backoff: {strategy: fibonacci}", "MKG013", 3, 25),
        ("policies:\n  a:\n    backoff: {initial: 9, maximum: 1}", "MKG013", 3, 14),
        ("policies:\n  a:\n    circuit_breaker: {failure_threshold: 3}", "MKG012", 3, 5),
        ("policies:\n  a:\n    rate_limit: {rate_limit_per_second: 0}", "MKG013", 3, 41),
        ("policies: {a: {}}\nextra: 1", "MKG011", 2, 1),
        ("policies: {a: {}, a: {}}", "MKG006", 1, 19),
        ("a: {max_attempts: 3}\npolicies: {a: {}}", "MKG011", 1, 1),
    ],
)
def test_each_mistake_has_its_place(text: str, code: str, line: int, column: int, tmp_path: Path) -> None:
    """Bounds, kinds and unknown fields of policies are refused with line and column."""
    (problem,) = write(tmp_path, text).problems
    assert (problem.code, problem.line, problem.column) == (code, line, column)


def test_the_name_of_a_wrong_policy_stays_known(tmp_path: Path) -> None:
    """A pipeline that uses it is not blamed for a mistake in the policy file."""
    assert write(tmp_path, "policies:\n  a: {max_attempts: 0}").by_name == {"a": Policy()}
    assert write(tmp_path, "policies: 5").by_name == {}


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    """Nothing is raised."""
    assert [problem.code for problem in load_policies(tmp_path / "no.yaml").problems] == ["MKG001"]


def test_the_first_folder_with_a_policy_file_counts(tmp_path: Path) -> None:
    """Both spellings of YAML's ending are found, folder by folder."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "resilience.yml").touch()
    assert find_policies([tmp_path / "a", tmp_path / "b", tmp_path]) == tmp_path / "b" / "resilience.yml"
    (tmp_path / "a" / "resilience.yaml").touch()
    assert find_policies([tmp_path / "a", tmp_path / "b"]) == tmp_path / "a" / "resilience.yaml"
    assert find_policies([tmp_path]) is None
