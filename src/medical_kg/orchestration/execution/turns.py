"""The turns of a stage's calls, and the figures of those calls; when a stage that cannot go on now is to run again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.turns import in_turn
from medical_kg.orchestration.ledger.contract import Calls
from medical_kg.orchestration.resilience import HostTurns

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StageContext
    from medical_kg.orchestration.contract.turns import Turns
    from medical_kg.orchestration.execution.batch import BatchRun
    from medical_kg.orchestration.pipeline.plan import PlannedStage
    from medical_kg.orchestration.resilience import HostChange, HostState, Policy, Tally

LONGEST_SECONDS = 3_600.0
"""A batch that is put off again and again is taken up at least so often, unless a server asks for a longer rest."""
GIVEN_UP_AFTER_SECONDS = 86_400.0
"""How long a stage that works on whole values is put off again and again before it fails: a day."""


@dataclass(slots=True)
class Metered:
    """What a stage's calls are made with: its context, the turns its guard takes, and all turns that are taken for it."""

    ctx: StageContext
    guarded: Turns | None
    turns: HostTurns


def meter(run: BatchRun, planned: PlannedStage, on_change: Callable[[str, HostChange, HostState], None]) -> Metered:
    """Return the context of a stage, with its service ``http`` under the stage's policy."""
    policy, ctx = planned.policy, run.context(planned)
    turns = HostTurns(planned.policy_name, policy, run.ledger, run.clock, on_change)
    turns.on_wait = ctx.extend_call
    services = dict(ctx.services)
    guarded = in_turn(services, turns, by_policy=policy.takes_turns)
    ctx.services = services
    return Metered(ctx, guarded, turns)


def added(former: Calls | None, attempts: int, tally: Tally) -> Calls:
    """Return the figures of a stage's calls, with those of earlier runs that put it off."""
    base = former or Calls()
    return base.model_copy(
        update={
            "attempts": base.attempts + attempts,
            "waits": base.waits + tally.waits,
            "waited": base.waited + tally.waited,
            "refused": base.refused + tally.refused,
            "again_at": None,
        }
    )


def put_off(former: Calls | None, policy: Policy, seconds: float, now: float, *, items: bool) -> dict[str, Any] | None:
    """Return what the figures of a stage say that is put off for at least so many seconds; None: it was often enough.

    ``items``: a stage that works item by item is put off as often as its policy has attempts, so that one host that is
    gone for good does not hold up the other items for ever; what is left then are dead letters. Others are put off for a
    day, less and less often: half as long as they have been already.
    """
    base = former or Calls()
    since = now if base.put_off_since is None else base.put_off_since
    if base.put_offs >= policy.max_attempts if items else now - since >= GIVEN_UP_AFTER_SECONDS:
        return None
    again_at = now + max(seconds, min(LONGEST_SECONDS, (now - since) / 2))
    return {"put_offs": base.put_offs + 1, "put_off_since": since, "again_at": again_at}
