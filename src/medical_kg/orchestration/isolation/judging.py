"""What a stage type says of a config: the part of the check that runs the plugin's code, in whatever process that is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from medical_kg.orchestration.contract.errors import PluginError, PluginNotFound
from medical_kg.orchestration.contract.foreign import message_of, said
from medical_kg.orchestration.interruption import watched
from medical_kg.orchestration.isolation.naming import Given, Named, found_beside, found_in, options_model_of
from medical_kg.orchestration.isolation.taking import Loc, details_of, take

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import NamedCondition
    from medical_kg.orchestration.isolation.taking import Details
    from medical_kg.orchestration.registry import Installation, StageType


@dataclass(frozen=True, slots=True)
class Missing:
    """A plugin that a config names at ``loc`` and that cannot be had."""

    loc: Loc
    message: str
    advice: str


_Told = Missing | Mapping[str, Any]
"""What is wrong: a plugin that is missing, or one of pydantic's errors."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a config.

    Attributes:
        config: completed, or None where anything is wrong.
        errors: what pydantic found wrong, in the options of plugins too.
        refused: why the stage type cannot complete it.
        failed: what went wrong in the stage type's own code.
        conditions: the names of conditions in it, with their places.
        missing: the plugins it names that are not there.
    """

    config: Any = None
    errors: tuple[Details, ...] = ()
    refused: str = ""
    failed: str = ""
    conditions: tuple[tuple[Loc, str], ...] = ()
    missing: tuple[Missing, ...] = ()


def judge(
    type_: StageType,
    given: Mapping[str, Any],
    *,
    stage: str,
    conditions: Mapping[str, NamedCondition],
    installation: Installation,
) -> Verdict:
    """Validate and complete the config of a stage, look up the plugins it names, and validate the options it gives them.

    Whatever code of plugins raises is told.
    """
    with watched() as watch:
        try:
            verdict, found = _judge(type_, given, stage, conditions)
            return _looked_up(verdict, found, installation)
        except BaseException as error:  # noqa: BLE001  # a plugin's code may raise anything
            watch.check()
            return Verdict(failed=f"raised {said(error)}")


def _judge(
    type_: StageType, given: Mapping[str, Any], stage: str, conditions: Mapping[str, NamedCondition]
) -> tuple[Verdict, Iterable[Named | Given]]:
    """Return the verdict on the config itself, and the names and options in what is sound of it."""
    model = type_.metadata.config_model
    config, wrong = take(model, given)
    if config is None:
        return Verdict(errors=wrong), found_beside(wrong, model, given)
    if wrong:
        return Verdict(errors=wrong), found_in(config)
    try:
        config = type_.cls.configure(config, stage=stage, conditions=conditions)
    except ValidationError as error:
        wrong = tuple(details_of(error, model))
        return Verdict(errors=wrong), found_beside(wrong, model, given)
    except ValueError as error:
        return Verdict(refused=message_of(error)), found_in(config)
    if not isinstance(config, model):
        return Verdict(failed=f"configure() returned {type(config).__name__}, not {model.__name__}"), ()
    return Verdict(config=config), found_in(config)


def _looked_up(verdict: Verdict, found: Iterable[Named | Given], installation: Installation) -> Verdict:
    """Return the verdict with what is to be said of the names and options."""
    errors, missing, conditions = list(verdict.errors), list[Missing](), list[tuple[Loc, str]]()
    for one in _opened(found, installation):
        if isinstance(one, Missing):
            missing.append(one)
        elif not isinstance(one, Named):
            errors.append(one)
        elif one.door is None:
            conditions.append((one.loc, one.name))
        elif absent := _missing(one, one.door, installation):
            missing.append(absent)
    return replace(
        verdict,
        config=None if errors else verdict.config,
        errors=tuple(errors),
        conditions=tuple(conditions),
        missing=tuple(dict.fromkeys(missing)),
    )


def _opened(found: Iterable[Named | Given | _Told], installation: Installation) -> Iterator[Named | _Told]:
    """Give the names, and in place of options what stands in them or is wrong with them; options may hold further ones."""
    for one in found:
        if isinstance(one, Given):
            yield from _opened(_within(one, installation), installation)
        else:
            yield one


def _within(given: Given, installation: Installation) -> Iterable[Named | Given | _Told]:
    plugin = given.of
    try:
        model = options_model_of(installation.get(str(plugin.door), plugin.name))
        if model is None:
            return ()
        taken, wrong = take(model, given.options, given.loc)
    except PluginError:
        return (plugin,)  # what was found out by loading it is told of its name
    except Exception as error:  # noqa: BLE001  # a plugin's code may raise anything
        message = f"{plugin.name!r} ({plugin.door}) failed while its options were checked: it raised {said(error)}"
        return (Missing(plugin.loc, message, "report it to the author of the plugin"),)
    inner = (
        found_in(taken, loc=given.loc) if taken is not None else found_beside(wrong, model, given.options, given.loc)
    )
    return (*wrong, *inner)


def _missing(one: Named, door: str, installation: Installation) -> Missing | None:
    try:
        installation.door(door).claim(one.name)
    except PluginNotFound as error:
        return Missing(one.loc, f"{one.name!r} ({door}): {error.reason}", error.advice)
    except PluginError as error:
        return Missing(one.loc, str(error), "")
    return None
