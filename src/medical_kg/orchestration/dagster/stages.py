"""Where the runtime gets its stage types from: the registry, filled by entry points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medical_kg.orchestration.registry import Installation

if TYPE_CHECKING:
    from medical_kg.orchestration.registry import PluginSettings, Registry, StageType


def build_default_stage_factory(settings: PluginSettings | None = None) -> Registry[StageType]:
    """Return the registry of stage types, as the installed distributions declare them.

    Nothing is imported until a type is asked for. ``settings`` are the allow and deny lists and preferences of a
    workspace.
    """
    return Installation(settings).stages
