"""State keys that installed stage types already use, and where each can be imported from."""

from __future__ import annotations

import ast
import inspect
import sys
from collections import Counter
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import PluginError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from medical_kg.orchestration.contract import StateKey
    from medical_kg.orchestration.registry import Installation, StageType


@dataclass(frozen=True, slots=True)
class Known:
    """A state key of an installed package: the key, the module and name to import it by, and the distribution.

    ``distribution`` is empty where no stage type's distribution holds the module.
    """

    key: StateKey[Any]
    module: str
    attribute: str
    distribution: str = ""


class KnownKeys:
    """The state keys that the installed stage types read and write. Looking one up loads the stage types.

    Args:
        installation: what is installed.
    """

    def __init__(self, installation: Installation) -> None:
        """Load the stage types; those that cannot be loaded are noted in ``unread``."""
        self.unread: list[str] = []
        self._homes: dict[str, str] = {}
        self._uses: dict[str, list[tuple[StateKey[Any], str]]] = {}
        for claim in installation.stages.claims():
            name = f"{claim.origin.distribution}:{claim.origin.name}"
            try:
                stage = installation.stages.get(name)
            except PluginError:
                self.unread.append(f"{claim.origin.name} from {claim.origin}")
            else:
                self._homes[stage.cls.__module__.partition(".")[0]] = claim.origin.distribution
                for key in _keys(stage):
                    self._uses.setdefault(key.name, []).append((key, str(claim.origin)))

    def find(self, name: str) -> Known | None:
        """Return the key of this name, or None where no installed stage type uses it.

        Where packages declare it apart from each other, the declaration that most stage types use counts.

        Raises:
            UsageError: stage types use it, but no module holds it under a name, so it cannot be imported.
        """
        if name not in self._uses:
            return None
        places = [place for key, _ in self._uses[name] if (place := _place(key)) is not None]
        if not places:
            users = ", ".join(sorted({origin for _, origin in self._uses[name]}))
            raise UsageError(
                f"state key {name!r} is used by {users}, but no module holds it under a name, so it cannot be "
                "imported; choose another name, or ask its author for a constant"
            )
        ranked = Counter((place.module, place.attribute) for place in places)
        chosen = min(ranked, key=lambda one: (-ranked[one], one))
        place = next(place for place in places if (place.module, place.attribute) == chosen)
        return replace(place, distribution=self._homes.get(place.module.partition(".")[0], ""))


def _keys(stage: StageType) -> Iterable[StateKey[Any]]:
    return (*stage.metadata.read_keys, *stage.metadata.writes)


def _place(key: StateKey[Any]) -> Known | None:
    """Return where the key is defined; a package above that exports it by ``__all__`` is the better address."""
    holders = [
        (module, name)
        for module in list(sys.modules.values())
        if isinstance(module, ModuleType) and module.__name__ != "__main__"
        for name, value in list(vars(module).items())
        if value is key and name.isidentifier()
    ]
    defining = [(module, name) for module, name in holders if _assigns(module, name)] or holders
    if not defining:
        return None
    module, name = min(defining, key=lambda one: (one[0].__name__, one[1]))
    home = module.__name__
    above = [
        holder.__name__
        for holder, held in holders
        if held == name and home.startswith(f"{holder.__name__}.") and name in getattr(holder, "__all__", ())
    ]
    return Known(key, min(above, key=len, default=home), name)


def _assigns(module: ModuleType, name: str) -> bool:
    try:
        body = ast.parse(inspect.getsource(module)).body
    except (OSError, TypeError, SyntaxError):  # no source at hand
        return False
    targets = [
        target
        for statement in body
        if isinstance(statement, (ast.Assign, ast.AnnAssign))
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
    ]
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)
