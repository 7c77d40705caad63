"""The example that waits for a person, through the command line: each step a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "medical-kg-approval"


@pytest.fixture(scope="module")
def fresh(make_fresh: Callable[..., Any]) -> Any:
    """An environment with the example and two texts to approve of."""
    fresh = make_fresh()
    fresh.install(str(EXAMPLE))
    (fresh.folder / "documents").mkdir()
    for number in (1, 2):
        text = f"Title {number}\n\nWhat stands in text {number} is for a person to judge.\n"
        (fresh.folder / "documents" / f"text{number}.txt").write_text(text, encoding="utf-8")
    return fresh


@pytest.fixture
def pipeline(fresh: Any, request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """The example's pipeline with other words in the stage's config, under a name of its own."""

    def write(**config: Any) -> str:
        given = yaml.safe_load((EXAMPLE / "pipelines" / "approval.yaml").read_text(encoding="utf-8"))
        given["name"] = request.node.name.replace("[", "_").strip("]")
        stage = next(stage for stage in given["stages"] if stage["type"] == "approval")
        stage["config"] |= config
        path = fresh.folder / f"{given['name']}.yaml"
        path.write_text(yaml.safe_dump(given), encoding="utf-8")
        return str(path)

    return write


WAITING = 3
"""The exit code of a run that ends waiting."""


def start(fresh: Any, pipeline: str, code: int = WAITING) -> tuple[str, dict[str, Any]]:
    fresh.run("medical-kg", "run", pipeline, "--input", "documents", "--engine", "plain", code=code)
    name = Path(pipeline).stem
    (submission,) = [one for one in fresh.json("submissions", "list") if one["pipeline"] == name]
    return submission["id"], stages(fresh, submission["id"])


def stages(fresh: Any, ident: str) -> dict[str, Any]:
    return {stage["stage"]: stage for stage in fresh.json("submissions", "show", ident)["stages"]}


def test_a_yes_from_another_process_lets_it_go_on(fresh: Any, pipeline: Callable[..., str]) -> None:
    """The run ends waiting with nothing indexed; told from outside and resumed, it ends done, saying who it was."""
    ident, before = start(fresh, pipeline())
    assert before["approval"]["status"] == "waiting"
    assert "index" not in before or before["index"]["status"] != "completed"
    assert "go on with" in fresh.run("medical-kg", "submissions", "signal", ident, "approved", "true")
    fresh.run("medical-kg", "submissions", "resume", ident)
    after = stages(fresh, ident)
    assert {name: stage["status"] for name, stage in after.items()} == dict.fromkeys(after, "completed")
    assert after["approval"]["counts"] == {"approved": 2, "passed unseen": 0}
    assert after["index"]["counts"]["documents"] == 2


def test_a_no_fails_the_batch_and_a_change_of_mind_is_heard(fresh: Any, pipeline: Callable[..., str]) -> None:
    """A refusal fails the batch with its words; resumed after a yes, it goes through."""
    ident, _ = start(fresh, pipeline())
    fresh.run("medical-kg", "submissions", "signal", ident, "approved", "false")
    said = fresh.run("medical-kg", "submissions", "resume", ident, code=1)
    assert "did not approve of the batch's 2 documents" in said
    fresh.run("medical-kg", "submissions", "signal", ident, "approved", "true")
    fresh.run("medical-kg", "submissions", "resume", ident)
    assert stages(fresh, ident)["index"]["status"] == "completed"


@pytest.mark.parametrize(("on_timeout", "status"), [("fail", "failed"), ("continue", "completed")])
def test_when_nobody_speaks_the_deadline_decides(
    fresh: Any, pipeline: Callable[..., str], on_timeout: str, status: str
) -> None:
    """Past its deadline the batch fails, or passes unseen, as its config says."""
    path = pipeline(deadline_seconds=0.001, on_timeout=on_timeout)
    _, after = start(fresh, path, code=int(status == "failed"))
    assert after["approval"]["status"] == status
    if status == "completed":
        assert after["approval"]["counts"] == {"approved": 0, "passed unseen": 2}
        assert after["index"]["status"] == "completed"
