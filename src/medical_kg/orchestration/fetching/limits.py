"""How much one request may take, and how many there may be."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What bounds requests.

    Attributes:
        timeout: seconds for connecting, and for each silence of the server.
        deadline: seconds for one request in all, to the last byte of its body.
        max_bytes: the size limit of a body, as it is sent and as it is unpacked, where the caller sets none.
        connections: how many connections there may be, to all hosts.
        connections_per_host: how many requests to one host may be open at a time.
        idle_seconds: how long an unused connection is kept.
    """

    timeout: float = 30.0
    deadline: float = 600.0
    max_bytes: int = 1024 * MIB
    connections: int = 32
    connections_per_host: int = 4
    idle_seconds: float = 15.0
