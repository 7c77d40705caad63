"""Running a stage in a worker process: what it reads and gives passes by checkpoint, what it says is heard here.

A worker that dies takes with it the call that it was making and nothing else. In item mode that call becomes a failure
of its item and a new worker goes on with the rest; otherwise the stage fails. A call that is ended at its time limit
has used up one attempt of its policy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from medical_kg.orchestration.contract import Attachment, Condition, Waiting
from medical_kg.orchestration.contract.errors import LedgerError, StageError, StageTimeout, WorkerDied
from medical_kg.orchestration.execution.failing import Failure, PutOff
from medical_kg.orchestration.execution.pulling import meet, pages_of
from medical_kg.orchestration.execution.remembering import arrived, mark_of, sent
from medical_kg.orchestration.execution.storing import Made
from medical_kg.orchestration.execution.sweeping import Swept
from medical_kg.orchestration.isolation.board import Call, Remains
from medical_kg.orchestration.isolation.environments import asked_type
from medical_kg.orchestration.isolation.errors import rebuilt, told
from medical_kg.orchestration.isolation.logs import log
from medical_kg.orchestration.isolation.process import Died
from medical_kg.orchestration.ledger.contract import OutputRef
from medical_kg.orchestration.resilience import Outcome

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import Signals, StageContext
    from medical_kg.orchestration.execution.batch import BatchRun
    from medical_kg.orchestration.execution.turns import Metered
    from medical_kg.orchestration.isolation import RemoteStageType
    from medical_kg.orchestration.isolation.channel import Message
    from medical_kg.orchestration.ledger.keeping import ItemResult
    from medical_kg.orchestration.pipeline.plan import PlannedStage
    from medical_kg.orchestration.resilience import OnRetry

GRACE_SECONDS = 0.5
"""How long past its policy's timeout a call may go on before its worker is killed: a stage that looks at the time ends
by itself, and tells more."""
MAX_DEATHS = 100
"""After so many deaths in a row, with no call done in between, it is the stage that is broken, not its items."""

Refs = Mapping[str, list[OutputRef]]


def request_of(do: str, type_: RemoteStageType, planned: PlannedStage, ctx: StageContext) -> dict[str, Any]:
    """Return what every request to a worker says of a stage; ``do`` is what is asked for."""
    ids = ("pipeline", "stage", "submission_id", "batch_id", "tenant", "sequence", "timed_out")
    return {
        "do": do,
        "type": asked_type(type_),
        "config": planned.config.given,
        "context": {name: getattr(ctx, name) for name in ids} | {"input": dict(ctx.input)},
        "conditions": {name: one.model_dump(mode="json") for name, one in ctx.conditions.items()},
        "log_level": ctx.logger.getEffectiveLevel(),
    }


class Work:
    """One stage's work in workers, one after the other.

    Args:
        run, planned: the batch and the stage.
        metered: the stage's context and turns.
        retried: told of each retry.
        mark: see ``remembering.mark_till_done``.
        recalls: whether results of single items may be there already.
        may_put_off: whether items may be put off.
    """

    def __init__(
        self,
        run: BatchRun,
        planned: PlannedStage,
        metered: Metered,
        retried: OnRetry,
        mark: str,
        *,
        recalls: bool,
        may_put_off: bool,
    ) -> None:
        """Make what outlives a worker."""
        self._batch_run, self._planned, self._ctx, self._retried = run, planned, metered.ctx, retried
        self._turns, self._mark, self._recalls, self._may_put_off = metered.turns, mark, recalls, may_put_off
        self._type = cast("RemoteStageType", planned.type)
        self._remains = Remains(self._type.host.root)
        self._used: dict[tuple[int, int], int] = {}
        self._deaths, self._noted = 0, 0
        self._recalled: Mapping[str, ItemResult] | None = None

    @property
    def attempts(self) -> int:
        """How many calls were made."""
        return self._remains.board.attempts

    def close(self) -> None:
        """Let go of what outlives a worker."""
        self._remains.close()

    def until_done(self, refs: Refs) -> Made:
        """Run the stage and return what came of it.

        Raises:
            EnvironmentBroken: no worker can be had.
            WorkerDied: it died outside of any item's call.
            Exception: what the stage raised, under the name of its class.
        """
        request = self._request(refs)
        while True:
            request["used"] = [[*place, count] for place, count in self._used.items()]
            try:
                with self._batch_run.instances.worker(self._planned) as worker:
                    answer = worker.ask(
                        request, self._remains.fds, hear=self._hear, overdue=self._overdue, watched=True
                    )
                    if error := answer.get("error"):
                        raise rebuilt(error)
                    return _made(answer)
            except Died as death:
                self._bury(death)

    def _request(self, refs: Refs) -> dict[str, Any]:
        run, planned = self._batch_run, self._planned
        return request_of("run", self._type, planned, self._ctx) | {
            "policy": planned.policy.model_dump(mode="json"),
            "reads": {name: [ref.model_dump() for ref in found] for name, found in refs.items()},
            "cursor": run.batch.cursor,
            "limit": run.submission.batch_size,
            "most_pages": pages_of(run, planned.name),
            "leave_out": sorted(run.ledger.forgotten_roots(run.submission.tenant)),
            "mark": mark_of(planned),
            "mark_till_done": self._mark,
            "may_put_off": self._may_put_off,
        }

    @property
    def _limit(self) -> float | None:
        """Seconds one attempt may take before the worker is killed."""
        policy = self._planned.policy.timeout_seconds
        usual = None if policy is None else policy + GRACE_SECONDS
        return self._type.host.environment.timeout_seconds or usual

    def _overdue(self) -> str | None:
        limit, call = self._limit, self._remains.board.running()
        if limit is None or call is None or time.monotonic() - call.started <= limit:
            return None
        return f"the call took longer than {limit:g} s, the limit of environment {self._type.environment!r}"

    def _hear(self, said: Message) -> Message | None:
        if record := said.get("log"):
            log(record)
        elif call := said.get("retried"):
            self._retried(call["attempt"], call["delay"], rebuilt(call["error"]))
        elif said.get("signals"):
            return self._answer(lambda: _ANSWERS[said["signals"]](self._ctx.signals, said))
        elif "turn" in said:
            return self._answer(lambda: self._taken(said["turn"], said["per_second"]))
        elif "over" in said:
            return self._answer(lambda: self._over(said["over"], Outcome(*said["outcome"])))
        elif "recall" in said:
            return {"answer": self._recall(said["recall"])}
        elif "met" in said:
            met, rejected, process_all = said["met"], said["rejected"], said["process_all"]
            return {"answer": sorted(meet(self._batch_run, met, rejected, process_all=process_all))}
        return None

    def _recall(self, keys: list[str]) -> list[Message]:
        """Return kept results, to every worker of this stage's run the same: what calls gave is noted by their items."""
        if self._recalled is None and not self._recalls:
            self._recalled = {}
        elif self._recalled is None:
            self._recalled = self._batch_run.ledger.recall(self._batch_run.submission.tenant, keys)
        return [sent(one) for one in self._recalled.values()]

    def _taken(self, host: str, per_second: float | None) -> Message:
        attempt, wait = self._turns.begin(host, per_second)
        return {"attempt": attempt, "wait": wait}

    def _over(self, attempt: str, outcome: Outcome) -> None:
        self._turns.over(attempt, outcome)

    def _answer(self, asked: Callable[[], Any]) -> Message:
        try:
            return {"answer": asked()}
        except LedgerError:
            raise  # the batch may be another run's by now
        except Exception as error:  # noqa: BLE001  # it is for the stage, which asked
            return {"failed": told(error)}

    def _bury(self, death: Died) -> None:
        """Note what the dead worker was doing, so that the next one can go on; raise where none can."""
        call = self._remains.board.running()
        self._remains.board.end()
        noted = sum(1 for _ in self._remains.spool.notes())
        self._deaths = self._deaths + 1 if noted == self._noted else 1
        self._noted = noted
        error = self._error(death)
        self._turns.give_up(error)
        if call is None:
            raise error
        place = (call.index, call.length)
        if death.timeout and call.attempt < self._planned.policy.max_attempts:
            self._try_again(call, error)
        elif call.index < 0:
            raise error
        elif self._deaths >= MAX_DEATHS:
            raise WorkerDied(f"{self._deaths} workers in a row died, the last one so: {error}")
        else:
            said = {"kind": type(error).__name__, "message": str(error)}
            self._remains.spool.add({"at": place[0], "length": place[1], "died": said})
            self._noted += 1

    def _try_again(self, call: Call, error: StageError) -> None:
        self._used[call.index, call.length] = call.attempt
        delay = self._planned.policy.backoff.delay(call.attempt, self._batch_run.draw())
        self._retried(call.attempt, delay, error)
        self._batch_run.clock.sleep(delay)

    def _error(self, death: Died) -> StageError:
        if death.timeout:
            return StageTimeout(f"the worker was ended: {death.how}")
        return WorkerDied(f"the worker of environment {self._type.environment!r} died: {death.how}")


_ANSWERS: Mapping[str, Callable[[Signals, Message], Any]] = {
    "all": lambda signals, _: {name: one.model_dump(mode="json") for name, one in signals.all().items()},
    "holds": lambda signals, said: signals.holds(Condition.model_validate(said["condition"])),
    "tell": lambda signals, said: signals.tell(
        said["name"],
        said["value"],
        attachments=said["attachments"] and [Attachment.model_validate(one) for one in said["attachments"]],
        pipeline=said["pipeline"],
        reply=said.get("reply", False),  # a worker of an earlier release does not know it
    ),
}


def _made(answer: Message) -> Made:
    if put_off := answer.get("put_off"):
        items = [PutOff(Failure(**one["failure"]), one["seconds"]) for one in put_off]
        return Made(put_off=items, remembered=arrived(answer.get("remembered")))
    if waiting := answer.get("waiting"):
        deadline = None if waiting["deadline"] is None else timedelta(seconds=waiting["deadline"])
        condition = Condition.model_validate(waiting["condition"])
        return Made(waiting=Waiting(condition, deadline, waiting["on_timeout"]), overran=answer["overran"])
    return Made(
        outputs={name: OutputRef.model_validate(ref) for name, ref in answer["outputs"].items()},
        counts=answer["counts"],
        failures=[Failure(**one) for one in answer["failures"]],
        cursor=answer["cursor"],
        overran=answer["overran"],
        swept=Swept(**answer["swept"]) if answer["swept"] else None,
        remembered=arrived(answer.get("remembered")),  # a worker of an earlier release keeps none
    )
