"""A stage with an environment gives what it gives without one: values, counts, dead letters, in every mode."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from loopback import Server, answer

from medical_kg.orchestration.api import run_ready
from medical_kg.orchestration.resilience import HostState
from medical_kg.orchestration.telemetry.events import CallRetried, Event, Events

EVERY_MODE = """
batch_size: 4
stages:
  - {{name: feed, type: odd-feed, {env} config: {{number: 6}}}}
  - {{name: shout, type: odd-shout, {env} depends_on: [feed], config: {{doing: {{w1: raise, w2: reject, w5: quit}}}}}}
  - {{name: chorus, type: odd-chorus, {env} depends_on: [shout], config: {{doing: {{w3: raise}}}}}}
  - {{name: split, type: odd-split, {env} depends_on: [feed], config: {{doing: {{w0: raise}}}}}}
  - {{name: pair, type: odd-pair, {env} depends_on: [feed], config: {{doing: {{w2: raise}}}}}}
  - {{name: handled, type: odd-handled, {env} depends_on: [feed], config: {{doing: {{w2: raise}}}}}}
  - {{name: sink, type: odd-sink, {env} depends_on: [feed], config: {{doing: {{w2: raise}}}}}}
  - {{name: tally, type: odd-tally, {env} depends_on: [chorus, split]}}
"""

STAGES = ("feed", "shout", "chorus", "split", "pair", "handled", "sink", "tally")


def summary(place: Any, report: Any) -> dict[str, Any]:
    assert report.errors == ()
    results = [place.workspace.ledger.results(batch.id) for batch in report.batches]
    return {
        "stages": [(one.stage, one.status, one.counts, one.dead_letters, one.retries) for one in report.stages],
        "letters": place.letters(report),
        "outputs": [{name: found[name].outputs for name in STAGES} for found in results],
        "fingerprints": [{name: found[name].fingerprint for name in STAGES} for found in results],
        "origins": [{name: found[name].origin for name in STAGES} for found in results],
    }


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["plain", "dagster"])
def test_every_mode_gives_in_a_process_what_it_gives_here(place: Any, engine: str) -> None:
    """Values to the byte, counts, dead letters, fingerprints and provenance are equal, on both engines."""
    isolated = summary(place, place.run(EVERY_MODE.format(env="environment: process,"), "isolated", engine=engine))
    assert "odd_stages" not in sys.modules
    plain = summary(place, place.run(EVERY_MODE.format(env=""), "plain", engine=engine))
    assert isolated == plain
    assert set(isolated["letters"]) == {"w-odd", "w0", "w1", "w2", "w3", "w5"}


def test_what_is_already_done_is_reused_without_a_worker(place: Any) -> None:
    """Adding an environment to a finished stage runs nothing again: where a stage ran is no part of its result."""
    text = "stages:\n  - {name: feed, type: odd-feed, config: {number: 2}}\n"
    text += "  - {name: shout, type: odd-shout, ENV depends_on: [feed], config: {LOG}}\n"
    log = place.root / "log"
    config = f"log: {log}, doing: {{}}"
    first = place.run(text.replace("ENV", "").replace("LOG", config))
    marks = {name: one.fingerprint for name, one in place.workspace.ledger.results(first.batches[0].id).items()}
    again = place.run(text.replace("ENV", "environment: process,").replace("LOG", config), full_refresh=True)
    assert {name: one.fingerprint for name, one in place.workspace.ledger.results(again.batches[0].id).items()} == marks


def test_a_source_skips_what_is_unchanged_wherever_it_runs(place: Any) -> None:
    """The worker asks the engine page by page; what one way of running has seen, the other skips."""
    text = "batch_size: 2\nstages:\n  - {name: feed, type: odd-feed, ENV config: {number: 3}}\n"
    isolated, plain = text.replace("ENV", "environment: process,"), text.replace("ENV", "")
    sweeps = [place.run(one).sweep for one in (isolated, isolated, plain)]
    assert [(one.unchanged, one.changed) for one in sweeps] == [(0, 3), (3, 0), (3, 0)]


def test_retries_are_counted_and_told(place: Any) -> None:
    """What may pass is retried in the worker by the stage's policy; the ledger and the events know of it."""
    (place.root / "pipelines").mkdir()
    (place.root / "pipelines" / "resilience.yaml").write_text(
        "policies:\n  twice: {max_attempts: 2, backoff: {strategy: none}}\n", encoding="utf-8"
    )
    heard: list[Event] = []
    config = f"{{doing: {{w1: pass-once, open: pass-once}}, log: {place.root / 'log'}}}"
    report = place.run(
        "stages:\n  - {name: feed, type: odd-feed}\n  - {name: shout, type: odd-shout, environment: process, "
        f"policy: twice, depends_on: [feed], config: {config}}}\n",
        events=Events([heard.append]),
    )
    shout = report.stages[1]
    assert (shout.status, shout.counts, shout.retries) == ("completed", {"upper": 3.0}, 2)
    assert [event.error for event in heard if isinstance(event, CallRetried)] == ["TransientError: busy"] * 2
    assert (place.root / "log").read_text().split() == ["open", "open", "w0", "w1", "w1", "w2", "close"]


def test_a_stage_waits_and_is_woken_by_a_signal(place: Any) -> None:
    """Waiting, the signals service in both directions, files, plugins and the workspace work from a worker."""
    from medical_kg.orchestration import resume, signal

    text = "stages:\n  - {name: feed, type: odd-feed}\n"
    text += "  - {name: gate, type: odd-gate, environment: process, depends_on: [feed]}\n"
    report = place.run(text)
    assert [stage.status for stage in report.stages] == ["completed", "waiting"]
    signal(place.workspace, report.submission.id, "open", value=True)
    report = resume(place.workspace, report.submission.id, engine="plain")
    assert [stage.status for stage in report.stages] == ["completed", "completed"], report.errors
    assert place.workspace.ledger.signals(report.batches[0].id)["passed"].value == {"by": "gate"}


def test_output_larger_than_any_pipe_passes(place: Any) -> None:
    """Values go by checkpoint, not over the channel."""
    report = place.run(
        "stages:\n  - {name: feed, type: odd-feed, environment: process, config: {number: 20, bytes_each: 200000}}\n"
        "  - {name: shout, type: odd-shout, environment: process, depends_on: [feed]}\n"
    )
    assert len(place.values(report, "shout")["upper"]) > 4_000_000


def test_what_a_worker_prints_and_logs_is_in_the_log(place: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Printing harms no result; printed lines and log records arrive with their level and stage."""
    caplog.set_level("INFO", "medical_kg")
    report = place.run(
        "stages:\n  - {name: feed, type: odd-feed}\n  - {name: shout, type: odd-shout, environment: process, "
        "depends_on: [feed], config: {doing: {w0: print}}}\n"
    )
    assert report.stages[1].counts == {"upper": 3.0}
    place.workspace.close()
    printed = [record.getMessage() for record in caplog.records if record.name == "medical_kg.worker"]
    assert {"printed w0", "written", "from a child"} <= set(printed)
    said = [record for record in caplog.records if record.getMessage() == "shouting w1"]
    assert [(one.levelname, one.name, one.stage) for one in said] == [
        ("WARNING", "medical_kg.stage.odd-shout", "shout")
    ]


def test_a_stage_is_opened_once_for_all_batches_and_closed(place: Any) -> None:
    """One worker serves every batch of a run: open() once, close() at the end."""
    log = place.root / "log"
    place.run(
        "batch_size: 1\nstages:\n  - {name: feed, type: odd-feed}\n  - {name: shout, type: odd-shout, "
        f"environment: process, depends_on: [feed], config: {{log: {log}}}}}\n"
    )
    assert log.read_text().split() == ["open", "w0", "w1", "w2", "close"]


def test_what_a_stage_does_to_its_process_stays_there(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment variables and the working directory of the engine are its own."""
    import os

    here = Path.cwd()
    place.run(
        "stages:\n  - {name: feed, type: odd-feed}\n  - {name: shout, type: odd-shout, environment: process, "
        "depends_on: [feed], config: {doing: {w0: change}}}\n"
    )
    assert (Path.cwd(), "CHANGED_BY_A_PLUGIN" in os.environ) == (here, False)


BROKEN = """
stages:
  - {{name: feed, type: odd-feed, config: {{number: 4}}}}
  - {{name: shout, type: odd-shout, environment: process, policy: careful, depends_on: [feed],
     config: {{log: {log}, doing: {{w1: reject, w2: pass-once}}}}}}
"""

CAREFUL = """policies:
  careful:
    max_attempts: 3
    backoff: {strategy: none}
    circuit_breaker: {failure_threshold: 1, recovery_timeout: 1.0}
    rate_limit: {rate_limit_per_second: 100}
"""


def test_a_worker_takes_its_turns_at_the_engine(place: Any) -> None:
    """What a worker asks is counted and refused as here: its batch is put off, and what was done is not done again."""
    log = place.root / "log"
    place.write("")
    (place.root / "pipelines" / "resilience.yaml").write_text(CAREFUL)
    report = place.run(BROKEN.format(log=log))
    [batch] = report.batches
    assert (batch.status, place.letters(report)) == ("pending", {"w-odd": ("Rejected", "it is odd")})
    [shout] = [one for one in report.stages if one.stage == "shout"]
    assert (shout.status, shout.calls.attempts, shout.calls.refused, shout.calls.put_offs) == ("postponed", 3, 2, 1)
    assert shout.calls.waits >= 1
    assert place.workspace.ledger.host("careful", "").open_until is not None
    while not place.workspace.ledger.ready():
        time.sleep(0.05)
    report = run_ready(place.workspace, report.submission.id, engine="plain")
    assert report.submission.status == "completed"
    assert place.letters(report)["w1"] == ("ItemRejected", "w1 is not wanted")
    done = [line for line in log.read_text().split() if line.startswith("w")]
    assert done == ["w0", "w1", "w2", "w2", "w3"]
    assert [one.calls.attempts for one in report.stages if one.stage == "shout"] == [5]


@pytest.mark.parametrize("environment", ["", "environment: process,"])
@pytest.mark.parametrize("pace", [None, 20])
def test_a_services_own_pace_is_kept_at_the_engine(
    settings: Any, server: Server, pace: int | None, environment: str
) -> None:
    """By a worker as here, under a policy that asks for no turns; without a pace nothing is kept of the host."""
    server.routes["/x"] = answer(b"ok")
    place = settings(f'[http]\nallow_hosts = ["{server.host}"]\n')
    config = f"{{url: '{server.url('/x')}', pace: {'null' if pace is None else pace}}}"
    report = place.run(
        "stages:\n  - {name: feed, type: odd-feed}\n"
        f"  - {{name: asking, type: odd-asking, {environment} depends_on: [feed], config: {config}}}\n"
    )
    [asking] = [one for one in report.stages if one.stage == "asking"]
    assert (asking.status, len(server.seen)) == ("completed", 3)
    assert asking.calls.waits == (0 if pace is None else 2)
    assert (place.workspace.ledger.host("*", server.host) == HostState()) == (pace is None)
