"""The program that runs a stage in a process of its own, tried in this one."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import pytest
from lying_stages import Feed, Item, Replaces, given

from medical_kg.testing import StageCase
from medical_kg.testing.fresh import NotPortable, answer_of, job_of, locate, main, run_fresh
from medical_kg.testing.survival import run_around


def done(case: StageCase, work: str, folder: Path) -> dict[str, object]:
    job = job_of(case, work, folder)  # type: ignore[arg-type]  # one of its words
    (folder / "job").write_bytes(pickle.dumps(job))
    main(str(folder / "job"))
    return answer_of(job)


def test_outputs(tmp_path: Path) -> None:
    """A stage run elsewhere gives the bytes it gives here."""
    answer = done(StageCase(Item, reads={"words": given()}), "outputs", tmp_path)
    lines = bytes.fromhex(answer["outputs"]["out"]).decode().splitlines()  # type: ignore[index]  # of JSON
    assert [json.loads(line)["text"] for line in lines] == ["ONE", "TWO", "THREE", "FOUR"]
    assert answer["counts"] == {"out": 4.0}


def test_outputs_of_streams_and_of_stages_with_a_workspace(tmp_path: Path) -> None:
    """A stream gives its first page; a workspace is the job's folder."""
    assert done(StageCase(Feed, more={"limit": 3, "cursor": None}), "outputs", tmp_path)["counts"] == {"words": 3.0}
    assert done(StageCase(Replaces, reads={"words": given()}), "outputs", tmp_path)["counts"] == {"tally": 1.0}
    assert (tmp_path / "words.db").exists()


def test_imports(tmp_path: Path) -> None:
    """What is imported already costs nothing more."""
    assert done(StageCase(Item), "import", tmp_path)["modules"] == []


def test_pipelines(tmp_path: Path) -> None:
    """A pipeline around a stage ends like any, twice: the second time there is nothing left to do."""
    case = StageCase(Item, reads={"words": given()})
    answer = done(case, "pipeline", tmp_path)
    assert answer["status"] == "completed"
    assert [name for name in answer["results"]] == ["1 gives-0", "1 under-test"]  # type: ignore[attr-defined]  # noqa: C416
    again = run_around(case, tmp_path)
    assert (again["results"], again["events"]) == (answer["results"], [])


def test_batches_of_a_stream(tmp_path: Path) -> None:
    """A stream is run to its end, page by page."""
    answer = run_around(StageCase(Feed, more={"limit": 3}), tmp_path)
    assert sorted(answer["results"]) == ["1 under-test", "2 under-test"]


@pytest.mark.parametrize(("when", "committed"), [("before", False), ("after", True)])
def test_the_end_comes_before_or_after_the_commit(when: str, committed: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Where the process would be killed, its commit is not, or is, in the ledger."""

    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    case = StageCase(Item, reads={"words": given()})
    with pytest.raises(Killed):
        run_around(case, tmp_path, kill=when, die=die)
    events = run_around(case, tmp_path)["events"]
    assert ("StageStarted under-test" in events) != committed


def test_a_module_on_no_path_is_loaded_from_its_file(tmp_path: Path) -> None:
    """As pytest imports tests, so does the other process."""
    (tmp_path / "on_no_path.py").write_text("class Outer:\n    class Inner:\n        pass\n")
    found = locate("on_no_path", str(tmp_path / "on_no_path.py"), "Outer.Inner")
    assert found.__qualname__ == "Outer.Inner"
    del sys.modules["on_no_path"]
    with pytest.raises(ImportError, match="is no module of Python"):
        locate("on_no_path", str(tmp_path / "on_no_path.txt"), "Outer")


def test_another_process(tmp_path: Path) -> None:
    """It gets the same path and an environment as asked for; what it raises is in its error output."""
    job = job_of(StageCase(Item, {"times": "many"}, {"words": given()}), "outputs", tmp_path / "job")
    ended = run_fresh(job, environment={"PYTHONHASHSEED": "1"})
    assert ended.returncode == 1
    assert "times" in ended.stderr


def test_a_class_without_a_file(tmp_path: Path) -> None:
    """A class made in no file cannot be found by another process."""
    made = type("Made", (Item,), {"__module__": "builtins"})
    with pytest.raises(NotPortable, match="Made of builtins can be imported by no other process"):
        job_of(StageCase(made), "import", tmp_path)
