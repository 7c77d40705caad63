"""Writes what the reference pages take from the code, between ``<!-- from the code: NAME -->`` and ``<!-- end -->``.

The pages of the stage types are written as a whole. ``make fix`` runs it; a test fails while a page differs from the
code.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

PAGES = Path(__file__).resolve().parents[1] / "docs" / "reference"
STAGE_PAGES = PAGES / "stages"
REGION = re.compile(r"(<!-- from the code: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def render(text: str) -> str:
    """Return a page with its regions as the code has them now."""
    return REGION.sub(lambda match: f"{match[1]}\n{REGIONS[match[2]]().strip()}\n\n{match[3]}", text)


def main() -> None:
    """Write every page."""
    for page in sorted(PAGES.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        page.write_text(render(text), encoding="utf-8")
    pages = stage_pages()
    STAGE_PAGES.mkdir(exist_ok=True)
    for old in STAGE_PAGES.glob("*.md"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        (STAGE_PAGES / name).write_text(text, encoding="utf-8")


def table(heads: list[str], rows: Iterator[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def first_paragraph(thing: Any) -> str:
    """Return the first paragraph of a docstring on one line, in Markdown."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].replace("``", "`").split())


def fields(model: type[BaseModel]) -> str:
    """Return the fields of a model with default and description."""
    return table(
        ["field", "default", "meaning"],
        ([f"`{name}`", default_of(field), field.description or ""] for name, field in model.model_fields.items()),
    )


def default_of(field: Any) -> str:
    """Return a field's default as shown to people."""
    if field.is_required():
        return "required"
    if field.default is PydanticUndefined or field.default in (None, ()) or isinstance(field.default, BaseModel):
        return ""
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def error_tree() -> str:
    """Return the tree that the module of errors draws."""
    from medical_kg.orchestration.contract import errors

    tree = (errors.__doc__ or "").split("::\n\n")[1].split("\n\nAn error")[0]
    return f"```text\n{inspect.cleandoc(tree)}\n```"


def error_table() -> str:
    """Return a row per error class."""
    from medical_kg.orchestration.contract import errors

    found = [value for value in vars(errors).values() if isinstance(value, type)]
    return table(
        ["error", "exit code", "meaning"],
        (
            [f"`{cls.__name__}`", str(cls.exit_code), first_paragraph(cls)]
            for cls in found
            if issubclass(cls, errors.MedicalKGError)
        ),
    )


def exit_codes() -> str:
    """Return what each exit code means."""
    from medical_kg.cli.errors import MEANINGS

    return table(["code", "meaning"], ([str(code), meaning] for code, meaning in MEANINGS.items()))


def stage_pages() -> dict[str, str]:
    """Return the page of every built-in stage type, by file name."""
    from medical_kg.orchestration.inspection.reference import stage_pages
    from medical_kg.orchestration.registry import CORE, Installation

    return {f"{name}.md": page for name, page in stage_pages(Installation(), CORE).items()}


def built_in_stages() -> str:
    """Return a row per built-in stage type."""
    from medical_kg.orchestration.registry import Installation

    stages = Installation().stages
    found = [stages.get(page.removesuffix(".md")).metadata for page in stage_pages()]
    return table(
        ["stage type", "does", "reads", "writes"],
        (
            [f"[`{one.stage_type}`](stages/{one.stage_type}.md)", one.description, keys(one.reads), keys(one.writes)]
            for one in found
        ),
    )


def keys(declared: Any) -> str:
    """Return the names of state keys; those that may be missing in parentheses."""
    names = (f"(`{one.key.name}`)" if hasattr(one, "key") else f"`{one.name}`" for one in declared)
    return ", ".join(names) or "nothing"


def plugins_of(door: str) -> Callable[[], str]:
    """Return a region with the built-in plugins of a door and their options."""

    def region() -> str:
        from medical_kg.orchestration.inspection.facts import config_fields
        from medical_kg.orchestration.registry import CORE, Installation

        plugins = Installation().door(door)
        names = [one.origin.name for one in plugins.claims() if one.origin.distribution == CORE]
        heads = ["option", "type", "default", "must be", "meaning"]

        def section(name: str) -> str:
            plugin = plugins.get(name)
            rows = (
                [f"`{one.field}`", f"`{one.type}`", f"`{one.default}`", one.constraints, one.description]
                for one in config_fields(plugin.options_model)
            )
            return f"## {name}\n\n{first_paragraph(plugin)}\n\n{table(heads, rows)}"

        return "\n\n".join(map(section, names))

    return region


def state_keys() -> str:
    """Return the pack's state keys."""
    from medical_kg.documents import keys
    from medical_kg.orchestration.contract import StateKey

    found = [value for value in vars(keys).values() if isinstance(value, StateKey)]
    return table(
        ["state key", "type", "holds"],
        ([f"`{key.name}`", f"`{str(key).partition(': ')[2]}`", key.description] for key in found),
    )


def services() -> str:
    """Return the services a stage may ask for."""
    from medical_kg.orchestration.contract import SERVICES

    return table(["service", "what it gives"], ([f"`{name}`", what] for name, what in SERVICES.items()))


def conformance_rules() -> str:
    """Return the rules of the conformance suite, in the order of their definition."""
    from medical_kg.testing.conformance import StageConformance

    rules = [
        (name, rule)
        for cls in StageConformance.__bases__
        for name, rule in vars(cls).items()
        if name.startswith("test_")
    ]
    return table(["rule", "what must hold"], ([f"`{name}`", first_paragraph(rule)] for name, rule in rules))


def events() -> str:
    """Return the events with their fields."""
    import dataclasses

    from medical_kg.orchestration.telemetry import events as module

    def rows() -> Iterator[list[str]]:
        for cls in vars(module).values():
            if isinstance(cls, type) and issubclass(cls, module.Event) and not cls.__subclasses__():
                names = ", ".join(f"`{field.name}`" for field in dataclasses.fields(cls))
                yield [f"`{cls.__name__}`", first_paragraph(cls), names]

    return table(["event", "meaning", "fields"], rows())


def pipeline_fields(name: str) -> Callable[[], str]:
    """Return a region with the fields of one model of the pipeline file."""

    def region() -> str:
        from medical_kg.orchestration.pipeline import spec

        return fields(getattr(spec, name))

    return region


def commands() -> str:
    """Return every command with its usage, help and options."""
    import typer

    from medical_kg.cli.app import app
    from medical_kg.cli.state import State

    root = typer.main.get_command(app)
    context = root.make_context("medical-kg", [], resilient_parsing=True, obj=State())
    return "\n\n".join(walk(root, "medical-kg", context))


def walk(command: Any, path: str, context: Any) -> Iterator[str]:
    """Give the section of a command and those below it."""
    yield one_command(command, path, context)
    if hasattr(command, "list_commands"):
        for name in sorted(command.list_commands(context)):
            child = command.get_command(context, name)
            below = type(context)(child, info_name=name, parent=context, obj=context.obj)
            yield from walk(child, f"{path} {name}", below)


def one_command(command: Any, path: str, context: Any) -> str:
    """Return the section of one command."""
    usage = " ".join(command.collect_usage_pieces(context))
    records = [record for parameter in command.params if (record := parameter.get_help_record(context))]
    text = inspect.cleandoc(command.help or "")
    parts = [f"## `{path}`", text, f"```text\n{path} {usage}\n```"]
    if records:
        parts.append(table(["", ""], ([f"`{names}`", clean(what)] for names, what in records)))
    if command.epilog:
        lines = [line.strip() for line in command.epilog.splitlines() if line.startswith("  ")]
        parts.append("\n".join(("```console", *(f"$ {line}" for line in lines), "```")))
    return "\n\n".join(part for part in parts if part)


def clean(what: str) -> str:
    """Return an option's help on one line."""
    return " ".join(what.split())


REGIONS: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "error-tree": error_tree,
    "error-table": error_table,
    "exit-codes": exit_codes,
    "built-in-stages": built_in_stages,
    "state-keys": state_keys,
    "services": services,
    "events": events,
    "conformance-rules": conformance_rules,
    "pipeline": pipeline_fields("PipelineSpec"),
    "metadata": pipeline_fields("MetadataSpec"),
    "stage": pipeline_fields("StageSpec"),
    "gate": pipeline_fields("GateSpec"),
    "condition": pipeline_fields("ConditionSpec"),
    "trigger": pipeline_fields("TriggerSpec"),
    "sources": plugins_of("medical_kg.sources"),
    "embedders": plugins_of("medical_kg.embedders"),
    "vocabularies": plugins_of("medical_kg.vocabularies"),
}

if __name__ == "__main__":
    main()
