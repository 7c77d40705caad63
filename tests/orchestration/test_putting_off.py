"""A batch that is put off goes on by itself, on every engine and on either database."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from support import Feed, make_workspace

from medical_kg import TransientError
from medical_kg.orchestration import api
from medical_kg.orchestration.contract import Page
from medical_kg.testing import FakeClock

FLAKY = """\
name: flaky
version: "1"
stages:
  - {name: feed, type: feed, policy: careful, config: {number: 2}}
  - {name: shout, type: shout, depends_on: [feed]}
"""

CAREFUL = """\
policies:
  default: {}
  careful:
    max_attempts: 5
    backoff: {strategy: none}
    circuit_breaker: {failure_threshold: 2, recovery_timeout: 600}
"""


class Flaky(Feed):
    """Is down for the first calls."""

    down: ClassVar[int]

    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        type(self).down -= 1
        if type(self).down >= 0:
            raise TransientError("down")
        return super().pull(ctx, cursor, limit)


def test_a_batch_that_is_put_off_goes_on_by_itself(engine: api.EngineName, tmp_path: Path) -> None:
    """It is pending and not ready until the breaker lets a trial through; what depends on it is skipped till then."""
    Flaky.down = 3
    clock = FakeClock()
    workspace = make_workspace(tmp_path, FLAKY, clock=clock, flaky=Flaky)
    (tmp_path / "pipelines" / "resilience.yaml").write_text(CAREFUL)
    report = api.submit(workspace, "flaky", input="x", engine=engine)
    for failed in (2, 3):
        [batch] = report.batches
        [feed] = report.stages
        assert (report.submission.status, batch.status, batch.ready_at) == ("pending", "pending", clock.now() + 600)
        assert (feed.status, feed.calls.attempts, feed.calls.put_offs) == ("postponed", failed, failed - 1)
        assert report.errors == ()
        assert api.run_ready(workspace, report.submission.id, engine=engine).batches == report.batches
        clock.advance(600)
        report = api.run_ready(workspace, report.submission.id, engine=engine)
    assert (report.submission.status, [one.status for one in report.stages]) == ("completed", ["completed"] * 2)
    workspace.close()
