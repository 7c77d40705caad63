"""The posted results of a trial as text: flow of participants, baseline, outcomes, adverse events.

Numbers are laid out as tables of one line per group or category, so that a search finds them with their words.

Source: https://clinicaltrials.gov/data-api/about-api/study-data-structure#ResultsSection
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from medical_kg.formats.trialtext import prose, sentence, words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from medical_kg.documents.build import DocumentBuilder
    from medical_kg.formats.jsonnode import JsonNode

RESULTS = ("Results",)
EVENTS = (("seriousEvents", "Serious adverse events"), ("otherEvents", "Other adverse events"))


def lay_results(builder: DocumentBuilder, results: JsonNode) -> None:
    """Write the results section; nothing where none were posted."""
    _flow(builder, results.at("participantFlowModule"))
    _baseline(builder, results.at("baselineCharacteristicsModule"))
    for measure in results.items("outcomeMeasuresModule", "outcomeMeasures"):
        _outcome(builder, measure)
    _events(builder, results.at("adverseEventsModule"))
    caveats = results.at("moreInfoModule", "limitationsAndCaveats", "description")
    if caveats.text():
        builder.section("Limitations and caveats", RESULTS, pointer=caveats.pointer)
        _paragraph(builder, caveats)


def _paragraph(builder: DocumentBuilder, node: JsonNode) -> None:
    builder.block(prose(node.text()), "paragraph", node.pointer)


def _table(builder: DocumentBuilder, rows: Iterable[str], pointer: str) -> None:
    builder.block("\n".join(row for row in rows if row), "table", pointer)


def _names(module: JsonNode, key: str = "groups") -> dict[str, str]:
    return {group.text("id"): prose(group.text("title")) or group.text("id") for group in module.items(key)}


def _groups(builder: DocumentBuilder, module: JsonNode, key: str = "groups") -> None:
    for group in module.items(key):
        text = sentence(prose(group.text("title")), prose(group.text("description")))
        builder.block(text, "list_item", group.pointer)


def _values(nodes: Iterable[JsonNode], names: dict[str, str], key: str) -> str:
    pairs = [(node.text("groupId"), node.scalar(key)) for node in nodes]
    return "; ".join(f"{names.get(group, group)}: {value}" for group, value in pairs if value)


def _flow(builder: DocumentBuilder, module: JsonNode) -> None:
    if not module:
        return
    builder.section("Participant flow", RESULTS, pointer=module.pointer)
    _paragraph(builder, module.at("recruitmentDetails"))
    _paragraph(builder, module.at("preAssignmentDetails"))
    _groups(builder, module)
    names = _names(module)
    for period in module.items("periods"):
        rows = [prose(period.text("title"))]
        for milestone in period.items("milestones"):
            counts = _values(milestone.items("achievements"), names, "numSubjects")
            rows.append(_row(words(milestone.text("type")).capitalize(), counts))
        for reason in period.items("dropWithdraws"):
            counts = _values(reason.items("reasons"), names, "numSubjects")
            rows.append(_row(f"Withdrawn, {prose(reason.text('type'))}", counts))
        _table(builder, rows, period.pointer)


def _row(label: str, values: str) -> str:
    return f"{label} | {values}" if values else ""


def _baseline(builder: DocumentBuilder, module: JsonNode) -> None:
    if not module:
        return
    builder.section("Baseline characteristics", RESULTS, pointer=module.pointer)
    _paragraph(builder, module.at("populationDescription"))
    names = _names(module)
    for measure in module.items("measures"):
        _table(builder, [_head(measure), *_measurements(measure, names)], measure.pointer)


def _head(measure: JsonNode) -> str:
    kinds = [words(measure.text(key)) for key in ("paramType", "dispersionType")]
    detail = ", ".join(part for part in (*kinds, measure.text("unitOfMeasure")) if part)
    title = prose(measure.text("title"))
    return f"{title} ({detail})" if detail else title


def _measurements(measure: JsonNode, names: dict[str, str]) -> list[str]:
    rows: list[str] = []
    for one in measure.items("classes"):
        for category in one.items("categories"):
            label = ", ".join(part for part in (prose(one.text("title")), prose(category.text("title"))) if part)
            values = "; ".join(
                f"{names.get(node.text('groupId'), node.text('groupId'))}: {_measured(node)}"
                for node in category.items("measurements")
                if node.scalar("value")
            )
            rows.append(f"{label} | {values}" if label and values else values)
    return rows


def _measured(node: JsonNode) -> str:
    value, spread = node.scalar("value"), node.scalar("spread")
    lower, upper = node.scalar("lowerLimit"), node.scalar("upperLimit")
    if spread:
        return f"{value} ± {spread}"
    return f"{value} ({lower} to {upper})" if lower or upper else value


def _outcome(builder: DocumentBuilder, measure: JsonNode) -> None:
    kind = words(measure.text("type")).capitalize()
    builder.section(prose(f"{kind} outcome: {measure.text('title')}"), RESULTS, pointer=measure.at("title").pointer)
    _paragraph(builder, measure.at("description"))
    frame = measure.at("timeFrame")
    builder.block(f"Time frame: {prose(frame.text())}" if frame.text() else "", "paragraph", frame.pointer)
    _paragraph(builder, measure.at("populationDescription"))
    _groups(builder, measure)
    names = _names(measure)
    counts = [
        f"{prose(one.text('units'))} | {_values(one.items('counts'), names, 'value')}"
        for one in measure.items("denoms")
    ]
    rows = _measurements(measure, names)
    if rows:
        _table(builder, [_head(measure), *counts, *rows], measure.at("classes").pointer)
    for analysis in measure.items("analyses"):
        builder.block(_analysis(analysis), "list_item", analysis.pointer)


def _analysis(analysis: JsonNode) -> str:
    sides = {"ONE_SIDED": "1-sided", "TWO_SIDED": "2-sided"}
    lower, upper = analysis.scalar("ciLowerLimit"), analysis.scalar("ciUpperLimit")
    side = sides.get(analysis.text("ciNumSides"), "")
    level = prose(f"{analysis.scalar('ciPctValue')}% {side} confidence interval")
    parts = [
        analysis.text("statisticalMethod"),
        f"p-value {analysis.scalar('pValue')}" if analysis.scalar("pValue") else "",
        sentence(analysis.text("paramType"), analysis.scalar("paramValue")),
        f"{level} {lower or 'open'} to {upper or 'open'}" if lower or upper else "",
        analysis.text("groupDescription"),
    ]
    return "; ".join(prose(part) for part in parts if part)


def _events(builder: DocumentBuilder, module: JsonNode) -> None:
    if not module:
        return
    builder.section("Adverse events", RESULTS, pointer=module.pointer)
    _paragraph(builder, module.at("description"))
    frame = module.at("timeFrame")
    builder.block(f"Time frame: {prose(frame.text())}" if frame.text() else "", "paragraph", frame.pointer)
    names = _names(module, "eventGroups")
    for group in module.items("eventGroups"):
        builder.block(_affected(group), "list_item", group.pointer)
    for key, title in EVENTS:
        found = [(event, _stats(event, names)) for event in module.items(key)]
        lines = [_row(_event(event), stats) for event, stats in found]
        if any(lines):
            _table(builder, [title, *lines], module.at(key).pointer)


def _affected(group: JsonNode) -> str:
    kinds = (("deaths", "deaths"), ("serious", "serious events"), ("other", "other events"))
    counts = [
        f"{label} {group.scalar(f'{kind}NumAffected')} of {group.scalar(f'{kind}NumAtRisk')}"
        for kind, label in kinds
        if group.scalar(f"{kind}NumAffected") and group.scalar(f"{kind}NumAtRisk")
    ]
    return sentence(prose(group.text("title")), ", ".join(counts))


def _event(event: JsonNode) -> str:
    system = prose(event.text("organSystem"))
    return f"{prose(event.text('term'))} ({system})" if system else prose(event.text("term"))


def _stats(event: JsonNode, names: dict[str, str]) -> str:
    rows = [
        (node.text("groupId"), node.scalar("numAffected"), node.scalar("numAtRisk")) for node in event.items("stats")
    ]
    return "; ".join(
        f"{names.get(group, group)}: {affected}" + (f" of {at_risk}" if at_risk else "")
        for group, affected, at_risk in rows
        if affected
    )
