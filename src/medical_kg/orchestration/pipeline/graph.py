"""A plan drawn as text: Mermaid, DOT and a tree. Edges carry the keys that flow; dotted ones only order."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medical_kg.orchestration.pipeline.plan import Plan, PlannedStage


def edges(plan: Plan) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return ``(from, to, keys)`` for every pair of stages that data or order joins, in plan order."""
    return [(source, stage.name, keys) for stage in plan.stages for source, keys in _incoming(stage)]


def _incoming(stage: PlannedStage) -> Iterator[tuple[str, tuple[str, ...]]]:
    flowing: dict[str, list[str]] = {}
    for binding in stage.bindings:
        for writer in binding.writers:
            flowing.setdefault(writer, []).append(binding.key.name)
    for name in dict.fromkeys((*stage.depends_on, *flowing)):
        yield name, tuple(flowing.get(name, ()))


def _label(stage: PlannedStage) -> str:
    return stage.name if stage.type.name == stage.name else f"{stage.name} ({stage.type.name})"


def mermaid(plan: Plan) -> str:
    """Return the plan as a Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html)."""
    # Stage names are plain words; the prefix keeps them apart from Mermaid's own, such as `end`.
    lines = ["flowchart TD", *(f'    s_{stage.name}["{_label(stage)}"]' for stage in plan.stages)]
    for source, target, keys in edges(plan):
        arrow = f"-- {', '.join(keys)} -->" if keys else "-.->"
        lines.append(f"    s_{source} {arrow} s_{target}")
    return "\n".join(lines) + "\n"


def dot(plan: Plan) -> str:
    """Return the plan in the DOT language of Graphviz (https://graphviz.org/doc/info/lang.html)."""
    lines = [f'digraph "{plan.name}" {{', "    rankdir=LR;", "    node [shape=box];"]
    lines += [f'    "{stage.name}" [label="{_label(stage)}"];' for stage in plan.stages]
    for source, target, keys in edges(plan):
        look = f'label="{", ".join(keys)}"' if keys else "style=dotted"
        lines.append(f'    "{source}" -> "{target}" [{look}];')
    return "\n".join([*lines, "}"]) + "\n"


def tree(plan: Plan) -> str:
    """Return the plan as lines of text: each stage below the last it depends on, with what it gets from whom."""
    children: dict[str, list[PlannedStage]] = {stage.name: [] for stage in plan.stages}
    roots: list[PlannedStage] = []
    for stage in plan.stages:
        # Under its last dependency in plan order, so that a stage stands below everything it waits for.
        parent = next((other.name for other in reversed(plan.stages) if other.name in stage.depends_on), None)
        (roots if parent is None else children[parent]).append(stage)
    lines = [f"{plan.name} {plan.version}"]
    pending = [(stage, "", index == 0) for index, stage in enumerate(reversed(roots))]
    while pending:
        stage, indent, last = pending.pop()
        lines.append(f"{indent}{'└─ ' if last else '├─ '}{_described(stage)}")
        deeper = indent + ("   " if last else "│  ")
        pending += [(child, deeper, index == 0) for index, child in enumerate(reversed(children[stage.name]))]
    return "\n".join(lines) + "\n"


def _described(stage: PlannedStage) -> str:
    incoming = [f"{' + '.join(keys) or 'order'} ← {source}" for source, keys in _incoming(stage)]
    return f"{_label(stage)}: {'; '.join(incoming)}" if incoming else _label(stage)
