"""Stage instances: opened once per type and config, used by one thread at a time, closed in the end."""

from __future__ import annotations

import logging
import signal
from pathlib import Path
from typing import Any

import pytest
from support import Config, Shout, open_run, plan, planned

from medical_kg import StageContext, TransientError
from medical_kg.orchestration.execution import Instances
from medical_kg.orchestration.resilience import Backoff, Guard, Policy
from medical_kg.testing import FakeClock


class Counted(Shout):
    """Says when it is opened and closed."""

    log: list[str] = []  # noqa: RUF012  # each test clears it

    def open(self, ctx: Any) -> None:
        self.log.append("open")

    def close(self) -> None:
        self.log.append("close")


@pytest.fixture(autouse=True)
def _clean() -> None:
    Counted.log.clear()


def context(policy: Policy | None = None) -> tuple[StageContext, Guard]:
    ctx = StageContext("p", "x", "s", "b", "t", Config(), logging.LoggerAdapter(logging.getLogger("t"), {}))
    ctx.clock = FakeClock()
    return ctx, Guard(policy or Policy(), ctx, lambda *_: None, lambda: 0.5)


def test_an_instance_is_opened_once_and_used_again() -> None:
    """Uses one after the other share an instance of the same type and config."""
    instances, stage = Instances(), planned(Counted)
    with instances.use(stage, *context()) as first:
        pass
    with instances.use(stage, *context()) as second:
        assert second is first
    assert Counted.log == ["open"]
    instances.close()
    assert Counted.log == ["open", "close"]


def test_uses_at_the_same_time_have_instances_of_their_own() -> None:
    """An instance in use is not given to anybody else."""
    instances, stage = Instances(), planned(Counted)
    with instances.use(stage, *context()) as first, instances.use(stage, *context()) as second:
        assert first is not second


def test_another_config_has_an_instance_of_its_own() -> None:
    """Instances are kept by type and config."""
    instances = Instances()
    with instances.use(planned(Counted), *context()) as first:
        pass
    with instances.use(planned(Counted, config={"number": 9}), *context()) as second:
        assert second is not first


def test_an_instance_whose_use_raised_is_closed_and_forgotten() -> None:
    """After an error nobody gets that instance again."""
    instances, stage = Instances(), planned(Counted)
    with pytest.raises(ValueError, match="oops"), instances.use(stage, *context()):
        raise ValueError("oops")
    assert Counted.log == ["open", "close"]
    with instances.use(stage, *context()):
        assert Counted.log == ["open", "close", "open"]


def test_open_is_retried_by_the_stages_policy() -> None:
    """What may pass while opening is tried again."""
    tries: list[int] = []

    class Slow(Shout):
        def open(self, ctx: Any) -> None:
            tries.append(1)
            if len(tries) == 1:
                raise TransientError("starting")

    policy = Policy(max_attempts=2, backoff=Backoff(strategy="none"))
    with Instances().use(planned(Slow), *context(policy)):
        assert len(tries) == 2


def test_a_close_that_raises_is_reported_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """close() errors are in the log; the other instances are closed."""

    class Sticky(Shout):
        def close(self) -> None:
            raise RuntimeError("stuck")

    instances = Instances()
    for stage in (planned(Sticky), planned(Counted, config={"number": 1})):
        with instances.use(stage, *context()):
            pass
    instances.close()
    assert "stuck" in caplog.text
    assert Counted.log == ["open", "close"]


def test_a_stage_that_cannot_open_fails_the_stage_not_its_items(tmp_path: Path) -> None:
    """An error in open() is the stage's: no item is dead-lettered for it."""
    from support import WORDS, Feed

    from medical_kg.orchestration.execution import execute_stage

    class Closed(Shout):
        def open(self, ctx: Any) -> None:
            raise RuntimeError("no model")

    run = open_run(tmp_path, plan(planned(Feed), planned(Closed, ["feed"], bindings={WORDS: ("feed",)})))
    execute_stage(run, "feed")
    outcome = execute_stage(run, "shout")
    assert outcome.status == "failed"
    assert run.ledger.dead_letters(run.submission.id) == []


@pytest.mark.parametrize("error", [SystemExit("stuck"), KeyboardInterrupt("stuck"), ValueError("much " * 1_000_000)])
def test_whatever_close_raises_harms_nobody(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """What is no Exception is reported too, in bounded text, and the others are closed."""

    class Sticky(Shout):
        def close(self) -> None:
            raise error

    instances = Instances()
    for stage in (planned(Sticky), planned(Counted, config={"number": 1})):
        with instances.use(stage, *context()):
            pass
    instances.close()
    assert f"close() of stage type 'shout' failed: {type(error).__name__}: " in caplog.text
    assert len(caplog.text) < 30_000
    assert Counted.log == ["open", "close"]


def test_ctrl_c_in_close_ends_the_program() -> None:
    """A real signal goes on."""

    class Sticky(Shout):
        def close(self) -> None:
            signal.raise_signal(signal.SIGINT)

    instances = Instances()
    with instances.use(planned(Sticky), *context()):
        pass
    with pytest.raises(KeyboardInterrupt):
        instances.close()


def test_an_instance_has_a_config_of_its_own() -> None:
    """What a stage does to its config does not reach the plan, of which fingerprints are made."""
    stage = planned(Counted)
    with Instances().use(stage, *context()) as instance:
        object.__setattr__(instance.config, "number", 99)
    assert stage.config.number == 3
