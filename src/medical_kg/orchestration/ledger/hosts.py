"""What is known of hosts under a policy, for every process that works on this ledger: circuit breakers and rate limits.

A row belongs to no tenant: a host that is asked too often does not care for whom.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import bindparam, select, update

from medical_kg.orchestration.contract.database import insert, reading, writing
from medical_kg.orchestration.ledger.tables import HOSTS
from medical_kg.orchestration.resilience import HostState

if TYPE_CHECKING:
    from sqlalchemy import Engine, RowMapping

T = TypeVar("T")

FIND = select(HOSTS).where(HOSTS.c.policy == bindparam("of_policy"), HOSTS.c.host == bindparam("of_host"))
LOCK = FIND.with_for_update()
CHANGE = update(HOSTS).where(HOSTS.c.policy == bindparam("of_policy"), HOSTS.c.host == bindparam("of_host"))
# Two processes may meet a host for the first time at once.
ADD = insert(HOSTS).on_conflict_do_nothing()


class SqlHosts:
    """``HostStates`` over a SQLAlchemy engine."""

    _engine: Engine

    def host(self, policy: str, host: str) -> HostState:
        """See ``HostStates.host``."""
        with reading(self._engine) as connection:
            row = connection.execute(FIND, {"of_policy": policy, "of_host": host}).mappings().one_or_none()
        return HostState() if row is None else _state(row)

    def change_host(self, policy: str, host: str, step: Callable[[HostState], tuple[HostState, T]]) -> T:
        """See ``HostStates.change_host``."""
        place = {"of_policy": policy, "of_host": host}
        with writing(self._engine) as connection:
            row = connection.execute(LOCK, place).mappings().one_or_none()
            if row is None:
                connection.execute(ADD, {"policy": policy, "host": host, **asdict(HostState())})
                row = connection.execute(LOCK, place).mappings().one()
            former = _state(row)
            state, given = step(former)
            if state != former:
                connection.execute(CHANGE, place | asdict(state))
        return given


def _state(row: RowMapping) -> HostState:
    return HostState(**{name: row[name] for name in HostState.__dataclass_fields__})
