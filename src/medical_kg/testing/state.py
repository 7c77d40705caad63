"""What stages gave, by key: a mapping that knows which keys were declared and refuses every other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from medical_kg.orchestration.contract import StateKey
from medical_kg.orchestration.contract.errors import ContractError


class StateView(Mapping[str, Any]):
    """Values of state keys, by the key's name or by the key itself.

    Asking for a key that is not declared is an error that names it and those that are, also with ``get``; a declared
    key without a value (of a stage that waits) is an ordinary ``KeyError``.

    Args:
        owner: who declares the keys, e.g. ``stage type 'chunk'``.
        declared: the keys.
        values: what they hold, by name or key.

    Raises:
        ContractError: a value is given for a key that is not declared.
    """

    def __init__(self, owner: str, declared: Iterable[StateKey[Any]], values: Mapping[Any, Any]) -> None:
        """Keep the values."""
        self._owner = owner
        self._declared = {key.name: key for key in declared}
        self._values = {self._name(key, "written"): value for key, value in values.items()}

    @property
    def declared(self) -> tuple[StateKey[Any], ...]:
        """The declared keys."""
        return tuple(self._declared.values())

    def __getitem__(self, key: str | StateKey[Any]) -> Any:
        """Return a value.

        Raises:
            ContractError: the key is not declared.
            KeyError: the key is declared, but holds nothing.
        """
        name = self._name(key, "read")
        if name not in self._values:
            raise KeyError(f"{name!r} holds nothing: no stage has given it")
        return self._values[name]

    def __contains__(self, key: object) -> bool:
        return (key.name if isinstance(key, StateKey) else key) in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"StateView({self._values!r})"

    def _name(self, key: Any, done: str) -> str:
        name = key.name if isinstance(key, StateKey) else str(key)
        if name not in self._declared:
            listed = ", ".join(sorted(self._declared)) or "none"
            raise ContractError(
                self._owner, f"{name!r} was {done}, which is not declared; declared: {listed}", key=name
            )
        return name
