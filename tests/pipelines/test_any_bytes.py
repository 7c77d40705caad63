"""Whatever is in a file, the check answers with problems: no exception of any kind, and nothing that is no pipeline passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medical_kg.orchestration.pipeline import CheckResult
from medical_kg.orchestration.pipeline.catalog import shipped_folder

Check = Callable[..., CheckResult]
SHIPPED = (shipped_folder() / "pdf-two-phase.yaml").read_bytes()
quiet = settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

CHARACTERS = "[]{}'\"#%@`~\\-?:,|>\t\r\n\x00\x85\u2028\u202e\ufeff\ud800🧪"
PIECES = """- |? |: |, |&a |*a |!x |!!str |<<: |name: |version: |type: |config: |depends_on: |condition: |ingest|gate|no|0o17
|1:30|2026-11-22|.nan|-.inf|1e999|---
|...
|stages:
|gates:
|
  |
    """
TOKENS = st.sampled_from([*CHARACTERS, *PIECES.split("|"), "| \n", "9" * 400])


def judge_file(data: bytes, path: Path, judge: Check) -> CheckResult:
    path.write_bytes(data)
    result = judge(path)
    assert (result.plan is None) == bool(result.errors)
    for problem in result.problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert len(str(problem)) < 5000
    return result


@quiet
@given(data=st.binary(max_size=400))
def test_any_bytes(data: bytes, tmp_path: Path, judge: Check) -> None:
    """Bytes as they come are no pipeline, and say so."""
    assert judge_file(data, tmp_path / "any.yaml", judge).errors


@quiet
@given(tokens=st.lists(TOKENS, max_size=40))
def test_any_tokens_of_yaml(tokens: list[str], tmp_path: Path, judge: Check) -> None:
    """What YAML is made of, in any order, gives problems whether it is read or not."""
    data = "".join(tokens).encode("utf-8", "surrogatepass")
    assert judge_file(data, tmp_path / "any.yaml", judge).errors


@quiet
@given(start=st.integers(0, len(SHIPPED)), length=st.integers(0, 30), put=st.binary(max_size=6) | TOKENS)
def test_any_bytes_in_a_right_file(start: int, length: int, put: bytes | str, tmp_path: Path, judge: Check) -> None:
    """A right pipeline with a piece replaced by anything gives a plan or errors, never both and never neither."""
    inserted = put if isinstance(put, bytes) else put.encode("utf-8", "surrogatepass")
    judge_file(SHIPPED[:start] + inserted + SHIPPED[start + length :], tmp_path / "any.yaml", judge)


@pytest.mark.parametrize("cut", range(0, len(SHIPPED), 17))
def test_a_file_cut_off_anywhere(cut: int, tmp_path: Path, judge: Check) -> None:
    """A file that was not written to its end is judged as far as it goes."""
    judge_file(SHIPPED[:cut], tmp_path / "any.yaml", judge)
