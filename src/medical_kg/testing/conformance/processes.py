"""Rules that need processes of their own: what an import takes, equal output in each, and surviving a kill."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from medical_kg.testing.conformance.trial import Trial
from medical_kg.testing.conformance.values import footprint
from medical_kg.testing.fresh import Job, NotPortable, Work, answer_of, job_of, run_fresh
from medical_kg.testing.survival import STAGE, run_around

HEAVY = ("dagster", "medical_kg.cli")
"""What no plugin's module may import."""

PACK = ("commands", "embedders", "formats", "sources", "stages", "stores")
"""The folders of the built-in pack; their ``contract`` modules are for everybody."""

Record = Callable[[str, object], None]


class ProcessRules:
    """A stage is cheap to import, gives the same in every process, and outlives one that is killed."""

    def test_import_is_cheap(self, trial: Trial, record_property: Record) -> None:
        """Importing it imports no Dagster, no command line and nothing of the built-in pack."""
        answer = _answer(trial, "import")
        record_property("modules imported", len(answer["modules"]))
        record_property("CPU seconds of the import", round(answer["seconds"], 3))
        # The report of a run with -rP or -s shows it; no test of ours asserts a time.
        print(f"{trial.case}: {len(answer['modules'])} modules, {answer['seconds']:.3f} s of CPU")  # noqa: T201
        heavy = [name for name in answer["modules"] if _is_heavy(name, trial.cls.__module__)]
        assert heavy == [], trial.says(
            "a cheap import",
            f"importing {trial.cls.__module__} imports {', '.join(heavy[:5])}",
            "import the contract (medical_kg, medical_kg.documents, a door's contract module) at the top, the rest "
            "inside functions; get other plugins by ctx.plugins.get(door, name)",
        )

    def test_every_process_gives_the_same_where_cacheable(self, trial: Trial) -> None:
        """With another hash seed, in another process, a stage that claims ``cacheable`` gives the same bytes."""
        if not trial.metadata.cacheable:
            pytest.skip(f"{trial.case} does not claim to be cacheable")
        first, second = (_answer(trial, "outputs", environment={"PYTHONHASHSEED": seed}) for seed in ("1", "2"))
        differing = [name for name in first["outputs"] if first["outputs"][name] != second["outputs"][name]]
        assert differing == [], trial.says(
            "equal output in every process",
            f"{', '.join(differing)} differs between two processes",
            "sort what comes from a set, leave out time and chance; or do not claim cacheable",
        )

    def test_it_survives_a_kill_before_its_commit(self, trial: Trial) -> None:
        """Killed when its work is done but not committed, it is run again, and ends as if nothing had happened."""
        wanted, before, found, after = self._killed(trial, "before")
        assert f"StageStarted {_name(trial)}" in found["events"]
        _same_end(trial, wanted, found)
        if trial.case.repeatable and "workspace" not in trial.metadata.needs:
            assert found["results"] == wanted["results"], trial.says(
                "surviving a kill", "the resumed run gave something else than one that was not killed", REPEATABLE
            )
        assert after == before, trial.says(
            "surviving a kill",
            f"an unbroken run leaves {before} in the workspace, one that was killed and resumed {after}",
            "replace what an earlier call wrote, in one transaction",
        )

    def test_it_survives_a_kill_after_its_commit(self, trial: Trial) -> None:
        """Killed right after its commit, its result is used and its work is not done again."""
        wanted, _, found, _ = self._killed(trial, "after")
        _same_end(trial, wanted, found)
        waits = any(result["status"] == "waiting" for result in wanted["results"].values())
        if trial.case.repeatable and "workspace" not in trial.metadata.needs:
            assert found["results"] == wanted["results"], trial.says(
                "surviving a kill", "the resumed run gave something else than one that was not killed", REPEATABLE
            )
        reused = f"StageReused {_name(trial)}" in found["events"]
        assert reused or waits, trial.says(
            "surviving a kill",
            "the finished stage was run again after the process was killed",
            "let the config dump as the same JSON in every process (no sets, no time, no chance in it)",
        )

    @staticmethod
    def _killed(trial: Trial, when: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Return how an unbroken run ends and what it leaves, and the same of a killed and resumed one."""
        broken, unbroken = trial.new_folder(), trial.new_folder()
        job = _job(trial, "pipeline", broken, when)
        ended = run_fresh(job)
        if ended.returncode != -signal.SIGKILL:
            trial.broke("surviving a kill", f"the process ended by itself:\n{_tail(ended.stderr)}", "see its message")
        wanted = run_around(trial.case, unbroken)
        if wanted["errors"]:
            trial.broke("surviving a kill", f"in an engine it fails: {wanted['errors'][0]}", "see its message")
        found = run_around(trial.case, broken)
        return wanted, dict(footprint(unbroken / "workspace")), found, dict(footprint(broken / "workspace"))


REPEATABLE = "give equal output for equal input, or say repeatable=False in the case"


def _same_end(trial: Trial, wanted: dict[str, Any], found: dict[str, Any]) -> None:
    one, other = ({name: answer[name] for name in ("status", "errors", "dead_letters")} for answer in (wanted, found))
    assert other == one, trial.says(
        "surviving a kill", f"an unbroken run ends {one}, a killed and resumed one {other}", REPEATABLE
    )


def _name(trial: Trial) -> str:
    return str(trial.case.more.get("stage_name") or STAGE)


def _is_heavy(name: str, own: str) -> bool:
    if name == own or own.startswith(f"{name}."):
        return False
    if any(name == heavy or name.startswith(f"{heavy}.") for heavy in HEAVY):
        return True
    package, _, rest = name.partition(".")
    folder, _, module = rest.partition(".")
    return package == "medical_kg" and folder in PACK and bool(module) and module != "contract"


def _job(trial: Trial, work: Work, folder: Any, kill: str = "") -> Job:
    try:
        return job_of(trial.case, work, folder, kill=kill)
    except NotPortable as reason:
        pytest.skip(str(reason))


def _answer(trial: Trial, work: Work, environment: dict[str, str] | None = None) -> dict[str, Any]:
    job = _job(trial, work, trial.new_folder())
    ended = run_fresh(job, environment=environment)
    if ended.returncode:
        trial.broke("another process", f"it ended with:\n{_tail(ended.stderr)}", "let the class be importable")
    return answer_of(job)


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-8:])
