"""The services of a stage in a worker: signals are asked of the engine, whose ledger has them; the rest is made here."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract import Signal
from medical_kg.orchestration.contract.errors import SettingsError
from medical_kg.orchestration.isolation.errors import rebuilt

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import Attachment, Condition, Http
    from medical_kg.orchestration.isolation.channel import Channel
    from medical_kg.orchestration.workspace import Workspace


class RemoteSignals:
    """Service ``signals``, answered by the engine."""

    def __init__(self, channel: Channel) -> None:
        """Keep the channel."""
        self._channel, self._lock = channel, threading.Lock()

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
        with self._lock:
            self._channel.send({"signals": what, **more})
            received = self._channel.receive()
        if received is None:
            raise ConnectionResetError("the engine is gone")
        if failed := received[0].get("failed"):
            raise rebuilt(failed)
        return received[0]["answer"]


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
