"""Config fields that name plugins behind other doors, and hold their options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

DOOR_KEY = "x-plugin-door"
"""The key by which the JSON schema of such a field names the door."""
OPTIONS_KEY = "x-plugin-options-of"
"""The key by which the JSON schema of a plugin's options names the field that names the plugin."""


@dataclass(frozen=True, slots=True)
class PluginName:
    """Marks a text field of a config model as the name of a plugin: ``Annotated[str, PluginName("medical_kg.stores")]``.

    The check refuses names nothing installed provides, before anything runs.
    """

    door: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Tell the door, so that a schema for editors can offer what is behind it."""
        return {**handler(schema), DOOR_KEY: self.door}


@dataclass(frozen=True, slots=True)
class PluginOptions:
    """Marks a mapping of a config model as a plugin's options: ``Annotated[dict[str, Any], PluginOptions("store")]``.

    The check has options that are given validated by the ``options_model`` of the plugin, a pydantic model its class holds,
    before anything runs. A plugin that is given none is not loaded for it.

    Attributes:
        of: the field beside it that names the plugin; it is marked with ``PluginName``.
    """

    of: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Tell the field, so that a schema for editors can offer what the plugin takes."""
        return {**handler(schema), OPTIONS_KEY: self.of}
