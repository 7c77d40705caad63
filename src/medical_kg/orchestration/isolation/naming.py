"""The names in a config, of plugins and of conditions, and the options it gives to plugins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from medical_kg.orchestration.contract import ConditionRef, PluginName, PluginOptions

if TYPE_CHECKING:
    from medical_kg.orchestration.isolation.taking import Details, Loc


@dataclass(frozen=True, slots=True)
class Named:
    """A name in a config: of a plugin behind ``door``, or of a condition where that is None."""

    loc: Loc
    name: str
    door: str | None


@dataclass(frozen=True, slots=True)
class Given:
    """Options that a config gives to the plugin ``of``."""

    loc: Loc
    options: Mapping[str, Any]
    of: Named


def found_in(value: Any, annotation: Any = None, loc: Loc = ()) -> Iterator[Named | Given]:
    """Give every name and all options in a value, however deep they stand in models, lists and mappings."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        yield from _found_in_fields(type(value), {name: getattr(value, name) for name in fields}, loc)
    elif isinstance(value, str):
        yield from _named(value, annotation, loc)
    elif isinstance(value, (Mapping, list, tuple, set, frozenset)):
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from found_in(inner, annotation, (*loc, key))


def found_beside(
    wrong: Iterable[Details], model: type[BaseModel], given: Mapping[str, Any], loc: Loc = ()
) -> Iterator[Named | Given]:
    """Give what stands in the fields that nothing is wrong with: a mistake in one field does not hide one in another."""
    refused = {details["loc"][len(loc)] for details in wrong if len(details["loc"]) > len(loc)}
    keys = {name: info.alias or name for name, info in model.model_fields.items()}
    defaults = {name: info.default for name, info in model.model_fields.items()}
    sound = {name: given.get(key, defaults[name]) for name, key in keys.items() if key not in refused}
    yield from _found_in_fields(model, sound, loc)


def plugins_named(config: BaseModel) -> list[tuple[str, str]]:
    """Return the plugins that a config names, as door and name."""
    return [(one.door, one.name) for one in found_in(config) if isinstance(one, Named) and one.door is not None]


def _found_in_fields(model: type[BaseModel], values: Mapping[str, Any], loc: Loc) -> Iterator[Named | Given]:
    for name, value in values.items():
        info = model.model_fields[name]
        annotation, place = (info.annotation, *info.metadata), (*loc, info.alias or name)
        yield from found_in(value, annotation, place)
        for marker in markers(annotation):
            if isinstance(marker, PluginOptions) and isinstance(value, Mapping) and value:
                yield from (Given(place, value, plugin) for plugin in _plugin(model, values, marker.of, loc))


def _plugin(model: type[BaseModel], values: Mapping[str, Any], name: str, loc: Loc) -> Iterator[Named]:
    """Give the plugin that the field of this name names."""
    info = model.model_fields.get(name)
    if info is None or not any(isinstance(one, PluginName) for one in markers((info.annotation, *info.metadata))):
        raise TypeError(f"PluginOptions({name!r}): {model.__name__} has no field {name!r} marked with PluginName")
    value = values.get(name)
    if isinstance(value, str):
        yield from (
            one for one in _named(value, (info.annotation, *info.metadata), (*loc, info.alias or name)) if one.door
        )


def _named(value: str, annotation: Any, loc: Loc) -> Iterator[Named]:
    marked = markers(annotation)
    yield from (Named(loc, value, one.door) for one in marked if isinstance(one, PluginName))
    if isinstance(value, ConditionRef) or ConditionRef in marked:
        yield Named(loc, str(value), None)


def markers(annotation: Any) -> list[Any]:
    """Return what an annotation is made of, down to the leaves: types and the metadata of ``Annotated``."""
    if isinstance(annotation, tuple):
        return [leaf for part in annotation for leaf in markers(part)]
    if metadata := getattr(annotation, "__metadata__", ()):
        return [*metadata, *markers(get_args(annotation)[0])]
    inner = get_args(annotation)
    return [leaf for part in inner for leaf in markers(part)] if inner else [annotation]


def options_model_of(plugin: Any) -> type[BaseModel] | None:
    """Return the model of a plugin's options; None where it has none."""
    model = getattr(plugin, "options_model", None)
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None
