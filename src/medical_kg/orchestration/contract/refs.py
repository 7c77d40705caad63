"""Config fields that name plugins behind other doors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

DOOR_KEY = "x-plugin-door"
"""The key by which the JSON schema of such a field names the door."""


@dataclass(frozen=True, slots=True)
class PluginName:
    """Marks a text field of a config model as the name of a plugin: ``Annotated[str, PluginName("my.door")]``.

    The check refuses names nothing installed provides, before anything runs.
    """

    door: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Tell the door, so that a schema for editors can offer what is behind it."""
        return {**handler(schema), DOOR_KEY: self.door}
