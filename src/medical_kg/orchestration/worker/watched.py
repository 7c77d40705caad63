"""The guard of a stage in a worker: each call is put on the board, and what came of it is noted in the spool.

When the worker dies, the next one finds there what was done, so that nothing is done twice and only the call that
killed it is held to be guilty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from medical_kg.orchestration.contract import errors
from medical_kg.orchestration.execution.calling import FATAL
from medical_kg.orchestration.execution.failing import Failure, Recorded, seconds_of
from medical_kg.orchestration.execution.noting import Results
from medical_kg.orchestration.isolation.board import WHOLE, Board, Call, Spool
from medical_kg.orchestration.resilience import Guard, Policy

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StageContext, StageMetadata, StateKey
    from medical_kg.orchestration.contract.turns import Turns
    from medical_kg.orchestration.resilience import OnRetry

T = TypeVar("T")
Place = tuple[int, int]


class Watched(Guard):
    """A guard that leaves traces.

    Args:
        policy, ctx, on_retry, draw, turns: as for any guard.
        board: where the running call stands.
        out_of_memory: called when a call runs out of memory where that is limited; it ends the process.
    """

    def __init__(
        self,
        policy: Policy,
        ctx: StageContext,
        on_retry: OnRetry,
        draw: Callable[[], float],
        turns: Turns | None = None,
        *,
        board: Board,
        out_of_memory: Callable[[], None] | None = None,
    ) -> None:
        """Keep what calls need."""
        super().__init__(policy, ctx, on_retry, draw, turns)
        self._board, self._out_of_memory = board, out_of_memory
        self._place: Place = (WHOLE, 0)
        self._attempts = 0

    def at(self, place: Place, used: int = 0) -> None:
        """Say where the next call stands, and how many of its attempts have been used up in other processes."""
        self._place, self._attempts = place, used

    def _timed(self, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        self._attempts += 1
        self._board.begin(Call(*self._place, self._attempts, self._ctx.clock.monotonic()))
        try:
            return super()._timed(function, args, kwargs)
        except MemoryError:
            if self._out_of_memory is None:
                raise
            self._out_of_memory()
            raise
        finally:
            self._board.end()


class Items(Watched):
    """The guard of item mode: calls that an earlier worker made are answered from the spool.

    Args:
        items: the items, in order.
        metadata: the stage's.
        spool: what came of calls so far.
        used: attempts that earlier workers used up, by place.
        more: as for ``Watched``.
    """

    def __init__(
        self,
        *args: Any,
        items: Sequence[Any],
        metadata: StageMetadata,
        spool: Spool,
        used: Mapping[Place, int],
        **more: Any,
    ) -> None:
        """Read the spool."""
        super().__init__(*args, **more)
        self._key: StateKey[Any] = metadata.read_keys[0]
        self._items, self._spool, self._used = items, spool, used
        self._grouped = metadata.items_per_call is not None
        self._results = Results(metadata)
        self._position = {id(item): index for index, item in enumerate(items)}
        self._done = {(head["at"], head["length"]): (head, body) for head, body in spool.notes()}

    def __call__(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Call the function, or say what came of it before."""
        group = list(args[1]) if self._grouped else [args[1]]
        place = (self._position[id(group[0])], len(group))
        if place in self._done:
            return self._before(place)  # type: ignore[no-any-return]  # what the function returned
        self.at(place, self._used.get(place, 0))
        try:
            result = self._bounded(place, function, args, kwargs)
        except FATAL:
            raise
        except BaseException as error:
            if seconds_of(error) is not None:
                raise
            failure = Failure.of(self._key, group[0], error)
            self._note(place, {"failure": failure.plain()})
            raise Recorded(failure) from error
        self._keep(place, result)
        return result  # type: ignore[no-any-return]  # the function's own, made whole

    def _bounded(self, place: Place, function: Any, args: Any, kwargs: Any) -> Any:
        """Call with as many attempts as are left."""
        policy = self._policy
        if used := self._used.get(place, 0):
            self._policy = policy.model_copy(update={"max_attempts": policy.max_attempts - used})
        try:
            return super().__call__(function, *args, **kwargs)
        finally:
            self._policy = policy

    def _before(self, place: Place) -> Any:
        head, body = self._done[place]
        if "failure" in head:
            raise Recorded(Failure(**head["failure"]))
        if "died" in head:
            kind = getattr(errors, head["died"]["kind"])
            raise Recorded(Failure.of(self._key, self._items[place[0]], kind(head["died"]["message"])))
        return self._results.load(head, body)

    def _keep(self, place: Place, result: Any) -> None:
        noted = self._results.dump(result)
        if noted is not None:
            self._note(place, noted[0], noted[1])

    def _note(self, place: Place, head: dict[str, Any], body: bytes = b"") -> None:
        self._spool.add({"at": place[0], "length": place[1], **head}, body)
