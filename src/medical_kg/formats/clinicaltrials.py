"""Studies of ClinicalTrials.gov in the JSON of its API v2.

Source: https://clinicaltrials.gov/data-api/about-api/study-data-structure
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from medical_kg import ItemRejected
from medical_kg.documents.build import DocumentBuilder, squeeze
from medical_kg.formats.base import fact, refusals_name
from medical_kg.formats.contract import BadRecord, Format, RawRecord
from medical_kg.formats.identifiers import mesh_id, nct_id, pmid_id
from medical_kg.formats.jsonnode import JsonNode
from medical_kg.formats.jsontext import decode, looks_like_json, read_records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medical_kg.documents.ir import Document, Fact
    from medical_kg.documents.records import Payload
    from medical_kg.formats.contract import Readable
    from medical_kg.formats.jsonscan import Element

MARK = re.compile(r'"protocolSection"|"nctId"|"studies"\s*:\s*\[\s*[{\]]')
ESCAPED = re.compile(r"\\([^\w\s])")
FILE_NAME = re.compile(r"NCT\d+.*\.json(\.gz)?", re.IGNORECASE)
NCT_PATH = ("protocolSection", "identificationModule", "nctId")
BULLET = re.compile(r"[*•‣-]\s+")
LIST_ITEM = re.compile(r"\s*([*•‣-]|\d{1,2}[.)])\s+\S")


class ClinicalTrialsFormat(Format):
    """One study per record: from a bulk array, an API page, a file of its own, or one a line."""

    name: ClassVar[str] = "clinicaltrials-json"
    media_types: ClassVar[tuple[str, ...]] = ("application/json",)

    def sniff(self, head: bytes, filename: str) -> bool:
        """Whether it is JSON that speaks of studies near its beginning, or is named after one."""
        text = looks_like_json(head)
        named = bool(FILE_NAME.fullmatch(filename.rsplit("/", 1)[-1]))
        return bool(text) and (named or bool(MARK.search(text)))

    def records(self, stream: Readable, name: str) -> Iterator[RawRecord | BadRecord]:
        """Give every study; one without an NCT number is bad."""
        del name
        return read_records(stream, ("studies",), _record)

    def parse(self, payload: Payload) -> Document:
        """Read one study; modules may be missing, the NCT number may not."""
        with refusals_name(payload):
            study = JsonNode(decode(payload.content))
            return _document(study, payload)


def _record(element: Element) -> RawRecord | BadRecord:
    try:
        return RawRecord(_id(JsonNode(element.value)), element.text.encode())
    except ItemRejected as error:
        return BadRecord(element.place or "/", str(error))


def _id(study: JsonNode) -> str:
    number = study.text(*NCT_PATH)
    if ident := nct_id(number):
        return ident
    found = f"found {number!r}" if number else "there is none"
    raise ItemRejected(f"a study needs an NCT number at /{'/'.join(NCT_PATH)}; {found}")


def _document(study: JsonNode, payload: Payload) -> Document:
    protocol = study.at("protocolSection")
    names = protocol.at("identificationModule")
    title = names.text("briefTitle") or names.text("officialTitle")
    builder = DocumentBuilder()
    builder.block(squeeze(title), "title")
    _lay_text(builder, protocol, title)
    dates = protocol.at("statusModule")
    published = dates.text("studyFirstPostDateStruct", "date") or dates.text("studyFirstSubmitDate")
    return builder.build(
        id=_id(study),
        root=payload.id,
        kind="trial",
        title=title,
        identifiers=_other_ids(names),
        language="en",
        published=published or dates.text("startDateStruct", "date"),
        facts=list(_facts(study)),
        metadata=_metadata(protocol),
        provenance=payload.provenance,
    )


def _other_ids(names: JsonNode) -> list[str]:
    kinds = {"EUDRACT_NUMBER": "eudract", "CTIS": "ctis"}
    found = [(kinds.get(node.text("type")), node.text("id")) for node in names.items("secondaryIdInfos")]
    return [f"{kind}:{ident}" for kind, ident in found if kind and ident]


def _lay_text(builder: DocumentBuilder, protocol: JsonNode, title: str) -> None:
    official = protocol.text("identificationModule", "officialTitle")
    if official != title:
        _text_section(builder, "Official title", official)
    about = protocol.at("descriptionModule")
    _text_section(builder, "Brief summary", about.text("briefSummary"))
    _text_section(builder, "Detailed description", about.text("detailedDescription"))
    _list_section(builder, "Conditions", protocol.texts("conditionsModule", "conditions"))
    _list_section(builder, "Keywords", protocol.texts("conditionsModule", "keywords"))
    _list_section(builder, "Study design", _design(protocol.at("designModule")))
    arms = protocol.at("armsInterventionsModule")
    _list_section(builder, "Arms", [_arm(arm) for arm in arms.items("armGroups")])
    _list_section(builder, "Interventions", [_intervention(one) for one in arms.items("interventions")])
    for kind in ("primary", "secondary", "other"):
        measures = [_outcome(one) for one in protocol.items("outcomesModule", f"{kind}Outcomes")]
        _list_section(builder, f"{kind.title()} outcomes", measures)
    _eligibility(builder, protocol.at("eligibilityModule"))
    _text_section(builder, "Why stopped", protocol.text("statusModule", "whyStopped"))


def _text_section(builder: DocumentBuilder, title: str, text: str) -> None:
    if not text:
        return
    builder.section(title)
    _lay_markup(builder, text)


def _lay_markup(builder: DocumentBuilder, text: str) -> None:
    # The registry's texts are light markdown: blank lines part paragraphs, "* " or "1. " begin list items.
    for group in _groups(text):
        words = ESCAPED.sub(r"\1", BULLET.sub("", group, count=1) if BULLET.match(group) else group)
        builder.block(words, "list_item" if LIST_ITEM.match(group) else "paragraph")


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


def _list_section(builder: DocumentBuilder, title: str, entries: list[str]) -> None:
    entries = [entry for text in entries if (entry := squeeze(ESCAPED.sub(r"\1", text)))]
    if not entries:
        return
    builder.section(title)
    for entry in entries:
        builder.block(entry, "list_item")


def _design(design: JsonNode) -> list[str]:
    info = design.at("designInfo")
    rows = [
        ("Study type", _words(design.text("studyType"))),
        ("Phase", ", ".join(_words(phase) for phase in design.texts("phases"))),
        ("Allocation", _words(info.text("allocation"))),
        ("Intervention model", _words(info.text("interventionModel"))),
        ("Intervention model description", info.text("interventionModelDescription")),
        ("Masking", _words(info.text("maskingInfo", "masking"))),
        ("Masking description", info.text("maskingInfo", "maskingDescription")),
        ("Observational model", _words(info.text("observationalModel"))),
        ("Time perspective", _words(info.text("timePerspective"))),
        ("Primary purpose", _words(info.text("primaryPurpose"))),
        ("Enrollment", design.scalar("enrollmentInfo", "count")),
    ]
    return [f"{label}: {value}" for label, value in rows if value]


def _words(code: str) -> str:
    return code.replace("_", " ").lower().replace("phase", "phase ") if code else ""


def _sentence(head: str, detail: str) -> str:
    return f"{head}: {detail}" if head and detail else head or detail


def _arm(arm: JsonNode) -> str:
    kind = _words(arm.text("type"))
    label = f"{arm.text('label')} ({kind})" if kind else arm.text("label")
    return _sentence(label, arm.text("description"))


def _intervention(one: JsonNode) -> str:
    kind = _words(one.text("type"))
    name = f"{one.text('name')} ({kind})" if kind else one.text("name")
    others = ", ".join(one.texts("otherNames"))
    also = f" Also known as: {others}." if others else ""
    return _sentence(name, one.text("description")) + also


def _outcome(one: JsonNode) -> str:
    frame = one.text("timeFrame")
    measure = f"{one.text('measure')} [{frame}]" if frame else one.text("measure")
    return _sentence(measure, one.text("description"))


def _eligibility(builder: DocumentBuilder, module: JsonNode) -> None:
    rows = [
        ("Sex", _words(module.text("sex"))),
        ("Minimum age", module.text("minimumAge")),
        ("Maximum age", module.text("maximumAge")),
        ("Healthy volunteers", {"True": "yes", "False": "no"}.get(module.scalar("healthyVolunteers"), "")),
    ]
    entries = [f"{label}: {value}" for label, value in rows if value]
    criteria, population = module.text("eligibilityCriteria"), module.text("studyPopulation")
    if not (entries or criteria or population):
        return
    builder.section("Eligibility")
    _lay_markup(builder, criteria)
    _lay_markup(builder, population)
    for entry in entries:
        builder.block(entry, "list_item")


def _facts(study: JsonNode) -> Iterator[Fact]:
    protocol, derived = study.at("protocolSection"), study.at("derivedSection")
    for node in protocol.items("conditionsModule", "conditions"):
        yield from _named("has_condition", "condition", node)
    for node in protocol.items("armsInterventionsModule", "interventions"):
        yield from _named("has_intervention", "intervention", node.at("name"))
    for module, predicate in (("condition", "has_mesh_condition"), ("intervention", "has_mesh_intervention")):
        for node in derived.items(f"{module}BrowseModule", "meshes"):
            yield from _named(predicate, "descriptor", node.at("term"), mesh_id(node.text("id")))
    sponsors = protocol.at("sponsorCollaboratorsModule")
    yield from _named("has_sponsor", "organization", sponsors.at("leadSponsor", "name"))
    for node in sponsors.items("collaborators"):
        yield from _named("has_collaborator", "organization", node.at("name"))
    for node in protocol.items("designModule", "phases"):
        yield from _named("has_phase", "phase", node)
    yield from _named("has_study_type", "study_type", protocol.at("designModule", "studyType"))
    yield from _named("has_status", "status", protocol.at("statusModule", "overallStatus"))
    for node in protocol.items("referencesModule", "references"):
        if pmid := pmid_id(node.scalar("pmid")):
            evidence = squeeze(node.text("citation")) or pmid
            pointer = node.at("pmid").pointer
            yield fact("cites", "article", evidence, pointer=pointer, identifiers=[pmid])


def _named(predicate: str, kind: str, node: JsonNode, *identifiers: str) -> Iterator[Fact]:
    if name := squeeze(node.text()):
        yield fact(predicate, kind, name, pointer=node.pointer, identifiers=identifiers)


def _metadata(protocol: JsonNode) -> dict[str, object]:
    status, design = protocol.at("statusModule"), protocol.at("designModule")
    countries = {node.text("country") for node in protocol.items("contactsLocationsModule", "locations")}
    values: dict[str, object] = {
        "acronym": protocol.text("identificationModule", "acronym"),
        "status": status.text("overallStatus"),
        "start": status.text("startDateStruct", "date"),
        "completion": status.text("completionDateStruct", "date"),
        "updated": status.text("lastUpdatePostDateStruct", "date"),
        "study_type": design.text("studyType"),
        "phases": design.texts("phases"),
        "enrollment": design.scalar("enrollmentInfo", "count"),
        "sponsor": protocol.text("sponsorCollaboratorsModule", "leadSponsor", "name"),
        "countries": sorted(countries - {""}),
    }
    return {key: value for key, value in values.items() if value not in ("", [], None)}
