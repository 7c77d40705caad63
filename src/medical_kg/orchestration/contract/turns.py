"""Asking a host in turn: what stands between a client and the hosts it asks, so that a stage's policy holds there.

The engine gives it to its own clients (service ``http``), bound to the policy of the stage that uses them. Stages need not know
of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from medical_kg.orchestration.contract.context import Http


class Turn(Protocol):
    """Leave for one request."""

    def over(self, error: BaseException | None = None) -> None:
        """Say how the request ended: None when the host has answered in full, whatever it said.

        ``TransientError``, ``ConnectionError`` and ``TimeoutError`` count as a failure of the host; any other error (a refusal,
        an answer that is too long) as an answer. Only the first word counts, so it may be called again when a body
        breaks off or is closed. A turn that nobody ends is given up for lost after a while.
        """


class Turns(Protocol):
    """Gives leave for requests."""

    def take(self, host: str, per_second: float | None = None) -> Turn:
        """Wait until a request may go to ``host``; call it right before each one, each hop of a redirect too.

        ``host`` is the name or address in lower-case ASCII, with ``:port`` where the port is not the scheme's own; empty
        where a call asks no host. ``per_second`` is how often the host lets itself be asked, whatever the policy. Time that is waited here is not taken from the call's ``timeout_seconds``.

        Raises:
            CircuitOpen: the host failed too often, and no request may go there yet; let it through as it is.
            TransientError: the host asked for a longer rest than is waited for here; likewise.
        """


@runtime_checkable
class AsksInTurn(Protocol):
    """A service ``http`` that can be put under turns."""

    def under(self, turns: Turns) -> Http:
        """Return the service, each of whose requests takes a turn before it goes out."""


def in_turn(services: dict[str, Any], turns: Turns, *, by_policy: bool) -> Turns | None:
    """Put the service ``http`` among some under turns; returns the turns that whoever makes the calls is to take itself.

    Those are None where the service takes them, which knows the hosts, and where the policy asks for none (``by_policy``).
    """
    http = services.get("http")
    if isinstance(http, AsksInTurn):
        services["http"] = http.under(turns)
        return None
    return turns if by_policy else None
