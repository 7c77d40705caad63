"""Commands that packages bring through the door ``medical_kg.commands``: listed by name, loaded when used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from medical_kg.cli.state import State
from medical_kg.orchestration.contract.errors import MedicalKGError, PluginBroken

if TYPE_CHECKING:
    from medical_kg.orchestration.registry import Claim, Installation

DOOR = "medical_kg.commands"
COMPLETION = frozenset({"install_completion", "show_completion"})


def names(installation: Installation) -> list[str]:
    """Return the names of every command behind the door, usable or not, without loading any."""
    return sorted({claim.origin.name for claim in installation.door(DOOR).claims()})


def load(installation: Installation, name: str) -> Any:
    """Return a command by its entry point's name; one that cannot be used says so when it is called."""
    try:
        return _command(installation, name)
    except MedicalKGError as error:
        return _unusable(name, error)


def _command(installation: Installation, name: str) -> Any:
    registry = installation.door(DOOR)
    loaded, origin = registry.get(name), registry.claim(name).origin
    if not isinstance(loaded, typer.Typer):
        reason = f"{origin.object} is a {type(loaded).__name__}; it must be a typer.Typer"
        raise PluginBroken(DOOR, name, str(origin), reason)
    try:
        command = get_command(loaded)
    except Exception as error:
        reason = f"its commands cannot be built: {type(error).__name__}: {error}"
        raise PluginBroken(DOOR, name, str(origin), reason) from error
    command.name = name
    _plain(command)
    command.params = [param for param in command.params if param.name not in COMPLETION]
    return command


def _plain(command: Any) -> None:
    """Give a package's commands the help of our own: plain text, whatever the package asked of typer."""
    command.rich_markup_mode = None
    for below in getattr(command, "commands", {}).values():
        _plain(below)


def _unusable(name: str, error: MedicalKGError) -> TyperCommand:
    def refuse() -> None:
        raise error

    loose = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    note = f"(cannot be used: {str(error).splitlines()[0]})"
    return TyperCommand(name, callback=refuse, help=note, short_help=note, context_settings=loose)


def shadowed(claim: Claim, built_in: Mapping[str, Any]) -> bool:
    """Whether a command of a package has the name of a built-in one, and so cannot be called."""
    return claim.origin.door == DOOR and claim.origin.name in taken(built_in)


def taken(built_in: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of built-in commands that no command of a package can have, nor add to."""
    return frozenset(name for name, own in built_in.items() if not isinstance(own, ExtendedGroup))


class PluggedGroup(TyperGroup):
    """A group whose own commands come first, and then those of packages."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the built-in names in their order, then the packages' names."""
        own = list(self.commands)
        try:
            found = names(_installation(ctx))
        except MedicalKGError as error:
            typer.echo(f"Note: the commands of packages cannot be listed: {error}", err=True)
            return own
        return own + [name for name in found if name not in self.commands]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command by name: a built-in one, else a package's, else None."""
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        installation = _installation(ctx)
        return load(installation, cmd_name) if cmd_name in names(installation) else None


class ExtendedGroup(TyperGroup):
    """A noun of ours to which the packages' command of the same name adds its sub-commands; ours come first."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return our sub-commands in their order, then those of the packages."""
        own = list(self.commands)
        others = self._others(ctx)
        more = others.list_commands(ctx) if isinstance(others, TyperGroup) else ()
        return own + [name for name in more if name not in self.commands]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a sub-command by name: ours, else a package's, else None."""
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        others = self._others(ctx)
        # What cannot be used is no group, and says so itself.
        return others.get_command(ctx, cmd_name) if isinstance(others, TyperGroup) else others

    def _others(self, ctx: Any) -> Any:
        installation = _installation(ctx)
        return load(installation, str(self.name)) if self.name in names(installation) else None


def _installation(ctx: Any) -> Installation:
    # Before the global options are acted upon, they stand parsed in ctx.params; a tool that only reads the commands,
    # such as the one that writes the reference, brings no state.
    if ctx.obj is None:
        ctx.obj = State()
    state = ctx.obj
    if state.root is None:
        state.root = ctx.params.get("workspace")
    return state.plugins  # type: ignore[no-any-return]  # ctx is untyped
