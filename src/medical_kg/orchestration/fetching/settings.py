"""Table ``[http]`` of ``medical_kg.toml``: what stages may fetch, from where, and as whom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from medical_kg.orchestration.contract.model import Model
from medical_kg.orchestration.fetching.limits import Limits

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1000)]
MAIL = r"^[^@\s<>()]+@[^@\s<>()]+\.[^@\s<>()]+$"


class HttpSettings(Model):
    """Table ``[http]``: the hosts and local folders that stages may fetch from, and how.

    Hosts are ``name`` or ``name:port``; one that is listed may have a private address. ``allow_public`` opens every host
    with a public address besides, on the usual ports of http and https. ``contact`` is the mail address that servers are
    told; with ``trust_environment`` the environment's proxies and certificates are used.
    """

    allow_hosts: tuple[str, ...] = ()
    allow_roots: tuple[Path, ...] = ()
    allow_public: bool = True
    contact: str | None = Field(default=None, pattern=MAIL, max_length=254)
    trust_environment: bool = False
    timeout_seconds: Seconds = Limits.timeout
    deadline_seconds: Seconds = Limits.deadline
    max_connections: Count = Limits.connections
    max_connections_per_host: Count = Limits.connections_per_host

    @property
    def limits(self) -> Limits:
        """What bounds requests."""
        return Limits(
            timeout=self.timeout_seconds,
            deadline=self.deadline_seconds,
            connections=self.max_connections,
            connections_per_host=self.max_connections_per_host,
        )
