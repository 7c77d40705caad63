"""Config fields that name plugins behind other doors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PluginName:
    """Marks a text field of a config model as the name of a plugin: ``Annotated[str, PluginName("my.door")]``.

    The check refuses names nothing installed provides, before anything runs.
    """

    door: str
