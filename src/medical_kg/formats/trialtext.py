"""The running text of a trial's protocol: what ClinicalTrials.gov's modules say, as sections and blocks.

Source: https://clinicaltrials.gov/data-api/about-api/study-data-structure
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from medical_kg.documents.build import squeeze

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from medical_kg.documents.build import DocumentBuilder
    from medical_kg.formats.jsonnode import JsonNode

    Entry = tuple[str, str]
    """A block's text and its JSON pointer."""

ESCAPED = re.compile(r"\\([^\w\s])")
BULLET = re.compile(r"[*•‣-]\s+")
LIST_ITEM = re.compile(r"\s*([*•‣-]|\d{1,2}[.)])\s+\S")
OUTCOMES = ("primary", "secondary", "other")
COUNTRIES_NAMED = 12
"""A summary of places names the countries with the most sites, and counts the others."""


def lay_protocol(builder: DocumentBuilder, protocol: JsonNode, title: str) -> None:
    """Write everything in the protocol that is text to ``builder``; what the study has no word on gets no section."""
    official = protocol.at("identificationModule", "officialTitle")
    if official.text() != title:
        text_section(builder, "Official title", official)
    about, conditions = protocol.at("descriptionModule"), protocol.at("conditionsModule")
    text_section(builder, "Brief summary", about.at("briefSummary"))
    text_section(builder, "Detailed description", about.at("detailedDescription"))
    list_section(builder, "Conditions", [(node.text(), node.pointer) for node in conditions.items("conditions")])
    list_section(builder, "Keywords", [(node.text(), node.pointer) for node in conditions.items("keywords")])
    list_section(builder, "Study design", _design(protocol.at("designModule")))
    arms = protocol.at("armsInterventionsModule")
    list_section(builder, "Arms", [(_arm(arm), arm.pointer) for arm in arms.items("armGroups")])
    list_section(builder, "Interventions", [(_intervention(one), one.pointer) for one in arms.items("interventions")])
    for kind in OUTCOMES:
        measures = protocol.items("outcomesModule", f"{kind}Outcomes")
        list_section(builder, f"{kind.title()} outcomes", [(_outcome(one), one.pointer) for one in measures])
    _eligibility(builder, protocol.at("eligibilityModule"))
    list_section(builder, "Sponsors", _sponsors(protocol.at("sponsorCollaboratorsModule")))
    list_section(builder, "Locations", _locations(protocol.at("contactsLocationsModule", "locations")))
    text_section(builder, "Why stopped", protocol.at("statusModule", "whyStopped"))


def text_section(builder: DocumentBuilder, title: str, node: JsonNode, path: tuple[str, ...] = ()) -> None:
    """Write one text of the registry as a section."""
    if text := node.text():
        builder.section(title, path, pointer=node.pointer)
        _lay_markup(builder, text, node.pointer)


def list_section(builder: DocumentBuilder, title: str, entries: Iterable[Entry], path: tuple[str, ...] = ()) -> None:
    """Write a section with a list item per entry; none when there is nothing in any."""
    written = [(text, pointer) for raw, pointer in entries if (text := prose(raw))]
    if not written:
        return
    builder.section(title, path, pointer=written[0][1].rpartition("/")[0])
    for text, pointer in written:
        builder.block(text, "list_item", pointer)


def _lay_markup(builder: DocumentBuilder, text: str, pointer: str) -> None:
    # The registry's texts are light markdown: blank lines part paragraphs, "* " or "1. " begin list items.
    for group in _groups(text):
        words = ESCAPED.sub(r"\1", BULLET.sub("", group, count=1) if BULLET.match(group) else group)
        builder.block(words, "list_item" if LIST_ITEM.match(group) else "paragraph", pointer)


def _groups(text: str) -> Iterator[str]:
    group: list[str] = []
    for line in text.splitlines():
        if group and (not line.strip() or LIST_ITEM.match(line)):
            yield " ".join(group)
            group = []
        if line.strip():
            group.append(squeeze(line))
    if group:
        yield " ".join(group)


def prose(text: str) -> str:
    """Return one of the registry's texts on one line, with the backslashes before marks taken away."""
    return squeeze(ESCAPED.sub(r"\1", text))


def labelled(label: str, node: JsonNode, text: str | None = None) -> Entry:
    """Return ``label: text`` with the node's place, an empty text where there is none."""
    text = node.scalar() if text is None else text
    return (f"{label}: {text}" if text else "", node.pointer)


def words(code: str) -> str:
    """Return one of the registry's codes (``EARLY_PHASE1``) as words (``early phase 1``)."""
    return code.replace("_", " ").lower().replace("phase", "phase ") if code else ""


def sentence(head: str, detail: str) -> str:
    """Return ``head: detail``, or the one that there is."""
    return f"{head}: {detail}" if head and detail else head or detail


def _design(design: JsonNode) -> list[Entry]:
    info = design.at("designInfo")
    masking = info.at("maskingInfo")
    phases = ", ".join(words(phase) for phase in design.texts("phases"))
    coded = [
        ("Allocation", info.at("allocation")),
        ("Intervention model", info.at("interventionModel")),
    ]
    after = [
        ("Observational model", info.at("observationalModel")),
        ("Time perspective", info.at("timePerspective")),
        ("Primary purpose", info.at("primaryPurpose")),
    ]
    return [
        labelled("Study type", design.at("studyType"), words(design.text("studyType"))),
        labelled("Phase", design.at("phases"), phases),
        *(labelled(label, node, words(node.text())) for label, node in coded),
        labelled("Intervention model description", info.at("interventionModelDescription")),
        labelled("Masking", masking.at("masking"), words(masking.text("masking"))),
        labelled("Masked", masking.at("whoMasked"), ", ".join(words(one) for one in masking.texts("whoMasked"))),
        labelled("Masking description", masking.at("maskingDescription")),
        *(labelled(label, node, words(node.text())) for label, node in after),
        labelled("Enrollment", design.at("enrollmentInfo", "count")),
    ]


def _arm(arm: JsonNode) -> str:
    kind = words(arm.text("type"))
    label = f"{arm.text('label')} ({kind})" if kind else arm.text("label")
    return sentence(label, arm.text("description"))


def _intervention(one: JsonNode) -> str:
    kind = words(one.text("type"))
    name = f"{one.text('name')} ({kind})" if kind else one.text("name")
    others = ", ".join(one.texts("otherNames"))
    also = f" Also known as: {others}." if others else ""
    return sentence(name, one.text("description")) + also


def _outcome(one: JsonNode) -> str:
    frame = one.text("timeFrame")
    measure = f"{one.text('measure')} [{frame}]" if frame else one.text("measure")
    return sentence(measure, one.text("description"))


def _eligibility(builder: DocumentBuilder, module: JsonNode) -> None:
    volunteers = {"True": "yes", "False": "no"}.get(module.scalar("healthyVolunteers"), "")
    entries = [
        labelled("Sex", module.at("sex"), words(module.text("sex"))),
        labelled("Minimum age", module.at("minimumAge")),
        labelled("Maximum age", module.at("maximumAge")),
        labelled("Healthy volunteers", module.at("healthyVolunteers"), volunteers),
    ]
    criteria, population = module.at("eligibilityCriteria"), module.at("studyPopulation")
    if not (any(text for text, _ in entries) or criteria.text() or population.text()):
        return
    builder.section("Eligibility", pointer=module.pointer)
    _lay_markup(builder, criteria.text(), criteria.pointer)
    _lay_markup(builder, population.text(), population.pointer)
    for text, pointer in entries:
        builder.block(text, "list_item", pointer)


def _sponsors(module: JsonNode) -> list[Entry]:
    lead = module.at("leadSponsor")
    others = list(module.items("collaborators"))
    return [
        labelled("Sponsor", lead.at("name")),
        *(labelled("Collaborator", one.at("name")) for one in others),
    ]


def _locations(sites: JsonNode) -> list[Entry]:
    """Return where the study is held in one sentence: the hundreds of addresses of a big trial are no running text."""
    listed = list(sites.items())
    countries = Counter(country for site in listed if (country := site.text("country")))
    if not countries:
        return []
    ranked = sorted(countries.items(), key=lambda pair: (-pair[1], pair[0]))
    named = [f"{country} ({count})" for country, count in ranked[:COUNTRIES_NAMED]]
    more = len(ranked) - COUNTRIES_NAMED
    if more > 0:
        named.append(f"{more} more {'country' if more == 1 else 'countries'}")
    sites_word = "site" if len(listed) == 1 else "sites"
    return [(f"{len(listed)} {sites_word}: {', '.join(named)}", sites.pointer)]
