"""What a worker's death costs: the one call it was making, in item mode; the stage, in the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from medical_kg.orchestration.execution import isolated
from medical_kg.orchestration.isolation import process

STAGE = """
stages:
  - {{name: feed, type: odd-feed, config: {{number: {number}}}}}
  - {{name: odd, type: odd-{type}, environment: {env}, depends_on: [feed], {policy} config: {{{config}}}}}
"""


def run(place: Any, doing: str, **more: Any) -> Any:
    """Run feed and one odd stage; ``doing`` says what goes wrong where."""
    given = {"number": 6, "type": "shout", "env": "process", "policy": "", **more}
    config = f"doing: {{{doing}}}, log: {place.root / 'log'}"
    return place.run(STAGE.format(config=config, **given))


def calls(place: Any) -> list[str]:
    return (place.root / "log").read_text().split()


@pytest.fixture
def policies(place: Any) -> None:
    write_policies(place)


def write_policies(place: Any) -> None:
    folder = place.root / "pipelines"
    folder.mkdir(exist_ok=True)
    (folder / "resilience.yaml").write_text(
        "policies:\n  default: {}\n  brief: {timeout_seconds: 1}\n"
        "  again: {timeout_seconds: 1, max_attempts: 2, backoff: {strategy: none}}\n",
        encoding="utf-8",
    )


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("segfault", "by SIGSEGV"),
        ("exit", "with exit code 3"),
        ("kill", "by SIGKILL"),
        ("complain", "with exit code 4"),
    ],
)
def test_an_item_that_kills_its_process_fails_alone(place: Any, what: str, says: str) -> None:
    """The guilty item is a dead letter that says how the worker died; what was done before is not done again."""
    report = run(place, f"w2: {what}")
    letters = place.letters(report)
    assert set(letters) == {"w-odd", "w2"}
    assert letters["w2"][0] == "WorkerDied"
    assert f"it ended {says}" in letters["w2"][1]
    assert report.stages[1].counts == {"upper": 5.0}
    assert b'"WORD 0"' in place.values(report, "odd")["upper"]
    assert calls(place) == ["open", "w0", "w1", "w2", "open", "w3", "w4", "w5", "close"]


def test_the_last_words_of_a_worker_are_in_the_message(place: Any) -> None:
    """What the worker printed before it died stands in the dead letter."""
    report = run(place, "w2: complain")
    assert "something is wrong with w2" in place.letters(report)["w2"][1]


def test_what_failed_before_a_crash_is_reported_once(place: Any) -> None:
    """Rejected and failed items of a worker that dies later keep their own errors, and are not tried again."""
    report = run(place, "w0: reject, w1: raise, w3: segfault, w5: segfault")
    letters = place.letters(report)
    assert {item: error for item, (error, _) in letters.items()} == {
        "w-odd": "Rejected",
        "w0": "ItemRejected",
        "w1": "ValueError",
        "w3": "WorkerDied",
        "w5": "WorkerDied",
    }
    assert letters["w1"][1] == "w1 is bad"
    assert [call for call in calls(place) if call.startswith("w")] == ["w0", "w1", "w2", "w3", "w4", "w5"]


@pytest.mark.parametrize(
    ("type_", "counts"),
    [
        ("split", {"halves": 10.0}),
        ("pair", {"lower": 5.0, "lengths": 5.0}),
        ("sink", {}),
        ("chorus", {"upper": 5.0}),
        ("handled", {"letters": 30.0}),
    ],
)
def test_every_shape_of_output_survives_a_crash(place: Any, type_: str, counts: dict[str, float]) -> None:
    """Results of calls that were done are kept, in whatever shape the stage gives them."""
    report = run(place, "w2: segfault", type=type_)
    assert report.stages[1].counts == counts
    assert place.letters(report)["w2"][0] == "WorkerDied"
    done = [call for call in calls(place) if call in ("w4", "w5")]
    assert done == ["w4", "w5"]


@pytest.mark.slow
def test_values_after_a_crash_are_those_of_a_run_without(place: Any) -> None:
    """The stored bytes are the same as where the bad item is refused politely."""
    for type_ in ("split", "pair", "chorus", "handled"):
        crashed = place.values(run(place, "w2: segfault", type=type_), "odd")
        (place.root / "log").unlink()
        refused = place.values(run(place, "w2: reject", type=type_), "odd")
        (place.root / "log").unlink()
        assert crashed == refused


@pytest.mark.parametrize(("type_", "at"), [("tally", "run"), ("shout", "open")])
def test_a_crash_outside_of_items_fails_the_stage(place: Any, type_: str, at: str) -> None:
    """Where no item is to blame, the stage fails with the worker's end as its reason; the worker is not restarted."""
    text = f"""
stages:
  - {{name: feed, type: odd-feed}}
  - {{name: shout, type: odd-shout, depends_on: [feed]}}
  - {{name: odd, type: odd-{type_}, environment: process, depends_on: [shout],
     config: {{log: {place.root / "log"}, doing: {{{at}: segfault}}}}}}
"""
    report = place.run(text)
    assert report.stages[2].status == "failed"
    assert "WorkerDied: the worker of environment 'process' died: it ended by SIGSEGV" in report.errors[0]
    assert calls(place).count(at) == 1


def test_a_stream_that_crashes_fails_its_stage(place: Any) -> None:
    """A page that kills the worker fails the batch, and a later run takes it up again."""
    text = "stages:\n  - {name: feed, type: odd-feed, environment: process, config: {doing: {pull: segfault}}}\n"
    assert "SIGSEGV" in place.run(text).errors[0]


def test_open_that_raises_fails_the_stage(place: Any) -> None:
    """An error in open() is the stage's, under its own name, as without an environment."""
    report = run(place, "open: raise")
    assert (report.stages[1].status, list(place.letters(report))) == ("failed", ["w-odd"])
    assert "ValueError: open is bad" in report.errors[0]


def test_a_stage_whose_every_call_kills_is_given_up(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After many deaths in a row the stage fails, so that a broken library does not cost a worker per item."""
    monkeypatch.setattr(isolated, "MAX_DEATHS", 3)
    report = run(place, ", ".join(f"w{n}: exit" for n in range(6)))
    assert report.stages[1].status == "failed"
    assert "3 workers in a row died" in report.errors[0]


@pytest.mark.slow
@pytest.mark.usefixtures("policies")
def test_an_endless_call_is_ended_at_its_time_limit(place: Any) -> None:
    """The worker is killed half a second after the policy's timeout; the item is a dead letter, the rest goes on."""
    report = run(place, "w2: loop", policy="policy: brief,")
    assert place.letters(report)["w2"][0] == "StageTimeout"
    assert "longer than 1.5 s, the limit of environment 'process'" in place.letters(report)["w2"][1]
    assert report.stages[1].counts == {"upper": 5.0}


@pytest.mark.slow
@pytest.mark.usefixtures("policies")
def test_a_call_ended_at_its_limit_has_used_an_attempt(place: Any) -> None:
    """What hangs once and works the second time is retried by the policy, and counted as a retry."""
    report = run(place, "w2: hang-once", policy="policy: again,")
    assert (report.stages[1].counts, report.stages[1].retries) == ({"upper": 6.0}, 1)
    assert calls(place) == ["open", "w0", "w1", "w2", "open", "w2", "w3", "w4", "w5", "close"]


@pytest.mark.slow
def test_a_batch_stage_that_hangs_fails_at_the_environments_limit(settings: Any) -> None:
    """The environment's own timeout_seconds counts, whatever the policy says."""
    place = settings("[environments.strict]\ntimeout_seconds = 0.5\n")
    report = place.run(
        "stages:\n  - {name: feed, type: odd-feed}\n  - {name: shout, type: odd-shout, depends_on: [feed]}\n"
        "  - {name: odd, type: odd-tally, environment: strict, depends_on: [shout], config: {doing: {run: loop}}}\n"
    )
    assert "StageTimeout: the worker was ended: the call took longer than 0.5 s" in report.errors[0]


@pytest.mark.slow
@pytest.mark.parametrize("type_", ["shout", "chorus"])
def test_a_hungry_item_fails_alone(settings: Any, type_: str) -> None:
    """An item that uses up the memory limit is a dead letter that names the limit; the engine is not touched."""
    place = settings("[environments.small]\nmemory_mb = 400\n")
    report = run(place, "w2: hog", env="small", type=type_)
    assert place.letters(report)["w2"] == (
        "WorkerDied",
        "the worker of environment 'small' died: it used up memory_mb=400 of environment 'small'",
    )
    assert report.stages[1].counts == {"upper": 5.0}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="a process's memory is looked up in /proc")
def test_memory_the_kernel_does_not_refuse_is_seen(settings: Any) -> None:
    """Shared memory is under no limit of the system; the engine sees it and ends the worker."""
    place = settings("[environments.small]\nmemory_mb = 200\n")
    report = run(place, "w2: share", env="small")
    assert "memory_mb=200" in place.letters(report)["w2"][1]
    assert report.stages[1].counts == {"upper": 5.0}


def test_a_run_that_is_over_kills_the_workers_still_at_work(place: Any) -> None:
    """Closing the instances ends a worker in the midst of its work, and starts no new one."""
    from medical_kg.orchestration.contract.errors import StageError
    from medical_kg.orchestration.execution import Instances
    from medical_kg.orchestration.pipeline.catalog import load_plan

    path = place.write("stages:\n  - {name: feed, type: odd-feed, environment: process}\n")
    workspace = place.workspace
    plan = load_plan(path, installation=workspace.installation, environments=workspace.environments)
    instances = Instances()
    with instances.worker(plan.stages[0]):
        pass
    threading.Timer(0.2, instances.close).start()
    asked = {"do": "describe", "type": "odd-feed"}
    with pytest.raises(process.Died, match="SIGKILL"), instances.worker(plan.stages[0]) as worker:  # noqa: PT012  # until it dies
        while worker.ask(asked):
            pass
    with pytest.raises(StageError, match="has been stopped"), instances.worker(plan.stages[0]):
        pass


ENGINE = """
import sys
from pathlib import Path
from medical_kg.orchestration import Workspace, submit
sys.path[:0] = {path!r}
submit(Workspace(Path({root!r})), "odd", engine={engine!r})
"""


def start(place: Any, text: str, engine: str) -> subprocess.Popen[bytes]:
    place.write(text)
    path = [one for one in sys.path if one.endswith(("isolation", "site"))]
    code = textwrap.dedent(ENGINE.format(path=path, root=str(place.root), engine=engine))
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def until(holds: Any) -> bool:
    """Wait for something that will be so; the limit only ends a test that has failed."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return False


def workers_of(root: Path) -> list[int]:
    """The worker processes of a workspace, by their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes()
            dead = (entry / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        except (OSError, ValueError):
            continue
        if b"bootstrap.py" in words and str(root).encode() in words and not dead:
            found.append(int(entry.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("engine", ["plain", "dagster"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_engine(place: Any, engine: str, how: signal.Signals) -> None:
    """Neither kill -9 nor Ctrl-C of the engine leaves a worker behind, not even one in an endless loop."""
    text = STAGE.format(
        number=2, type="shout", env="process", policy="", config=f"doing: {{w1: loop}}, log: {place.root}/log"
    )
    running = start(place, text, engine)
    try:
        assert until(lambda: (place.root / "log").exists() and "w1" in calls(place))
        assert workers_of(place.root)
        os.kill(running.pid, how)
        assert until(lambda: running.poll() is not None)
        assert until(lambda: not workers_of(place.root))
    finally:
        running.kill()
        running.wait()
