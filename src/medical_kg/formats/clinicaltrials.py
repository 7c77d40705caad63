"""Studies of ClinicalTrials.gov in the JSON of its API v2.

Source: https://clinicaltrials.gov/data-api/about-api/study-data-structure
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from medical_kg import ItemRejected
from medical_kg.documents.build import DocumentBuilder, squeeze
from medical_kg.formats.base import fact, refusals_name
from medical_kg.formats.contract import BadRecord, Format, RawRecord
from medical_kg.formats.identifiers import mesh_id, nct_id, pmid_id
from medical_kg.formats.jsonnode import JsonNode
from medical_kg.formats.jsontext import decode, looks_like_json, read_records
from medical_kg.formats.trialresults import lay_results
from medical_kg.formats.trialtext import lay_protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medical_kg.documents.ir import Document, Fact
    from medical_kg.documents.records import Payload
    from medical_kg.formats.contract import Readable
    from medical_kg.formats.jsonscan import Element

MARK = re.compile(r'"protocolSection"|"nctId"|"studies"\s*:\s*\[\s*[{\]]')
FILE_NAME = re.compile(r"NCT\d+.*\.json(\.gz)?", re.IGNORECASE)
NCT_PATH = ("protocolSection", "identificationModule", "nctId")


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
    title_node = names.at("briefTitle") if names.text("briefTitle") else names.at("officialTitle")
    title = title_node.text()
    builder = DocumentBuilder()
    builder.block(squeeze(title), "title", title_node.pointer)
    lay_protocol(builder, protocol, title)
    lay_results(builder, study.at("resultsSection"))
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
        metadata=_metadata(study),
        provenance=payload.provenance,
    )


def _other_ids(names: JsonNode) -> list[str]:
    kinds = {"EUDRACT_NUMBER": "eudract", "CTIS": "ctis"}
    found = [(kinds.get(node.text("type")), node.text("id")) for node in names.items("secondaryIdInfos")]
    return [f"{kind}:{ident}" for kind, ident in found if kind and ident]


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


def _metadata(study: JsonNode) -> dict[str, object]:
    protocol = study.at("protocolSection")
    status, design = protocol.at("statusModule"), protocol.at("designModule")
    sponsor = protocol.at("sponsorCollaboratorsModule", "leadSponsor")
    values: dict[str, object] = {
        "acronym": protocol.text("identificationModule", "acronym"),
        "organization_study_id": protocol.text("identificationModule", "orgStudyIdInfo", "id"),
        "status": status.text("overallStatus"),
        "start": status.text("startDateStruct", "date"),
        "primary_completion": status.text("primaryCompletionDateStruct", "date"),
        "completion": status.text("completionDateStruct", "date"),
        "first_posted": status.text("studyFirstPostDateStruct", "date"),
        "results_posted": status.text("resultsFirstPostDateStruct", "date"),
        "updated": status.text("lastUpdatePostDateStruct", "date"),
        "study_type": design.text("studyType"),
        "phases": design.texts("phases"),
        "enrollment": design.scalar("enrollmentInfo", "count"),
        "sponsor": sponsor.text("name"),
        "sponsor_class": sponsor.text("class"),
        "collaborators": [node.text("name") for node in protocol.items("sponsorCollaboratorsModule", "collaborators")],
        "has_results": bool(study.at("resultsSection")),
        **_places(protocol),
    }
    return {key: value for key, value in values.items() if value not in ("", [], None, {})}


def _places(protocol: JsonNode) -> dict[str, object]:
    """Summarise where the study is held; a big trial lists some hundred sites."""
    sites = list(protocol.items("contactsLocationsModule", "locations"))
    countries = Counter(country for site in sites if (country := site.text("country")))
    return {
        "countries": sorted(countries),
        "sites": len(sites) or None,
        "sites_by_country": dict(sorted(countries.items())),
    }
