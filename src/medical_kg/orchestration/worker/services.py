"""The services of a stage in a worker: signals are asked of the engine, whose ledger has them; the rest is made here."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract import Signal
from medical_kg.orchestration.contract.errors import SettingsError
from medical_kg.orchestration.isolation.errors import rebuilt
from medical_kg.orchestration.resilience import outcome_of

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import Attachment, Condition, Http
    from medical_kg.orchestration.isolation.channel import Channel
    from medical_kg.orchestration.workspace import Workspace


class RemoteSignals:
    """Service ``signals``, answered by the engine."""

    def __init__(self, channel: Channel) -> None:
        """Keep the channel."""
        self._channel = channel

    def all(self) -> Mapping[str, Signal]:
        """Return every signal by name."""
        return {name: Signal.model_validate(one) for name, one in self._ask("all").items()}

    def holds(self, condition: Condition) -> bool:
        """Whether the condition holds now."""
        return bool(self._ask("holds", condition=condition.model_dump(mode="json")))

    def tell(
        self,
        name: str,
        value: Any,
        *,
        attachments: Iterable[Attachment] | None = None,
        pipeline: str | None = None,
        reply: bool = False,
    ) -> int:
        """Tell a signal; returns how many submissions were told."""
        files = None if attachments is None else [one.model_dump(mode="json") for one in attachments]
        return int(self._ask("tell", name=name, value=value, attachments=files, pipeline=pipeline, reply=reply))

    def _ask(self, what: str, **more: Any) -> Any:
        return _asked(self._channel, {"signals": what, **more})


class RemoteTurns:
    """``Turns``, whose state the engine keeps; the waiting is done here.

    ``on_wait`` is told the seconds of each wait, before it.
    """

    def __init__(self, channel: Channel, on_wait: Callable[[float], None]) -> None:
        """Keep the channel."""
        self._channel, self._on_wait = channel, on_wait

    def take(self, host: str, per_second: float | None = None) -> _RemoteTurn:
        """See ``Turns.take``."""
        leave = _asked(self._channel, {"turn": host, "per_second": per_second})
        if leave["wait"] > 0:
            # First, lest the call be ended for the time that it is made to wait.
            self._on_wait(leave["wait"])
            time.sleep(leave["wait"])
        return _RemoteTurn(self._channel, leave["attempt"])


class _RemoteTurn:
    def __init__(self, channel: Channel, attempt: str) -> None:
        self._channel, self._attempt, self._over = channel, attempt, False

    def over(self, error: BaseException | None = None) -> None:
        """See ``Turn.over``."""
        if not self._over:
            self._over = True
            _asked(self._channel, {"over": self._attempt, "outcome": list(outcome_of(error))})


def _asked(channel: Channel, said: Mapping[str, Any]) -> Any:
    """Return the engine's answer; raises what it raised."""
    answer = channel.ask(said)
    if failed := answer.get("failed"):
        raise rebuilt(failed)
    return answer["answer"]


def services(needs: Iterable[str], workspace: Workspace, tenant: str, channel: Channel) -> dict[str, Any]:
    """Return the services that a stage's metadata asks for.

    Raises:
        SettingsError: the environment lacks what one of them needs.
    """
    makers: dict[str, Callable[[], Any]] = {
        "signals": lambda: RemoteSignals(channel),
        "files": lambda: workspace.files,
        "http": lambda: _http(workspace),
        "plugins": lambda: workspace.installation,
        "workspace": lambda: workspace.of_tenant(tenant),
    }
    return {need: makers[need]() for need in needs}


def _http(workspace: Workspace) -> Http:
    if importlib.util.find_spec("httpx2") is None:
        raise SettingsError("service 'http' needs httpx2, which this environment does not have; install it there")
    return workspace.http
