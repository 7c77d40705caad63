"""``clinicaltrials-json``: studies of ClinicalTrials.gov, API v2."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from medical_kg import ItemRejected
from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.records import Payload
from medical_kg.documents.validate import findings
from medical_kg.formats.clinicaltrials import ClinicalTrialsFormat
from medical_kg.formats.contract import BadRecord, RawRecord

FORMAT = ClinicalTrialsFormat()


def study(number: str = "NCT00000001", **modules: Any) -> dict[str, Any]:
    names = {"nctId": number, "briefTitle": f"Study {number}"}
    return {"protocolSection": {"identificationModule": names | modules.pop("names", {}), **modules}}


FULL = study(
    names={
        "officialTitle": "A Trial of Aspirin",
        "acronym": "ASP",
        "secondaryIdInfos": [{"id": "2020-001", "type": "EUDRACT_NUMBER"}, {"id": "x", "type": "OTHER"}],
    },
    descriptionModule={
        "briefSummary": "First line\nstill first.\n\nSecond \\[escaped\\].",
        "detailedDescription": "Steps:\n\n* one\n* two\n  goes on\n1. three",
    },
    conditionsModule={"conditions": ["Heart  Failure", "Pain"], "keywords": ["cardiology"]},
    designModule={"studyType": "INTERVENTIONAL", "phases": ["PHASE2", "PHASE3"], "enrollmentInfo": {"count": 12}},
    armsInterventionsModule={
        "armGroups": [{"label": "Active", "type": "EXPERIMENTAL", "description": "gets it"}, {"label": "None"}],
        "interventions": [{"type": "DRUG", "name": "Aspirin", "description": "pills", "otherNames": ["ASA"]}],
    },
    outcomesModule={"primaryOutcomes": [{"measure": "Death", "timeFrame": "1 year", "description": "any cause"}]},
    eligibilityModule={
        "eligibilityCriteria": "Inclusion:\n\n* adult",
        "sex": "ALL",
        "minimumAge": "18 Years",
        "healthyVolunteers": False,
        "studyPopulation": "Patients",
    },
    sponsorCollaboratorsModule={"leadSponsor": {"name": "NIH"}, "collaborators": [{"name": "NHLBI"}]},
    statusModule={
        "overallStatus": "COMPLETED",
        "studyFirstPostDateStruct": {"date": "2020-01-02"},
        "whyStopped": "It was done",
    },
    referencesModule={"references": [{"pmid": "123", "citation": "Doe 2019"}, {"citation": "no number"}]},
    contactsLocationsModule={"locations": [{"country": "Peru"}, {"country": "Chile"}, {"country": "Peru"}]},
)
FULL["derivedSection"] = {
    "conditionBrowseModule": {"meshes": [{"id": "D006333", "term": "Heart Failure"}]},
    "interventionBrowseModule": {"meshes": [{"id": "D001241", "term": "Aspirin"}]},
}


def records(content: bytes) -> list[RawRecord | BadRecord]:
    return list(FORMAT.records(io.BytesIO(content), "file.json"))


def parse(value: Any) -> Document:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    provenance = Provenance(source="test", uri="trials/file.json")
    return FORMAT.parse(Payload(id="nct:X", format=FORMAT.name, content=content, provenance=provenance))


ONE, TWO = json.dumps(study()), json.dumps(study("NCT00000002"))


@pytest.mark.parametrize(
    ("content", "numbers"),
    [
        (ONE, [1]),
        (f"[{ONE},\n {TWO}]", [1, 2]),
        (f'{{"totalCount": 2, "studies": [{ONE}, {TWO}], "nextPageToken": "x"}}', [1, 2]),
        (f'{{"studies": [{ONE}]}}\n', [1]),
        (f"{ONE}\n\n{TWO}\n", [1, 2]),
        ("\ufeff" + ONE, [1]),
        ("[]", []),
        ('{"studies": []}', []),
    ],
    ids=["single", "array", "page", "page-on-a-line", "lines", "bom", "empty-array", "empty-page"],
)
def test_records_of_every_shape(content: str, numbers: list[int]) -> None:
    """A single study, an array, an API page and one study a line all give their studies."""
    found = records(content.encode())
    assert [record.id for record in found if isinstance(record, RawRecord)] == [f"nct:NCT0000000{n}" for n in numbers]
    assert [json.loads(record.content) for record in found if isinstance(record, RawRecord)] == [
        study(f"NCT0000000{n}") for n in numbers
    ]


def test_a_record_is_the_study_as_it_stands_in_the_file() -> None:
    """The record's bytes are cut out of the dump, not written anew."""
    odd = ONE.replace(": ", " :\t")
    assert records(f"[ {odd} , {TWO}]".encode())[0] == RawRecord("nct:NCT00000001", odd.encode())


def test_a_study_without_a_number_is_bad_and_the_rest_goes_on() -> None:
    """The NCT number is the one thing a study must have."""
    bad, good = records(f'[{{"protocolSection": {{}}}}, {TWO}]'.encode())
    assert isinstance(bad, BadRecord)
    assert bad.place == "/0"
    assert "needs an NCT number at /protocolSection/identificationModule/nctId; there is none" in bad.reason
    assert isinstance(good, RawRecord)


@pytest.mark.parametrize(
    ("head", "name", "recognised"),
    [
        (b'{"protocolSection": {}}', "a.json", True),
        (b'[\n {"x": {"nctId": "NCT1"}}', "a.json", True),
        (b'{"studies": []}', "a.json", True),
        (b'{"totalCount": 3, "studies": [ {', "a.json", True),
        (b'{"resultsSection": {}', "trials/NCT01234567.json", True),
        (b'{"id": "https://openalex.org/W1", "abstract_inverted_index": {"studies": [3]}}', "a.json", False),
        (b'{"resultsSection": {}', "NCT01234567.json.gz", True),
        (b"<protocolSection/>", "NCT01234567.json", False),
        (b'"nctId"', "a.json", False),
    ],
)
def test_sniff(head: bytes, name: str, recognised: bool) -> None:  # noqa: FBT001  # the expected verdict
    """It is JSON that speaks of studies near its beginning, or is named after one."""
    assert FORMAT.sniff(head, name) is recognised


def test_modules_become_sections() -> None:
    """Each module with text is a section; markup becomes blocks."""
    document = parse(FULL)
    assert findings(document) == []
    assert [section.title for section in document.sections] == [
        "",
        "Official title",
        "Brief summary",
        "Detailed description",
        "Conditions",
        "Keywords",
        "Study design",
        "Arms",
        "Interventions",
        "Primary outcomes",
        "Eligibility",
        "Why stopped",
    ]
    blocks = [(block.kind, document.text_of(block)) for block in document.blocks]
    assert ("paragraph", "First line still first.") in blocks
    assert ("paragraph", "Second [escaped].") in blocks
    assert [text for kind, text in blocks if kind == "list_item"][:3] == ["one", "two goes on", "1. three"]
    assert ("list_item", "Active (experimental): gets it") in blocks
    assert ("list_item", "Aspirin (drug): pills Also known as: ASA.") in blocks
    assert ("list_item", "Death [1 year]: any cause") in blocks
    assert ("list_item", "Phase: phase 2, phase 3") in blocks
    assert ("list_item", "Healthy volunteers: no") in blocks


def test_facts_point_at_their_place() -> None:
    """Each structured statement is a fact with JSON pointer, words and identifiers."""
    facts = {(fact.predicate, fact.pointer): fact for fact in parse(FULL).facts}
    assert {predicate for predicate, _ in facts} == {
        "has_condition",
        "has_intervention",
        "has_mesh_condition",
        "has_mesh_intervention",
        "has_sponsor",
        "has_collaborator",
        "has_phase",
        "has_study_type",
        "has_status",
        "cites",
    }
    condition = facts["has_condition", "/protocolSection/conditionsModule/conditions/0"]
    assert (condition.object.kind, condition.object.name, condition.evidence) == ("condition",) + ("Heart Failure",) * 2
    mesh = facts["has_mesh_condition", "/derivedSection/conditionBrowseModule/meshes/0/term"]
    assert (mesh.object.kind, mesh.object.identifiers) == ("descriptor", ("mesh:D006333",))
    cited = facts["cites", "/protocolSection/referencesModule/references/0/pmid"]
    assert (cited.object.identifiers, cited.evidence) == (("pmid:123",), "Doe 2019")


def test_what_a_trial_is_known_by() -> None:
    """Ids, dates and metadata come from the registry's own fields."""
    document = parse(FULL)
    assert document.id == "nct:NCT00000001"
    assert document.root == "nct:X"
    assert document.identifiers == ("nct:NCT00000001", "eudract:2020-001")
    assert (document.kind, document.title, document.published) == ("trial", "Study NCT00000001", "2020-01-02")
    assert document.metadata["countries"] == ["Chile", "Peru"]
    assert document.metadata["enrollment"] == "12"


def test_a_partial_study_is_a_document() -> None:
    """Nothing but the NCT number and a title is needed."""
    document = parse(study())
    assert document.text == document.title == "Study NCT00000001"
    assert document.facts == ()
    assert findings(document) == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (study(conditionsModule={"conditions": "flu"}), "conditionsModule/conditions: expected an array, found a text"),
        (study(statusModule=[1]), "at /protocolSection/statusModule: expected an object, found an array"),
        (study(names={"nctId": 7}), "nctId: expected a text, found a number"),
        (study(names={"nctId": "ISRCTN1"}), "found 'ISRCTN1'"),
        (study(designModule={"enrollmentInfo": {"count": [1]}}), "expected a text or a number, found an array"),
        (b"[1", "not JSON"),
        (b'{"a": "\\ud83d"}', "half of a surrogate pair"),
    ],
)
def test_a_refusal_names_payload_file_and_place(value: Any, reason: str) -> None:
    """What cannot be read is rejected with the payload's id, its file and the place."""
    with pytest.raises(ItemRejected) as caught:
        parse(value)
    assert str(caught.value).startswith("nct:X (trials/file.json): ")
    assert reason in str(caught.value)
